"""Reads one large body to its end, with as many requests as that takes; a `fetch` function makes the requests.

If a connection breaks, the rest is requested by Range, provided that the response named a version that If-Range can
refer to (a strong ETag, or a Last-Modified at least one second before the response). Otherwise, or if the server
ignores Range, the body is requested again from its start; the bytes that were already read are compared by digest and
not passed on twice. A response that holds other bytes than were requested is never used. If the file changed meanwhile,
it is read again from the start, and the caller is told to discard what it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from scrapy.http import Response

from crawler.transport.content_encoding import ContentDecoder, DamagedEncoding
from crawler.transport.content_ranges import FileVersion, content_range, total_size
from crawler.transport.errors import TOO_LARGE, Trouble, trouble_of
from crawler.transport.middlewares import BACKOFF_SECONDS, RETRY_AFTER_STATUSES, retry_after
from crawler.transport.streamed_response import CONNECTION_ERRORS, StreamedResponse, announced_bytes

# Requests in a row that bring no progress; each of them was retried like any other request.
MAX_TRIES = 5
# Fewer new bytes than this do not count as progress: a server that sends one byte at a time must not be asked for ever.
MIN_PROGRESS = 2**14
# Requests for one body: enough for a file of 64 GiB whose connection breaks every 64 MiB.
MAX_RESUMES = 1000
# How often a file may change while it is read.
MAX_CHANGES = 3
GONE = frozenset({404, 410})

Fetch = Callable[[Mapping[str, str]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """How large one body may be and how long reading it may take.

    Attributes:
        max_bytes: size of the body, as sent and decoded.
        stall: seconds without a byte after which a connection counts as broken.
        max_pause: longest pause before a request, in seconds.
        wall: seconds that a whole crawl may take.
        deadline: when these seconds are over, by the monotonic clock.
    """

    max_bytes: int
    stall: float
    max_pause: float
    wall: float
    deadline: float


@dataclass(frozen=True, slots=True)
class _Resumed:
    """The outcome of a further request for the same body.

    Attributes:
        response: holds the bytes from the requested position, or from the start; then the first `known` bytes of it
            have been read before. None if there is no such response.
        trouble: why there is no response.
        final: asking again is of no use.
        complete: there are no further bytes.
        changed: the file has changed; `response`, if there is one, is the beginning of the new version.
    """

    response: StreamedResponse | None = None
    known: int = 0
    trouble: Trouble | None = None
    final: bool = False
    complete: bool = False
    changed: bool = False


class Download:
    """A body that is read once, or again from its start if `changed` is true after reading.

    Attributes:
        trouble: why reading stopped before the end of the body; None if the body was read completely.
        changed: the file changed while it was read: discard what was read and read again.
        resumes: number of further requests that were made.
    """

    def __init__(
        self,
        first: StreamedResponse,
        fetch: Fetch,
        limits: DownloadLimits,
        *,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """A download that begins with one response.

        Args:
            first: response with the beginning of the body in `body`; `read` or `close` closes it.
            fetch: requests the same address with additional headers and `meta[STREAM] = 0`.
            limits: of this body.
            stopped: whether the crawl is to end.
        """
        self.trouble: Trouble | None = None
        self.changed = False
        self.resumes = self.changes = 0
        self._response: StreamedResponse | None = first
        self._first = first
        self._fetch, self._limits, self._stopped = fetch, limits, stopped
        self._began = time.monotonic()
        # whether nothing much has come since the connection broke
        self._is_stuck = False
        self._use_ranges = True
        self._version, self._encodings = FileVersion.from_headers(first.headers), first.encodings
        self._total: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the decoded body, as the site announced; 0 if it announced none."""
        return 0 if self._first.encodings else announced_bytes(self._first.headers)

    def head(self, size: int = 2**16) -> bytes:
        """The first bytes of the decoded body, as far as they arrived with the first response."""
        found = bytearray()
        try:
            for piece in ContentDecoder(self._first.encodings).feed(self._first.body):
                found += piece
                if len(found) >= size:
                    break
        except DamagedEncoding:
            # `read` reports it.
            return bytes(found[:size])
        return bytes(found[:size])

    def problem(self) -> str:
        """Why the body was not read completely; '' if it was."""
        if self.changed:
            return "changed: the file changed on its server while it was read"
        return "" if self.trouble is None else str(self.trouble)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The decoded body from its first byte, in pieces of a few MiB at most; sets `trouble` and `changed`."""
        self.trouble, self.changed = None, False
        decoded_bytes = 0
        try:
            if self._response is None:
                resumed = await self._request(0)
                if resumed.response is None:
                    self.trouble = resumed.trouble or Trouble(
                        "cut", "the file was gone when it was read again", retry=True
                    )
                    return
                self._response = resumed.response
            decoder = ContentDecoder(self._response.encodings)
            async for chunk in self._raw_body(self._response):
                for piece in decoder.feed(chunk):
                    decoded_bytes += len(piece)
                    if decoded_bytes > self._limits.max_bytes:
                        self.trouble = Trouble("too_large", TOO_LARGE, retry=False)
                        return
                    yield piece
            if self.trouble is None and not self.changed:
                decoder.finish()
        except DamagedEncoding as error:
            self.trouble = Trouble("encoding", str(error), retry=True)
        finally:
            if not self.changed:
                await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._response is not None:
            await self._response.close()

    # --- the body as sent by the server --------------------------------------------------------------------------

    async def _raw_body(self, response: StreamedResponse) -> AsyncIterator[bytes]:
        """The body before decoding, each byte once, over all requests that are needed for it."""
        self._version, self._encodings = FileVersion.from_headers(response.headers), response.encodings
        self._total = announced_bytes(response.headers) or None
        part = content_range(response.headers)
        if response.status == 206 and (part is None or part.first > 0):
            # all of the file was requested
            self.trouble = Trouble("cut", "the site sent a part of the file that was not requested", retry=True)
            return
        position = progress_from = tries = known = 0
        passed, seen_again = hashlib.sha256(), hashlib.sha256()
        while True:
            try:
                async for piece in self._chunks(response):
                    again, chunk = piece[:known], piece[known:]
                    known -= len(again)
                    seen_again.update(again)
                    if again and not known and seen_again.digest() != passed.digest():
                        await response.close()
                        self._note_change(None)
                        return
                    if chunk:
                        passed.update(chunk)
                        position += len(chunk)
                        self._is_stuck = self._is_stuck and position - progress_from < MIN_PROGRESS
                        if position > self._limits.max_bytes:
                            self.trouble = Trouble("too_large", TOO_LARGE, retry=False)
                            return
                        yield chunk
            except CONNECTION_ERRORS as error:
                cause: Trouble | None = trouble_of(error)
            else:
                if known and self.trouble is None:
                    # The body was sent again from its start, and was shorter than before.
                    self._note_change(None)
                if self.trouble is not None or self.changed or not self._has_more(response, position):
                    return
                cause = None
            await response.close()
            while True:
                tries = 0 if position - progress_from >= MIN_PROGRESS else tries + 1
                progress_from = position if not tries else progress_from
                self._is_stuck = tries > 0
                if not await self._may_request(tries, position, cause):
                    return
                resumed = await self._request(position)
                if resumed.complete:
                    return
                if resumed.changed:
                    self._note_change(resumed.response)
                    return
                if resumed.response is not None:
                    response = self._response = resumed.response
                    known, seen_again = resumed.known, hashlib.sha256()
                    break
                cause = resumed.trouble
                if resumed.final:
                    self.trouble = cause
                    return

    async def _chunks(self, response: StreamedResponse) -> AsyncIterator[bytes]:
        """The bytes of one response; raises one of CONNECTION_ERRORS if it ends too early or stalls for too long."""
        if response.body:
            yield response.body
        rest = aiter(response.rest)
        while not self._is_over():
            left = self._limits.deadline - time.monotonic()
            try:
                async with asyncio.timeout(min(self._limits.stall, left)):
                    chunk = await anext(rest)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if self._is_over():
                    return
                raise
            yield chunk

    @staticmethod
    def _has_more(response: StreamedResponse, position: int) -> bool:
        """Whether more bytes follow a response that ended properly: a server may send less than was requested."""
        part = content_range(response.headers) if response.status == 206 else None
        return part is not None and position != part.total

    def _is_over(self) -> bool:
        """Whether the crawl ends; if so, `trouble` is set."""
        if self._stopped():
            self.trouble = Trouble("stopped", "the crawl ended while the file was read", retry=True)
        elif time.monotonic() >= self._limits.deadline:
            # A body that came for at least half of the crawl's time would not be read completely by the next crawl either.
            # Where the site broke off again and again instead, the next crawl may find it well.
            most_of_it = time.monotonic() - self._began >= self._limits.wall / 2
            self.trouble = Trouble(
                "wall",
                "the time of the crawl was over before the file was read completely",
                retry=self._is_stuck or not most_of_it,
            )
        return self.trouble is not None

    async def _may_request(self, tries: int, position: int, cause: Trouble | None) -> bool:
        """Whether to make a further request, after the pause that has to precede it."""
        pause = min(self._limits.max_pause, BACKOFF_SECONDS * 2 ** (tries - 1)) if tries else 0.0
        if self.trouble is not None or self._is_over():
            return False
        if tries > MAX_TRIES or self.resumes >= MAX_RESUMES:
            why = cause.detail if cause else "the connection broke"
            self.trouble = Trouble("cut", f"the download stopped after {position} bytes: {why}", retry=True)
            return False
        if time.monotonic() + pause >= self._limits.deadline:
            pause = max(0.0, self._limits.deadline - time.monotonic())
        await asyncio.sleep(pause)
        return not self._is_over()

    def _note_change(self, response: StreamedResponse | None) -> None:
        self.changes += 1
        self._response = response
        if self.changes > MAX_CHANGES:
            self.trouble = Trouble("changed", "the file kept changing while it was read", retry=True)
        else:
            self.changed = True
            self._use_ranges = True

    # --- further requests ----------------------------------------------------------------------------------------

    async def _request(self, position: int) -> _Resumed:
        """Request the bytes from `position` on, or the whole body if a range cannot be requested safely."""
        validator = self._version.validator() if position and self._use_ranges else ""
        headers = {"Range": f"bytes={position}-", "If-Range": validator} if validator else {}
        self.resumes += 1
        try:
            response = await self._fetch(headers)
        except Exception as error:  # noqa: BLE001 - recorded by its class; the body is reported as cut
            trouble = trouble_of(error)
            return _Resumed(trouble=trouble, final=not trouble.retry)
        if isinstance(response, StreamedResponse):
            resumed = (
                self._from_position(response, position)
                if response.status == 206
                else self._from_start(response, position)
            )
            if resumed.response is None:
                await response.close()
            return resumed
        if response.status == 416 and validator:
            return self._range_not_satisfiable(response, position)
        return self._unusable(response)

    def _from_position(self, response: StreamedResponse, position: int) -> _Resumed:
        part, version = content_range(response.headers), FileVersion.from_headers(response.headers)
        if self._version.differs(version):
            return _Resumed(changed=True)
        size = announced_bytes(response.headers)
        sound = part is not None and part.first == position and size in (0, part.last - part.first + 1)
        if not position or part is None or not sound or response.encodings != self._encodings:
            # The server's ranges are unreliable: from now on the whole body is requested and compared.
            self._use_ranges = False
            return _Resumed(
                trouble=Trouble("cut", "the server resumed at another position than the requested one", retry=True)
            )
        if part.total is not None and self._total not in (None, part.total):
            if not version.etag:
                return _Resumed(changed=True)
            # The ETag shows that the version is the same: the length announced at first was wrong.
            self._total = part.total
        return _Resumed(response=response)

    def _from_start(self, response: StreamedResponse, position: int) -> _Resumed:
        version = FileVersion.from_headers(response.headers)
        if position and (self._version.differs(version) or response.encodings != self._encodings):
            return _Resumed(response=response, changed=True)
        return _Resumed(response=response, known=position)

    def _range_not_satisfiable(self, response: Response, position: int) -> _Resumed:
        size = total_size(response.headers)
        if self._version.differs(FileVersion.from_headers(response.headers)) or (size is not None and size < position):
            return _Resumed(changed=True)
        if size is not None and size == position:
            # The file ends here: its announced length was too large.
            return _Resumed(complete=True)
        self._use_ranges = False
        return _Resumed(trouble=Trouble("cut", "the server refused to send the rest of the file", retry=True))

    def _unusable(self, response: Response) -> _Resumed:
        if response.status in GONE:
            detail = f"the file was taken away while it was read (status {response.status})"
            return _Resumed(trouble=Trouble("cut", detail, retry=True), final=True)
        seconds = retry_after(response) if response.status in RETRY_AFTER_STATUSES else None
        too_long = seconds is not None and seconds > self._limits.max_pause
        detail = f"the site answered the request for the rest of the file with status {response.status}"
        return _Resumed(trouble=Trouble("cut", detail, retry=True), final=too_long)
