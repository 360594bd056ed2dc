"""Sends the operator's own cookies to the hosts that they are for; what a site sets in answers lasts as long as the crawl.

Scrapy's own middleware would fetch the list of public suffixes. The jar is that of Python's standard library.
"""

from __future__ import annotations

from collections.abc import Iterable
from http.cookiejar import Cookie
from typing import Any, Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.cookies import CookieJar

from crawler.process.job_frame import JobCookie


class SessionCookies:
    """The jar of one crawl of one source."""

    def __init__(self, cookies: Iterable[JobCookie]) -> None:
        self._jar = CookieJar()
        for each in cookies:
            self._jar.set_cookie(_cookie(each))

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """As Scrapy makes it: with the cookies of the job."""
        spider: Any = crawler.spider
        return cls(spider.job.cookies)

    def process_request(self, request: Request) -> None:
        """Add the cookies that the host of the request receives, and no others."""
        request.headers.pop("Cookie", None)
        self._jar.add_cookie_header(request)

    def process_response(self, request: Request, response: Response) -> Response:
        """Take the cookies that the site sets: most sites renew a session with every answer."""
        self._jar.extract_cookies(response, request)
        return response


def _cookie(given: JobCookie) -> Cookie:
    return Cookie(
        version=0,
        name=given.name,
        value=given.value,
        port=None,
        port_specified=False,
        # the jar compares names without a dot as they are
        domain=given.domain if "." in given.domain else f"{given.domain}.local",
        domain_specified=False,
        domain_initial_dot=False,
        path=given.path,
        path_specified=True,
        secure=given.secure,
        expires=None,
        discard=True,
        comment=None,
        comment_url=None,
        rest={},
    )
