"""The byte pass of one sample, which runs beside its record pass; large samples are scanned in a thread of their own.

The compiled loops of `crawler.matching.byte_scanner` hold no lock, so that each pass can use a processor of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from isal import isal_zlib

from crawler.matching.byte_scanner import ByteScanner
from crawler.matching.candidates import Candidates
from crawler.matching.matched_lines import NOTHING, Piece

# Up to this many bytes are scanned in the calling thread: a thread of its own would cost more than it saves.
MAX_WITHOUT_THREAD = 2**20
# So many pieces may wait for the thread; each is one frame at most.
MAX_WAITING = 4


class ScannedMember(Protocol):
    """A sample or member while it is open."""

    scanner: ByteScanner
    digest: Any
    crc: int


M = TypeVar("M", bound=ScannedMember)


class BytePass:
    """Feeds bytes to the scanners of members in order, and hands on their candidates in the calling thread."""

    def __init__(self, found: Callable[[Candidates, Sequence[Any], Piece], None]) -> None:
        """Begin a sample; `found` is called with candidates, the sample and members that they count for, and their bytes."""
        self._found = found
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[Future[Candidates], Sequence[Any], Piece]] = deque()
        # the last piece of each open member
        self._pieces: dict[int, Piece] = {}
        self._seen = 0

    def begin_at(self, member: M, place: int) -> None:
        """The first bytes of a member that are fed are those from this place on."""
        self._pieces[id(member)] = Piece(b"", place)

    def feed(self, member: M, data: bytes | bytearray, counts_for: Sequence[M]) -> None:
        """Scan the next bytes of a member; `data` must not change afterwards."""
        self._seen += len(data)
        piece = self._pieces[id(member)] = self._pieces.get(id(member), NOTHING).next(data)
        if self._seen <= MAX_WITHOUT_THREAD:
            self._found(_scan(member, data), counts_for, piece)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="byte pass")
        self._waiting.append((self._thread.submit(_scan, member, data), counts_for, piece))
        while len(self._waiting) > MAX_WAITING or (self._waiting and self._waiting[0][0].done()):
            self._hand_on_next()

    def finish(self, member: M, counts_for: Sequence[M]) -> None:
        """End a member: the bytes that its scanner held back are scanned as well."""
        self.wait()
        self._found(member.scanner.finish(), counts_for, self._pieces.pop(id(member), NOTHING))

    def wait(self) -> None:
        """Wait until all bytes are scanned and all candidates handed on."""
        while self._waiting:
            self._hand_on_next()

    def close(self) -> None:
        """End the thread; pieces that still wait are dropped."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _hand_on_next(self) -> None:
        future, counts_for, piece = self._waiting.popleft()
        self._found(future.result(), counts_for, piece)


def _scan(member: ScannedMember, data: bytes | bytearray) -> Candidates:
    member.digest.update(data)
    member.crc = isal_zlib.crc32(data, member.crc)
    return member.scanner.feed(data)
