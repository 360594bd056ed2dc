"""The crawl: the Scrapy spider, the walk of a listing, the parts of a post, and the pipelines that hand them to the examiner."""
