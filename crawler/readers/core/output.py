"""What every reader works with: limits, a source of bytes, the frames that go out; formats are left to others."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from data.errors import LimitReached, ReaderFailed

HEAD = 65_536
"""Bytes of a sample or member that decide its format."""
PIECE = 65_536
"""Bytes that a reader takes at a time."""
MAX_NAME = 1024
MAX_PROBLEMS = 50
# 262,144 cells are 1 MiB of offsets: with at most 2 MiB of values a frame stays under 4 MiB
MAX_CELLS = 262_144
MAX_ROWS = 4096
MAX_VALUES = 2 * 2**20
MAX_TEXT = 2**20
MAX_FRAME = 4 * 2**20
# rows and text may be this many times larger than the bytes they were made of (padding of ragged rows, escapes)
ALLOWANCE = 8
# what begins like a packed file and is none may make its bytes be read so many times over
AGAIN, AGAIN_FLOOR = 16, 64 * 2**20
# a member below this size is never called a bomb, whatever its ratio
RATIO_FLOOR = 4 * 2**20
# and so with all that is inside the sample together, inside a member of it, inside a member of that …: trees of small
# bombs. An inner one ends first, so that what stands beside it is read.
TREE_FLOORS = tuple(size * 2**20 for size in (512, 128, 64, 32, 16))
# the same for numbers of members, of which no format writes more than its bytes
ENTRY_FLOORS = (32_000, 8000, 4000, 2000, 1000)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the reading of one sample may cost.

    Attributes:
        memory: bytes of address space, beside what is held. cpu: seconds of processor time.
        hold: bytes of a sample that a format with random access may keep in memory.
        wall: seconds in which the reader neither waits for input nor for its output to be taken.
        patience: seconds in all, waiting included, before the last byte was handed over.
        max_output: bytes that containers may unpack to. max_entries: members at all depths.
        max_depth: containers inside containers. max_ratio: unpacked bytes for one packed byte, through all layers, and
        of all that is inside a member for one byte of it.
        max_line: bytes of one line or record. max_columns: columns of one table.
    """

    memory: int = 512 * 2**20
    hold: int = 2**30
    cpu: float = 600.0
    wall: float = 600.0
    patience: float = 86_400.0
    max_output: int = 64 * 2**30
    max_entries: int = 1_000_000
    max_depth: int = 8
    max_ratio: float = 2000.0
    max_line: int = 2**20
    max_columns: int = 1024


