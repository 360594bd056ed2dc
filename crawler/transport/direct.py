"""The road to the clear web: Scrapy's own HTTP/1.1 handler behind the allow-list."""

from __future__ import annotations

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.crawler import Crawler
from scrapy.http import Response

from crawler.transport.allow import Refused, check


class DirectDownloadHandler(HTTP11DownloadHandler):
    """Every request of the process, whoever made it, passes here last; what is not declared is never looked up."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._allowed = {(str(host), int(port)) for host, port in crawler.settings.getlist("TOCSIN_ALLOWED")}

    async def download_request(self, request: Request) -> Response:
        """The response; raises Refused without having contacted anybody."""
        check(request.url, self._allowed)
        if request.meta.get("proxy"):
            raise Refused("a proxy is never used on the direct road")
        return await super().download_request(request)
