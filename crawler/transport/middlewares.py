"""Downloader middlewares of a crawl: the allow-list before anything else, and patience where a site asks for it."""

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

from crawler.transport.allow_list import Refused, check

BACKOFF_SECONDS = 1.0
LATER = frozenset({429, 503})


class Gate:
    """First of the middlewares: refuses what the source does not declare, and counts it by host.

    The download handler checks again. Here it is done so early that not even robots.txt is asked of such a host.
    """

    def __init__(self, allowed: frozenset[tuple[str, int]], refused: Counter[str], *, onion: bool = False) -> None:
        self._allowed, self._onion = allowed, onion
        self._refused = refused

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """With the source's allow-list; counts into the spider's `refused`."""
        allowed = frozenset((str(host), int(port)) for host, port in crawler.settings.getlist("TOCSIN_ALLOWED"))
        refused: Counter[str] = crawler.spider.refused  # type: ignore[union-attr] # every spider of ours has it
        return cls(allowed, refused, onion=crawler.settings.getbool("TOCSIN_ONION"))

    def process_request(self, request: Request) -> None:
        """Raise Refused unless the address is declared."""
        try:
            check(request.url, self._allowed, onion=self._onion)
        except Refused as error:
            self._refused[error.host] += 1
            raise


class Patience(RetryMiddleware):
    """Scrapy's retries, each after a pause: what Retry-After says, at most `TOCSIN_PATIENCE` seconds, else 1, 2, 4."""

    async def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        """The response, or the request once more after its pause."""
        again = super().process_response(request, response)
        if isinstance(again, Request):
            asked = retry_after(response) if response.status in LATER else None
            longest = self.crawler.settings.getfloat("TOCSIN_PATIENCE")
            if asked is not None and asked > longest:
                return response
            await asyncio.sleep(self._pause(again) if asked is None else asked)
        return again

    async def process_exception(self, request: Request, exception: Exception) -> Request | Response | None:  # type: ignore[override]
        """The request once more after its pause, None where it would not help."""
        again = super().process_exception(request, exception)
        if isinstance(again, Request):
            await asyncio.sleep(self._pause(again))
        return again

    def _pause(self, again: Request) -> float:
        longest = self.crawler.settings.getfloat("TOCSIN_PATIENCE")
        return float(min(longest, BACKOFF_SECONDS * 2 ** (again.meta["retry_times"] - 1)))


def retry_after(response: Response, now: datetime | None = None) -> float | None:
    """Seconds that the answer asks us to wait, None where it does not say."""
    text = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
