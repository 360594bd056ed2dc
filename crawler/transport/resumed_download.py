"""One large body read to its end, over as many requests as that takes; who carries them is left to `fetch`.

Where a connection breaks, the rest is asked for by Range, if the answer named a version that If-Range can hold on to
(a strong ETag, or a Last-Modified that was over). Else, or where the server does not do that, the body is asked for
again from its start, and the bytes that are known already are compared by digest and not given twice. A server that
answers with other bytes than were asked for is never believed. A file that changed meanwhile is read again from the
start, and the reader is told to forget what it had.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from scrapy.http import Response

from crawler.transport.content_encoding import Coding, Damaged
from crawler.transport.content_ranges import Version, part_of, whole_size
from crawler.transport.errors import TOO_LARGE, Trouble, trouble_of
from crawler.transport.middlewares import BACKOFF_SECONDS, LATER, retry_after
from crawler.transport.streamed_response import BROKEN, StreamedResponse, announced_bytes

# Requests in a row that bring nothing on; each has had the retries of any request before.
MAX_TRIES = 5
# Less than this does not count as getting on: else a server that gives a byte at a time is asked for ever.
PROGRESS = 2**14
# Requests for one body: a file of 64 GiB that breaks off every 64 MiB.
MAX_RESUMES = 1000
# Times that a file may change while it is read.
MAX_CHANGES = 3
GONE = frozenset({404, 410})

Fetch = Callable[[Mapping[str, str]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one body may cost.

    Attributes:
        max_bytes: of the body, packed and unpacked. stall: seconds without a byte after which a connection counts as
            broken. patience: longest pause before a request. wall: seconds of a whole crawl. deadline: when they are over,
            by the monotonic clock.
    """

    max_bytes: int
    stall: float
    patience: float
    wall: float
    deadline: float


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a further request came to.

    Attributes:
        answer: bytes from the place that was asked for, or from the start, of which the first `known` are known.
        trouble: why there is no such answer; `final` where asking again is of no use.
        whole: there are no further bytes. changed: the file is another one by now; `answer` begins it, if there is one.
    """

    answer: StreamedResponse | None = None
    known: int = 0
    trouble: Trouble | None = None
    final: bool = False
    whole: bool = False
    changed: bool = False


class Download:
    """A body that is read once, or from its start again where `changed` says so.

    Attributes:
        trouble: why reading ended before the body did; None where it did not. trouble.retry: it may go better next time.
        changed: the file changed while it was read: forget what was read and read again.
        resumes: further requests that were made for it.
    """

    def __init__(
        self, first: StreamedResponse, fetch: Fetch, bounds: Bounds, *, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """For one answer.

        Args:
            first: with its beginning in `body`; closed by `read`, or by `close`.
            fetch: asks for the same address with further headers and `meta[STREAM] = 0`.
            bounds: of this body.
            stopped: whether the crawl is to end.
        """
        self.trouble: Trouble | None = None
        self.changed = False
        self.resumes = self.changes = 0
        self._answer: StreamedResponse | None = first
        self._head = first
        self._fetch, self._bounds, self._stopped = fetch, bounds, stopped
        self._began = time.monotonic()
        self._ranges = True
        self._version, self._encodings = Version.of(first.headers), first.encodings
        self._total: int | None = None

    def head(self, size: int = 2**16) -> bytes:
        """The first bytes as they are read, as far as they came with the first answer."""
        found = bytearray()
        try:
            for piece in Coding(self._head.encodings).feed(self._head.body):
                found += piece
                if len(found) >= size:
                    break
        except Damaged:
            # told by whoever reads it
            return bytes(found[:size])
        return bytes(found[:size])

    def problem(self) -> str:
        """Why what was read is not all; '' where it is."""
        if self.changed:
            return "changed: the file changed on its server while it was read"
        return "" if self.trouble is None else str(self.trouble)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The unpacked body in pieces of a few MiB at most, from its first byte; then `trouble` and `changed` hold."""
        self.trouble, self.changed = None, False
        given = 0
        try:
            if self._answer is None:
                reply = await self._ask(0)
                if reply.answer is None:
                    self.trouble = reply.trouble or Trouble(
                        "cut", "the file was gone when it was read again", retry=True
                    )
                    return
                self._answer = reply.answer
            coding = Coding(self._answer.encodings)
            async for chunk in self._wire(self._answer):
                for piece in coding.feed(chunk):
                    given += len(piece)
                    if given > self._bounds.max_bytes:
                        self.trouble = Trouble("too_large", TOO_LARGE, retry=False)
                        return
                    yield piece
            if self.trouble is None and not self.changed:
                coding.finish()
        except Damaged as error:
            self.trouble = Trouble("encoding", str(error), retry=True)
        finally:
            if not self.changed:
                await self.close()

    async def close(self) -> None:
        """Let the connection go."""
        if self._answer is not None:
            await self._answer.close()

    # --- the wire ------------------------------------------------------------------------------------------------

    async def _wire(self, answer: StreamedResponse) -> AsyncIterator[bytes]:
        """The body as it is packed, each byte once."""
        self._version, self._encodings = Version.of(answer.headers), answer.encodings
        self._total = announced_bytes(answer.headers) or None
        position = reached = tries = known = 0
        passed, seen_again = hashlib.sha256(), hashlib.sha256()
        while True:
            try:
                async for piece in self._chunks(answer):
                    again, chunk = piece[:known], piece[known:]
                    known -= len(again)
                    seen_again.update(again)
                    if again and not known and seen_again.digest() != passed.digest():
                        await answer.close()
                        self._note_change(None)
                        return
                    if chunk:
                        passed.update(chunk)
                        position += len(chunk)
                        if position > self._bounds.max_bytes:
                            self.trouble = Trouble("too_large", TOO_LARGE, retry=False)
                            return
                        yield chunk
            except BROKEN as error:
                cause: Trouble | None = trouble_of(error)
            else:
                if known and self.trouble is None:
                    # from the start again, and shorter
                    self._note_change(None)
                if self.trouble is not None or self.changed or not self._goes_on(answer, position):
                    return
                cause = None
            await answer.close()
            while True:
                tries = 0 if position - reached >= PROGRESS else tries + 1
                reached = position if not tries else reached
                if not await self._may_ask(tries, position, cause):
                    return
                reply = await self._ask(position)
                if reply.whole:
                    return
                if reply.changed:
                    self._note_change(reply.answer)
                    return
                if reply.answer is not None:
                    answer = self._answer = reply.answer
                    known, seen_again = reply.known, hashlib.sha256()
                    break
                cause = reply.trouble
                if reply.final:
                    self.trouble = cause
                    return

    async def _chunks(self, answer: StreamedResponse) -> AsyncIterator[bytes]:
        """What one answer gives; raises one of BROKEN where it ends too early or nothing comes for too long."""
        if answer.body:
            yield answer.body
        rest = aiter(answer.rest)
        while not self._is_over():
            left = self._bounds.deadline - time.monotonic()
            try:
                async with asyncio.timeout(min(self._bounds.stall, left)):
                    chunk = await anext(rest)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if self._is_over():
                    return
                raise
            yield chunk

    @staticmethod
    def _goes_on(answer: StreamedResponse, position: int) -> bool:
        """Whether there is more behind an answer that ended as it should: a server may give less than was asked for."""
        part = part_of(answer.headers) if answer.status == 206 else None
        return part is not None and position != part.total

    def _is_over(self) -> bool:
        """Whether the crawl ends, noted as the trouble of this body."""
        if self._stopped():
            self.trouble = Trouble("stopped", "the crawl was ended while it was read", retry=True)
        elif time.monotonic() >= self._bounds.deadline:
            # one that alone takes most of a crawl will not be read by the next one either
            mine = time.monotonic() - self._began >= self._bounds.wall / 2
            self.trouble = Trouble("wall", "the time of the crawl was over before all of it was read", retry=not mine)
        return self.trouble is not None

    async def _may_ask(self, tries: int, position: int, cause: Trouble | None) -> bool:
        """Whether to ask once more, after the pause that belongs before it."""
        pause = min(self._bounds.patience, BACKOFF_SECONDS * 2 ** (tries - 1)) if tries else 0.0
        if self.trouble is not None or self._is_over():
            return False
        if tries > MAX_TRIES or self.resumes >= MAX_RESUMES:
            why = cause.detail if cause else "it broke"
            self.trouble = Trouble("cut", f"{position} bytes came, and then no more: {why}", retry=True)
            return False
        if time.monotonic() + pause >= self._bounds.deadline:
            pause = max(0.0, self._bounds.deadline - time.monotonic())
        await asyncio.sleep(pause)
        return not self._is_over()

    def _note_change(self, answer: StreamedResponse | None) -> None:
        self.changes += 1
        self._answer = answer
        if self.changes > MAX_CHANGES:
            self.trouble = Trouble("changed", "the file changed again and again while it was read", retry=True)
        else:
            self.changed = True
            self._ranges = True

    # --- further requests ----------------------------------------------------------------------------------------

    async def _ask(self, position: int) -> _Reply:
        """Ask for what lies behind `position`, or for all of it."""
        validator = self._version.validator() if position and self._ranges else ""
        headers = {"Range": f"bytes={position}-", "If-Range": validator} if validator else {}
        self.resumes += 1
        try:
            answer = await self._fetch(headers)
        except Exception as error:  # noqa: BLE001 - named by its class; the body is told as cut
            trouble = trouble_of(error)
            return _Reply(trouble=trouble, final=not trouble.retry)
        if isinstance(answer, StreamedResponse):
            reply = self._part(answer, position) if answer.status == 206 else self._from_start(answer, position)
            if reply.answer is None:
                await answer.close()
            return reply
        if answer.status == 416 and validator:
            return self._behind_the_end(answer, position)
        return self._refused(answer)

    def _part(self, answer: StreamedResponse, position: int) -> _Reply:
        part, version = part_of(answer.headers), Version.of(answer.headers)
        if self._version.differs(version):
            return _Reply(changed=True)
        size = announced_bytes(answer.headers)
        sound = part is not None and part.first == position and size in (0, part.last - part.first + 1)
        if not position or part is None or not sound or answer.encodings != self._encodings:
            # its parts cannot be relied on: whole answers are asked for from now on, and compared
            self._ranges = False
            return _Reply(
                trouble=Trouble("cut", "the server resumed at another place than it was asked to", retry=True)
            )
        if part.total is not None and self._total not in (None, part.total):
            if not version.etag:
                return _Reply(changed=True)
            # the length that came first was wrong: the version is the same
            self._total = part.total
        return _Reply(answer=answer)

    def _from_start(self, answer: StreamedResponse, position: int) -> _Reply:
        if position and (self._version.differs(Version.of(answer.headers)) or answer.encodings != self._encodings):
            return _Reply(answer=answer, changed=True)
        return _Reply(answer=answer, known=position)

    def _behind_the_end(self, answer: Response, position: int) -> _Reply:
        size = whole_size(answer.headers)
        if self._version.differs(Version.of(answer.headers)) or (size is not None and size < position):
            return _Reply(changed=True)
        if size is not None and size == position:
            # what was announced was more than there is
            return _Reply(whole=True)
        self._ranges = False
        return _Reply(trouble=Trouble("cut", "the server refused to go on where it had stopped", retry=True))

    def _refused(self, answer: Response) -> _Reply:
        if answer.status in GONE:
            detail = f"it was taken away while it was read (status {answer.status})"
            return _Reply(trouble=Trouble("cut", detail, retry=True), final=True)
        asked = retry_after(answer) if answer.status in LATER else None
        later = asked is not None and asked > self._bounds.patience
        detail = f"the site answered with status {answer.status} when it was asked for the rest"
        return _Reply(trouble=Trouble("cut", detail, retry=True), final=later)
