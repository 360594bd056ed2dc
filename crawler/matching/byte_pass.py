"""The byte pass of one sample beside its record pass: large samples are scanned by a thread of their own.

The compiled loops of `crawler.matching.byte_scanner` hold no lock, so that both passes keep a processor busy each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from isal import isal_zlib

from crawler.matching.byte_scanner import ByteScanner, Candidate

# A sample of fewer bytes is scanned at once: a thread costs more than it saves.
AT_ONCE = 2**20
# Pieces on their way; each is at most a frame.
MOST_WAITING = 4


class Scanned(Protocol):
    """A sample or member while it is open."""

    scanner: ByteScanner
    digest: Any
    crc: int


M = TypeVar("M", bound=Scanned)


class BytePass:
    """Feeds bytes to scanners in order, and hands on what they find in the thread that asks."""

    def __init__(self, found: Callable[[Sequence[Candidate], Sequence[Any]], None]) -> None:
        """`found` takes candidates and the sample and members that they count for."""
        self._found = found
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[Future[list[Candidate]], Sequence[Any]]] = deque()
        self._seen = 0

    def feed(self, member: M, data: bytes | bytearray, counts_for: Sequence[M]) -> None:
        """Take the next bytes of a member, which must not change afterwards."""
        self._seen += len(data)
        if self._seen <= AT_ONCE:
            self._found(_scan(member, data), counts_for)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="byte pass")
        self._waiting.append((self._thread.submit(_scan, member, data), counts_for))
        while len(self._waiting) > MOST_WAITING or (self._waiting and self._waiting[0][0].done()):
            self._take()

    def finish(self, member: M, counts_for: Sequence[M]) -> None:
        """The member is over: what its scanner held back is looked at as well."""
        self.wait()
        self._found(member.scanner.finish(), counts_for)

    def wait(self) -> None:
        """Until all that was fed is scanned and told."""
        while self._waiting:
            self._take()

    def close(self) -> None:
        """End the thread; what is on its way is not told."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _take(self) -> None:
        future, counts_for = self._waiting.popleft()
        self._found(future.result(), counts_for)


def _scan(member: Scanned, data: bytes | bytearray) -> list[Candidate]:
    member.digest.update(data)
    member.crc = isal_zlib.crc32(data, member.crc)
    return member.scanner.feed(data)
