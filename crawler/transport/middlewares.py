"""Downloader middlewares of a crawl: one enforces the allow-list, one waits before each retry."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.http import Response

from crawler.transport.allow_list import RequestRefused, require_allowed

BACKOFF_SECONDS = 1.0
# Statuses whose Retry-After header is obeyed.
RETRY_AFTER_STATUSES = frozenset({429, 503})


class AllowListMiddleware:
    """Refuses requests to hosts that the source does not declare, and counts them by host.

    It is the first of the middlewares, so that not even robots.txt is requested from such a host. The download handler
    checks again.
    """

    def __init__(self, allowed: frozenset[tuple[str, int]], refused: Counter[str], *, over_tor: bool = False) -> None:
        self._allowed, self._over_tor = allowed, over_tor
        self._refused = refused

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """With the source's allow-list; refused requests are counted in the spider's `refused`."""
        allowed = frozenset((str(host), int(port)) for host, port in crawler.settings.getlist("TOCSIN_ALLOWED"))
        refused: Counter[str] = crawler.spider.refused  # type: ignore[union-attr] # every spider of ours has it
        return cls(allowed, refused, over_tor=crawler.settings.getbool("TOCSIN_ONION"))

    def process_request(self, request: Request) -> None:
        """Raise RequestRefused unless the source declares the host."""
        try:
            require_allowed(request.url, self._allowed, over_tor=self._over_tor)
        except RequestRefused as error:
            self._refused[error.host] += 1
            raise


class DelayedRetryMiddleware(RetryMiddleware):
    """Scrapy's retries, each after a pause.

    The pause is what the site's Retry-After header asks for, else 1, 2, 4 … seconds, at most `TOCSIN_PATIENCE`. If the
    site asks for more than `TOCSIN_PATIENCE` seconds, the request is not retried.
    """

    async def process_response(  # type: ignore[override]
        self, request: Request, response: Response
    ) -> Request | Response:
        """The response, or, after a pause, the request to be retried."""
        again = super().process_response(request, response)
        if isinstance(again, Request):
            asked = retry_after(response) if response.status in RETRY_AFTER_STATUSES else None
            longest = self.crawler.settings.getfloat("TOCSIN_PATIENCE")
            if asked is not None and asked > longest:
                return response
            await asyncio.sleep(self._pause(again) if asked is None else asked)
        return again

    async def process_exception(  # type: ignore[override]
        self, request: Request, exception: Exception
    ) -> Request | Response | None:
        """After a pause, the request to be retried; None if a retry would not help."""
        again = super().process_exception(request, exception)
        if isinstance(again, Request):
            await asyncio.sleep(self._pause(again))
        return again

    def _pause(self, again: Request) -> float:
        longest = self.crawler.settings.getfloat("TOCSIN_PATIENCE")
        return float(min(longest, BACKOFF_SECONDS * 2 ** (again.meta["retry_times"] - 1)))


def retry_after(response: Response, now: datetime | None = None) -> float | None:
    """Seconds that the response's Retry-After header asks us to wait; None without a usable header."""
    text = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
