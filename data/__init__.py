"""What is known and kept: no network, no Scrapy."""
