"""The roads of a crawl: which addresses may be asked, and how."""