class Damaged(ReaderFailed):
    """The bytes of a container end or go wrong here; what was read before stays.

    Attributes:
        code: one word for the problem frame.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class TooMuchInside(LimitReached):
    """What is inside a member is far more than it can honestly hold; the member ends, and what follows it is read.

    Attributes:
        depth: of the member, as `Output.depth`.
    """

    def __init__(self, sentence: str, depth: int) -> None:
        super().__init__(sentence)
        self.depth = depth


class Reader(Protocol):
    """What a module of `crawler.readers.core.members` offers, and is found by."""

    FORMAT: str

    def sniff(self, head: bytes, name: str) -> float:
        """How sure it is that this is its format, 0..1, from the first `HEAD` bytes and the member's name."""
        ...

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Read the source and say what it holds; the member is begun and ended by the caller."""
        ...


class Source:
    """The bytes of one sample or member, read once from front to back.

    Damage met on the way ends the stream and is kept in `damage`: readers see a short source and need not care.

    Args:
        chunks: the bytes in order, any cut.
        name: as the container says it, '' for the sample itself.
        amplification: how many bytes one byte of the whole sample has become here so far.
    """

    def __init__(
        self, chunks: Iterator[bytes], name: str = "", amplification: Callable[[], float] = lambda: 1.0
    ) -> None:
        self.name = name[:MAX_NAME]
        self.bytes = 0
        self.damage: Damaged | None = None
        self.amplification = amplification
        self._chunks = chunks
        self._data = b""
        self._at = 0
        self._watch: Callable[[bytes], None] | None = None
        self._taken: Callable[[bytes], None] | None = None
        self._told = 0

    @property
    def position(self) -> int:
        """Bytes that were read so far."""
        return self.bytes - (len(self._data) - self._at)

    def watch(self, observer: Callable[[bytes], None]) -> None:
        """Hand every byte to the observer once, in order, those already peeked at included."""
        self._watch = observer
        if self._at < len(self._data):
            observer(self._data[self._at :])

    def watch_taken(self, observer: Callable[[bytes], None]) -> None:
        """Hand every byte to the observer that is read, and none that is peeked at alone; `left` hands on the last."""
        self._taken, self._told = observer, self._at

    def tell(self) -> None:
        """Hand on what was read since the last time to who watches that; it cannot be gone back over any more."""
        if self._taken is not None and self._told < self._at:
            self._taken(self._data[self._told : self._at])
            self._told = self._at

    def left(self) -> bytes:
        """What was fetched and not read; the source is over."""
        self.tell()
        data, self._data, self._at, self._told = self._data[self._at :], b"", 0, 0
        self.bytes -= len(data)
        return data

    def unread(self, data: bytes) -> None:
        """Put back bytes that were read last, in whatever pieces; whoever watches does not see them again."""
        self.tell()
        self._data, self._at, self._told = data + self._data[self._at :], 0, 0

    def _fetch(self) -> bytes:
        if self.damage is not None:
            return b""
        try:
            for chunk in self._chunks:
                if chunk:
                    self.bytes += len(chunk)
                    if self._watch is not None:
                        self._watch(chunk)
                    return chunk
        except Damaged as error:
            self.damage = error
        return b""

    def peek(self, size: int) -> bytes:
        """Up to `size` of the next bytes, which stay to be read; fewer only at the end."""
        if len(self._data) - self._at < size:
            parts = [self._data[self._at :]]
            have = len(parts[0])
            while have < size and (chunk := self._fetch()):
                parts.append(chunk)
                have += len(chunk)
            self.tell()
            self._data, self._at, self._told = b"".join(parts), 0, 0
        return self._data[self._at : self._at + size]

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        data = self.peek(size)
        self._at += len(data)
        return data

    def piece(self, size: int = PIECE) -> bytes:
        """The next bytes, at most `size` and at least one; empty only at the end."""
        if self._at >= len(self._data):
            self.tell()
            self._data, self._at, self._told = self._fetch(), 0, 0
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def back(self, size: int) -> None:
        """Step back over the last `size` bytes of the piece that was read last."""
        self._at -= size

    def skip(self, size: int) -> int:
        """Read over `size` bytes; how many there were."""
        left = size
        while left and (piece := self.piece(min(left, PIECE))):
            left -= len(piece)
        return size - left

    def hold(self, limit: int) -> bytearray:
        """All that is left, in memory, for formats that must be read in any order.

        Raises:
            Damaged: there is more than `limit` bytes; the rest is left to the byte pass. Where the stream is cut by
                damage, what came is given and the damage stays in `damage`.
        """
        held = bytearray()
        while piece := self.piece(2**20):
            held += piece
            if len(held) > limit:
                raise Damaged("size", f"its format needs all of it in memory, and it is larger than {limit} bytes")
        return held

    def drain(self) -> None:
        """Take what is left, so that whoever watches sees every byte."""
        while self.piece(2**20):
            pass


@dataclass(slots=True)
class _Open:
    """A member that has begun and not ended.

    Attributes:
        start: bytes of all members before it. first: how many members there were. size: its bytes so far.
        closed: nothing more is opened inside it.
    """

    start: int = 0
    first: int = 0
    size: int = 0
    closed: bool = False
    complete: bool = True
    problems: int = 0
    lost: bool = False
    said: set[tuple[str, bool]] = field(default_factory=set)


T = TypeVar("T", bound=Sized)


class Output:
    """The frames of one sample, in order and within limits.

    Args:
        send: takes the kind and the payload of one frame, blocking until it is on its way.
        limits: of the sample.

    Every method that gives bytes out raises LimitReached when the sample has given too many.
    """

    def __init__(self, send: Callable[[bytes, bytes], None], limits: Limits) -> None:
        self.limits = limits
        self._send = send
        self._open: list[_Open] = []
        self._entries = 0
        self._taken = 0
        self._unpacked = 0
        self._given = 0
        self._ended = 0
        # bytes that packed files inside other bytes were given, and of these the ones that are read once more
        self._inside = 0
        self._again = 0
        self.packed: dict[bytes, tuple[int, bytes]] = {}
        """Packed files that were read as members: by their first bytes, how long they are and their digests."""

    @property
    def depth(self) -> int:
        """How many members are open; 1 inside the sample itself."""
        return len(self._open)

    def begin(self, name: str, kind: str) -> None:
        """Begin a member (first of all the sample itself, whose name is empty)."""
        if self._open:
            self._entries += 1
            if self._entries > self.limits.max_entries:
                raise LimitReached(f"more than {self.limits.max_entries} members")
            self._weigh()
        self._open.append(_Open(self._unpacked, self._entries))
        # a name may hold lone surrogates, which are no UTF-8
        clean = name[:MAX_NAME].encode("utf-8", "replace").decode()
        self._send(b"M", orjson.dumps({"name": clean, "format": kind}))

    def end(self, size: int) -> None:
        """End the open member, which had `size` bytes."""
        member = self._open.pop()
        self._ended = member.size
        self._send(b"E", orjson.dumps({"bytes": size, "complete": member.complete}))

    def finish(self) -> None:
        """The sample is over."""
        self._send(b"Z", b"{}")

    def problem(self, code: str, detail: str, *, incomplete: bool = False) -> None:
        """Say what is wrong with the open member; `incomplete` if bytes of it were not examined because of that.

        The detail never holds content.
        """
        member = self._open[-1]
        if incomplete:
            member.complete = False
        member.problems += 1
        if member.problems <= MAX_PROBLEMS:
            self._send(b"P", orjson.dumps({"code": code, "detail": detail}))

    def lost(self) -> None:
        """Where the format of the open member ends is not known, for what was read of it is damaged."""
        self._open[-1].lost = True

    @property
    def is_lost(self) -> bool:
        """Whether it was said that the end of the open member is not known."""
        return self._open[-1].lost

    def problem_once(self, code: str, detail: str, *, incomplete: bool = False) -> None:
        """As `problem`, but each code once for the open member, with loss and without."""
        if (code, incomplete) not in self._open[-1].said:
            self._open[-1].said.add((code, incomplete))
            self.problem(code, detail, incomplete=incomplete)

    def may_try(self) -> bool:
        """Whether packed files may still be looked for inside other bytes: not where nearly none is one."""
        return self._again <= max(AGAIN_FLOOR, AGAIN * (self._taken + self._unpacked - self._inside))

    def tried(self, taken: int) -> None:
        """A packed file inside other bytes ended, the last member, of which `taken` bytes are not read again."""
        # a reader may look a piece ahead
        self._inside += self._ended
        self._again += max(0, self._ended - taken - PIECE)

    def took(self, data: bytes) -> None:
        """Bytes of the sample itself came in (they do not go out again)."""
        self._taken += len(data)

    def raw(self, data: bytes, depth: int) -> None:
        """Unpacked bytes of the member that is open at a depth, for the byte pass."""
        self._unpacked += len(data)
        self._open[depth - 1].size += len(data)
        if self._unpacked > self.limits.max_output:
            raise LimitReached(f"more than {self.limits.max_output} bytes unpacked")
        for start in range(0, len(data), MAX_TEXT):
            self._send(b"B", data[start : start + MAX_TEXT])
        # last: they may be bytes of another member than the one that ends
        self._weigh()

    def is_closed(self, depth: int) -> bool:
        """Whether nothing more is opened inside the member that is open at a depth: there was too much inside."""
        return self._open[depth - 1].closed

    def _weigh(self) -> None:
        """See whether all that is inside a member is more than it can hold, from the outermost on."""
        deepest = len(TREE_FLOORS) - 1
        for level, member in enumerate(self._open):
            if member.closed:
                continue
            size, floor = member.size if level else self._taken, min(level, deepest)
            # each layer of containers gives its bytes out once more
            most = max(TREE_FLOORS[floor], self.limits.max_ratio * size * (len(self._open) - level))
            if self._unpacked - member.start > most:
                sentence = f"what is inside it is more than {self.limits.max_ratio:g} times its size"
            elif self._entries - member.first > max(ENTRY_FLOORS[floor], size):
                sentence = "there are more members inside it than it has bytes"
            else:
                continue
            if not level:
                raise LimitReached(sentence)
            member.closed = True
            raise TooMuchInside(sentence, level + 1)

    def text(self, data: bytes) -> None:
        """Running text of the open member, UTF-8; the caller cuts it where no value is torn."""
        if data:
            self._count(len(data))
        start = 0
        while start < len(data):
            stop = start + MAX_TEXT
            # never in the middle of a letter
            for _ in range(3):
                stop -= stop < len(data) and data[stop] & 0xC0 == 0x80
            self._send(b"T", data[start:stop])
            start = stop

    def header(self, columns: Sequence[str] | None) -> None:
        """Begin a table; None where the names are not known or stand in the first row."""
        names = None if columns is None else [name.encode("utf-8", "replace").decode() for name in columns]
        self._send(b"H", orjson.dumps({"columns": names}))

    def columns(self, columns: Sequence[Sequence[bytes]]) -> None:
        """Rows of the open table given by column, all of equal length and UTF-8."""
        for part in _slices(columns):
            self._rows(part, _join)

    def columns_latin(self, columns: Sequence[Sequence[str]]) -> None:
        """As `columns`, where each character stands for one byte of UTF-8: the form in which csv hands values over."""
        for part in _slices(columns):
            self._rows(part, _join_latin)

    def rows(self, rows: Sequence[Sequence[bytes]]) -> None:
        """Rows of any widths: short ones are filled up with empty values to the widest beside them."""
        start = 0
        while start < len(rows):
            width = max(1, len(rows[start]))
            stop = start
            # a wide row beside narrow ones must not multiply them: the padded cells of one frame are bounded
            while stop < len(rows) and stop - start < MAX_ROWS:
                wider = max(width, len(rows[stop]))
                if stop > start and wider * (stop - start + 1) > MAX_CELLS:
                    break
                width, stop = wider, stop + 1
            self._rows(
                [[row[index] if index < len(row) else b"" for row in rows[start:stop]] for index in range(width)], _join
            )
            start = stop

    def cells(self, block: bytes, starts: NDArray[np.uint32], ends: NDArray[np.uint32]) -> bool:
        """Rows of the open table as they stand in a block of UTF-8; False, and nothing is given, if it is too large.

        Args:
            block: what the cells are part of.
            starts: where each begins, shape (rows, columns).
            ends: where each ends.
        """
        rows, columns = starts.shape
        size = 8 + 2 * 4 * rows * columns + len(block)
        if size > MAX_FRAME:
            return False
        if not rows:
            return True
        self._count(size)
        self._send(b"C", b"".join((array("I", (rows, columns)), starts.data, ends.data, block)))
        return True

    def _rows(self, columns: Sequence[Sequence[T]], join: Callable[[Sequence[T]], bytes]) -> None:
        count = len(columns[0])
        ends = [array("I", accumulate(map(len, column), initial=0)) for column in columns]
        size = sum(end[-1] for end in ends)
        if size > MAX_VALUES and count > 1:
            half = count // 2
            self._rows([column[:half] for column in columns], join)
            self._rows([column[half:] for column in columns], join)
            return
        parts = [array("I", (count, len(columns))).tobytes()]
        for end, column in zip(ends, columns, strict=True):
            parts.append(end.tobytes())
            parts.append(join(column))
        payload = b"".join(parts)
        self._count(len(payload))
        self._send(b"R", payload)

    def _count(self, size: int) -> None:
        self._given += size
        if self._given > self.limits.max_output + ALLOWANCE * (self._taken + self._unpacked):
            raise LimitReached("rows and text are far larger than what they were read from")


def _slices(columns: Sequence[Sequence[T]]) -> Iterator[Sequence[Sequence[T]]]:
    rows = len(columns[0]) if columns else 0
    step = max(1, min(MAX_ROWS, MAX_CELLS // max(1, len(columns))))
    for start in range(0, rows, step):
        yield [column[start : start + step] for column in columns]


def _join(values: Sequence[bytes]) -> bytes:
    return b"".join(values)


def _join_latin(values: Sequence[str]) -> bytes:
    return "".join(values).encode("latin-1")
