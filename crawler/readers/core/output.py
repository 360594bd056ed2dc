"""What every reader works with: limits, a source of bytes, the frames that go out; formats are left to others."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from crawler.readers.core.limits import (
    ENTRY_FLOORS,
    MAX_CELLS,
    MAX_FRAME,
    MAX_GROWTH,
    MAX_NAME,
    MAX_PROBLEMS,
    MAX_ROWS,
    MAX_TEXT,
    MAX_VALUES,
    PIECE,
    REREAD_FLOOR,
    REREAD_RATIO,
    TREE_FLOORS,
    ContentsTooLarge,
    Limits,
)
from data.errors import LimitReached


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
        self.known_archives: dict[bytes, tuple[int, bytes]] = {}
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

    def mark_end_unknown(self) -> None:
        """Where the format of the open member ends is not known, for what was read of it is damaged."""
        self._open[-1].lost = True

    @property
    def end_unknown(self) -> bool:
        """Whether it was said that the end of the open member is not known."""
        return self._open[-1].lost

    def problem_once(self, code: str, detail: str, *, incomplete: bool = False) -> None:
        """As `problem`, but each code once for the open member, with loss and without."""
        if (code, incomplete) not in self._open[-1].said:
            self._open[-1].said.add((code, incomplete))
            self.problem(code, detail, incomplete=incomplete)

    def may_try_embedded(self) -> bool:
        """Whether packed files may still be looked for inside other bytes: not where nearly none is one."""
        return self._again <= max(REREAD_FLOOR, REREAD_RATIO * (self._taken + self._unpacked - self._inside))

    def count_embedded(self, taken: int) -> None:
        """A packed file inside other bytes ended, the last member, of which `taken` bytes are not read again."""
        # a reader may look a piece ahead
        self._inside += self._ended
        self._again += max(0, self._ended - taken - PIECE)

    def count_input(self, data: bytes) -> None:
        """Bytes of the sample itself came in (they do not go out again)."""
        self._taken += len(data)

    def member_bytes(self, data: bytes, depth: int) -> None:
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
            raise ContentsTooLarge(sentence, level + 1)

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
        if self._given > self.limits.max_output + MAX_GROWTH * (self._taken + self._unpacked):
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
