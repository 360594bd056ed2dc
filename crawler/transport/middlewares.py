"""Downloader middlewares of a crawl: the allow-list, turns, a pause before each retry, and the encodings of bodies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.exceptions import DownloadCancelledError
from scrapy.http import Headers, Response, TextResponse
from scrapy.responsetypes import responsetypes
from scrapy.statscollectors import StatsCollector

from crawler.process.control_frames import TurnFrame
from crawler.transport.allow_list import RequestRefused, host_and_port, require_allowed
from crawler.transport.content_encoding import ContentDecoder, DamagedEncoding
from crawler.transport.content_ranges import content_range
from crawler.transport.errors import TOO_LARGE
from crawler.transport.streamed_response import StreamedResponse

BACKOFF_SECONDS = 1.0
REQUESTS = "downloader/request_count"
"""Name of the number of requests in the statistics of a crawl, as Scrapy calls it."""
ACCEPTED_ENCODINGS = b"gzip, deflate, br, zstd"
UNDECODED = "undecoded"
"""Flag of a response whose body does not match its Content-Encoding."""
PARTIAL = "unasked part"
"""Flag of a response that holds a part of a file, although all of it was requested.

Scrapy's own flag "partial" says that a body without Content-Length ended with its connection, which HTTP allows.
"""
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


class SharedHosts:
    """Waits for the turn of each request to a host that other sources declare as well.

    Scrapy keeps the pauses of one crawl; those between crawls of several sources, in whatever process, only their runner
    can keep. It is the last middleware that may wait, so that retries and redirects have turns of their own.
    """

    def __init__(self, shared: frozenset[str], turn_at: Callable[[str], Awaitable[None]]) -> None:
        self._shared, self._turn_at = shared, turn_at

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Asks the runner over the control socket of the spider."""
        control = crawler.spider.control  # type: ignore[union-attr] # every spider of ours has it

        async def turn_at(host: str) -> None:
            granted = False
            while not granted:
                answer = await control.ask(TurnFrame(host=host))
                await asyncio.sleep(answer.wait)
                granted = answer.granted

        return cls(frozenset(crawler.settings.getlist("TOCSIN_SHARED")), turn_at)

    async def process_request(self, request: Request) -> None:
        """Return when the request may be made; raises LeaseLost if the runner is gone."""
        host, _ = host_and_port(request.url)
        if host in self._shared:
            await self._turn_at(host)


class RequestCount:
    """Counts the requests that are sent, retries and redirects included.

    Scrapy's own statistics write each request and response once more, only to know their sizes.
    """

    def __init__(self, stats: StatsCollector) -> None:
        self._stats = stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Counts in the statistics of the crawl."""
        assert crawler.stats is not None  # noqa: S101 - Scrapy has set it
        return cls(crawler.stats)

    def process_request(self, request: Request) -> None:  # noqa: ARG002 - as Scrapy calls it
        """Count one request."""
        self._stats.inc_value(REQUESTS)


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


class ContentEncodingMiddleware:
    """Decodes bodies, and marks those that are not the whole body.

    Scrapy's own middleware takes what a damaged body gives for the whole of it. This one sets a flag of the response:
    `UNDECODED` if the body, as far as it could be decoded, is only a part or is followed by other bytes, and `PARTIAL`
    if the site sent a range that was not requested. `crawler.fetching.responses` reads these flags. A
    `StreamedResponse` is decoded by whoever reads it.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Bodies have at most `DOWNLOAD_MAXSIZE` bytes once they are decoded."""
        return cls(crawler.settings.getint("DOWNLOAD_MAXSIZE"))

    def process_request(self, request: Request) -> None:
        """Name the encodings that can be decoded, unless the request does."""
        request.headers.setdefault("Accept-Encoding", ACCEPTED_ENCODINGS)

    def process_response(self, request: Request, response: Response) -> Response:
        """The response with its body decoded.

        Raises:
            DownloadCancelledError: the decoded body is too large.
        """
        if isinstance(response, StreamedResponse):
            return response
        if is_unasked_part(request, response):
            response = response.replace(flags=[*response.flags, PARTIAL])
        encodings = response.headers.getlist("Content-Encoding")
        names = [name for line in encodings for name in line.decode("latin-1").lower().replace(" ", "").split(",")]
        if not any(names):
            return response
        body, flags, decoder = bytearray(), list(response.flags), ContentDecoder([name for name in names if name])
        try:
            for piece in decoder.feed(response.body):
                body += piece
                if len(body) > self._max_size:
                    raise DownloadCancelledError(TOO_LARGE)
            decoder.finish()
        except DamagedEncoding:
            flags.append(UNDECODED)
        headers = Headers(response.headers)
        del headers["Content-Encoding"]
        # if nothing can be decoded, the bytes may be what the header does not say
        decoded = bytes(body) or response.body
        kind = responsetypes.from_args(headers=headers, url=response.url, body=decoded)
        more = {"encoding": None} if issubclass(kind, TextResponse) else {}
        return response.replace(cls=kind, body=decoded, headers=headers, flags=flags, **more)


def is_unasked_part(request: Request, response: Response) -> bool:
    """Whether a response holds a part of a file although the request asked for all of it."""
    if response.status != 206 or "Range" in request.headers:
        return False
    part = content_range(response.headers)
    return part is None or part.first > 0 or part.last + 1 != part.total


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
