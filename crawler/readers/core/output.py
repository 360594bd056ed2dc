"""What a reader sends: members, problems, tables and text, as the frames of one sample.

The frames are described in `docs/architecture.md`, section 3.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate
from typing import TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from crawler.readers.core.budget import SampleBudget
from crawler.readers.core.companions import WaitingFiles
from crawler.readers.core.limits import (
    MAX_CELLS,
    MAX_FRAME,
    MAX_NAME,
    MAX_PROBLEMS,
    MAX_ROWS,
    MAX_TEXT,
    MAX_VALUES,
    Limits,
)
from crawler.readers.core.source import LineBlock
from crawler.readers.core.speed_floor import SpeedFloor


@dataclass(slots=True)
class _OpenMember:
    """A member that has begun and not ended.

    Attributes:
        complete: all of its bytes were examined. problems: how many were reported.
        end_unknown: where its format ends is not known. reported: codes of `problem_once`, without and with loss.
        kind: its format. content: bytes of rows and text in it and its members, without the headers of a mail.
        assessed: whether its bytes can hold hidden values is decided. is_picture: it is one that its document reports.
        pictures: sizes of the pictures in it that nobody reported.
    """

    kind: str
    complete: bool = True
    problems: int = 0
    end_unknown: bool = False
    reported: set[tuple[str, bool]] = field(default_factory=set)
    content: int = 0
    assessed: bool = False
    is_picture: bool = False
    pictures: list[int] = field(default_factory=list)


T = TypeVar("T", bound=Sized)

# Formats in which small pictures are mostly letterheads and icons. In every other format each picture is reported.
_DOCUMENTS = frozenset(("docx", "pptx", "xlsx", "ods", "odt", "ole", "eml", "html", "rtf"))
# formats whose own text are headers
_MAILS = frozenset(("eml",))
# A picture of this many bytes may be a photographed page or a screenshot. Logos are mostly smaller.
_LARGE_PICTURE = 2**15
# A document with fewer bytes of text has its content in its pictures.
_LITTLE_TEXT = 300
# values whose digests are remembered
_MAX_DECODED = 2**16


class Output:
    """Sends what a reader finds in the open member, and keeps it within the limits of the sample.

    A reader calls `header` and then `rows`, `columns` or `cells` for each table, `text` for running text, and `problem`
    for everything that it could not read. It does not begin or end its own member: `members.read_member` does that,
    also for the members that a container passes to it.

    Every method that sends rows, text or bytes raises LimitReached once the sample has become too large. A reader lets
    that error pass.

    Args:
        send: takes the kind and the payload of one frame; blocks until the frame is on its way.
        limits: of the sample.
        clock: tells the processor time of this process in seconds.
    """

    def __init__(
        self,
        send: Callable[[bytes, bytes], None],
        limits: Limits,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.limits = limits
        self.budget = SampleBudget(limits)
        self.speed = SpeedFloor(limits.slow_after, clock)
        self.recognition_seconds = limits.recognition
        """Processor time that is left for recognising text in pictures."""
        self.passwords: tuple[str, ...] = ()
        """Passwords that came with the sample, in the order in which they are tried."""
        self.guide: Sequence[LineBlock] | None = None
        """The blocks of lines of the sample if it is a chunk of a file, () to find them; None for a whole sample."""
        self.waiting_files = WaitingFiles()
        """Files whose reading waits for those beside them."""
        self._send = send
        self._open: list[_OpenMember] = []
        self.known_archives: dict[bytes, tuple[int, bytes]] = {}
        """Archives that were read as members: {first bytes: (length, digest)}.

        They are not read a second time as embedded.
        """
        self._decoded_values: set[bytes] = set()

    @property
    def depth(self) -> int:
        """How many members are open; 1 inside the sample itself."""
        return len(self._open)

    def note_decoded_value(self, data: bytes) -> None:
        """Note what a reader decoded from base64 and has read itself, so that it is not read again as a found value."""
        if len(self._decoded_values) < _MAX_DECODED:
            self._decoded_values.add(blake2b(data.strip(), digest_size=16).digest())

    def is_decoded_value(self, data: bytes) -> bool:
        """Whether a reader has read this itself."""
        return bool(self._decoded_values) and blake2b(data.strip(), digest_size=16).digest() in self._decoded_values

    # --- members -------------------------------------------------------------------------------------------------

    def begin(self, name: str, kind: str) -> None:
        """Begin a member of the format `kind` inside the open one; the first is the sample, with an empty name."""
        self.speed.check_members()
        self.budget.begin_member()
        self.speed.begin_member()
        self._open.append(_OpenMember(kind))
        # a name may hold lone surrogates, which are not valid UTF-8
        clean = name[:MAX_NAME].encode("utf-8", "replace").decode()
        self._send(b"M", orjson.dumps({"name": clean, "format": kind}))

    def end(self, size: int) -> None:
        """End the open member, which had `size` bytes."""
        member = self._open[-1]
        if member.pictures:
            self._report_pictures(member)
        self._open.pop()
        if self._open:
            parent = self._open[-1]
            parent.content += member.content
            if member.is_picture:
                parent.pictures.append(size)
        self.budget.end_member()
        self.speed.end_member()
        self._send(b"E", orjson.dumps({"bytes": size, "complete": member.complete}))

    def index(self, entries: bytes) -> None:
        """Send entries of the index of the sample (`file_cuts.BLOCK_ENTRY`)."""
        self._send(b"I", entries)

    def finish(self) -> None:
        """End the sample, after its member."""
        self._send(b"Z", b"{}")

    def member_bytes(self, data: bytes, depth: int) -> None:
        """Send bytes of the member that is open at `depth` to the byte pass, as its container decompressed them."""
        self.budget.add_decompressed(len(data), depth)
        for start in range(0, len(data), MAX_TEXT):
            self._send(b"B", data[start : start + MAX_TEXT])
        # last, because the bytes may belong to a member outside of the one that ends here
        self.budget.check_contents()

    def leave_picture_to_document(self) -> bool:
        """Whether the open member, a picture, lies in a document, which reports it if it may carry the content."""
        member = self._open[-1]
        member.is_picture = len(self._open) > 1 and self._open[-2].kind in _DOCUMENTS
        member.assessed = member.is_picture
        return member.is_picture

    def note_picture_read(self) -> None:
        """Note that the text of the open member, a picture, was recognised: its document need not report it."""
        self._open[-1].is_picture = False

    def _report_pictures(self, member: _OpenMember) -> None:
        """Report the pictures of a document, unless they are small and stand beside text, as a letterhead does."""
        large = sum(size >= _LARGE_PICTURE for size in member.pictures)
        if large or member.content < _LITTLE_TEXT:
            count = large or len(member.pictures)
            self.problem(
                "unread", f"{count} pictures in it were not read: values shown in them are not found", incomplete=True
            )

    def mark_assessed(self) -> None:
        """Note that it is already decided whether the bytes of the open member can hide values."""
        self._open[-1].assessed = True

    @property
    def assessed(self) -> bool:
        """Whether `mark_assessed` was called for the open member."""
        return self._open[-1].assessed

    # --- problems ------------------------------------------------------------------------------------------------

    def problem(self, code: str, detail: str, *, incomplete: bool = False) -> None:
        """Report what is wrong with the open member.

        Args:
            code: one word for the kind of problem, such as `cut`, `damaged`, `locked` or `size`.
            detail: a sentence for people, which holds nothing of the sample's content; "it" is the member.
            incomplete: bytes of the member were not examined because of this.
        """
        member = self._open[-1]
        if incomplete:
            member.complete = False
        member.problems += 1
        if member.problems <= MAX_PROBLEMS:
            self._send(b"P", orjson.dumps({"code": code, "detail": detail}))

    def problem_once(self, code: str, detail: str, *, incomplete: bool = False) -> None:
        """As `problem`, but at most once for each code of the open member, with loss and without."""
        reported = self._open[-1].reported
        if (code, incomplete) not in reported:
            reported.add((code, incomplete))
            self.problem(code, detail, incomplete=incomplete)

    def mark_end_unknown(self) -> None:
        """Note that the open member is so damaged that nobody can say where its format ends.

        What follows it in the source is then not taken for files behind its end, but searched for archives.
        """
        self._open[-1].end_unknown = True

    @property
    def end_unknown(self) -> bool:
        """Whether `mark_end_unknown` was called for the open member."""
        return self._open[-1].end_unknown

    # --- text and tables -----------------------------------------------------------------------------------------

    def text(self, data: bytes) -> None:
        """Send running text of the open member, valid UTF-8.

        A name, number or note must not be divided between two calls.
        """
        if data:
            self._add_output(len(data))
        start = 0
        while start < len(data):
            stop = start + MAX_TEXT
            # a frame never ends in the middle of a character
            for _ in range(3):
                stop -= stop < len(data) and data[stop] & 0xC0 == 0x80
            self._send(b"T", data[start:stop])
            start = stop

    def header(self, columns: Sequence[str] | None) -> None:
        """Begin a table. Without `columns` the names are unknown, or stand in its first row."""
        names = None if columns is None else [name.encode("utf-8", "replace").decode() for name in columns]
        self._send(b"H", orjson.dumps({"columns": names}))

    def columns(self, columns: Sequence[Sequence[bytes]]) -> None:
        """Send rows of the open table, given as columns of equal length; values are valid UTF-8."""
        for part in _slices(columns):
            self._rows(part, _join)

    def columns_latin(self, columns: Sequence[Sequence[str]]) -> None:
        """As `columns`, but each character stands for one byte of UTF-8, as in values of the csv module."""
        for part in _slices(columns):
            self._rows(part, _join_latin)

    def rows(self, rows: Sequence[Sequence[bytes]]) -> None:
        """Send rows of the open table, each of any width; values are valid UTF-8.

        A short row is filled up with empty values to the widest row of its frame.
        """
        start = 0
        while start < len(rows):
            width = max(1, len(rows[start]))
            stop = start
            # one wide row must not multiply many narrow ones: the padded cells of a frame are bounded
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
        """Send rows of the open table as places in a block of text, without copying the values one by one.

        Args:
            block: whole lines, valid UTF-8.
            starts: where each cell begins in the block, shape (rows, columns).
            ends: where each cell ends, same shape.

        Returns:
            False if this does not fit into one frame; nothing was sent.
        """
        rows, columns = starts.shape
        size = 8 + 2 * 4 * rows * columns + len(block)
        if size > MAX_FRAME:
            return False
        if not rows:
            return True
        self._add_output(size)
        self._send(b"C", b"".join((array("I", (rows, columns)), starts.data, ends.data, block)))
        return True

    def _add_output(self, size: int) -> None:
        member = self._open[-1]
        if member.kind not in _MAILS:
            member.content += size
        self.budget.add_output(size)
        self.speed.check(self.depth)

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
        self._add_output(len(payload))
        self._send(b"R", payload)


def _slices(columns: Sequence[Sequence[T]]) -> Iterator[Sequence[Sequence[T]]]:
    rows = len(columns[0]) if columns else 0
    step = max(1, min(MAX_ROWS, MAX_CELLS // max(1, len(columns))))
    for start in range(0, rows, step):
        yield [column[start : start + step] for column in columns]


def _join(values: Sequence[bytes]) -> bytes:
    return b"".join(values)


def _join_latin(values: Sequence[str]) -> bytes:
    return "".join(values).encode("latin-1")
