"""How a crawl fetches: allow-list, direct download handler, streaming, resuming broken downloads, content encodings."""
