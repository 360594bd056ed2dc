"""How a crawl fetches: the allow-list, the direct download handler, streaming, resuming and content encodings."""
