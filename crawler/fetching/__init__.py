"""The crawl process: spider, walk of the listing, parts of posts, pipelines, platform loader, settings."""
