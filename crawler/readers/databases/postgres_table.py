"""Tables of PostgreSQL as they lie in its data folder (`base/5/16384`): every row, deleted ones too.

The file does not describe its columns. Their types are found from the rows themselves: under the right ones each row
ends where its values end.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from crawler.readers.core.limits import HEAD, Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.databases.postgres_pages import (
    ARRAY_HEADER,
    PostgresRow,
    decompress,
    decompressed_size,
    is_array_of_texts,
    json_of,
    numeric,
    page_size,
    rows_of,
    varying_value,
)
from crawler.readers.databases.table_batcher import BlobReader, TableBatcher
from crawler.readers.databases.unnamed_columns import text_or_none, text_pieces

FORMAT = "postgres_table"
EMBEDDED_SEARCH = "all"

# kinds of columns in the order in which they are tried: text, numbers of 4, 8, 2 and 1 bytes, other values of varying
# length (NUMERIC), 16 bytes (UUID); for each of fixed length its bytes and their alignment
_TEXT, _OTHER = "text", "other"
_FIXED = {"4": (4, 4), "8": (8, 8), "2": (2, 2), "1": (1, 1), "16": (16, 1)}
_KINDS = (_TEXT, "4", "8", "2", "1", _OTHER, "16")
_SAMPLE_ROWS, _MAX_STEPS = 60, 4000
_MAX_VALUE, _MAX_RATIO, _RATIO_ALLOWANCE = 2**22, 16, 2**22
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
# days from 2000 to 1850 and to 2036
_FIRST_DAY, _LAST_DAY = -54_786, 13_149
# a column of numbers below and above 0, all of them days of a life, is one of dates
_NEGATIVE_SHARE = 0.1
# the columns of a file of long values: number of the value, number of its part, the part
_LONG_VALUES = ("4", "4", _OTHER)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Nearly sure if a page of a table begins here and its first row is possible."""
    size = page_size(head)
    if not size:
        return 0.0
    rows, damaged = rows_of(head[:size])
    return 0.98 if not damaged or len(rows) > damaged else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the rows of all pages."""
    head = source.peek(HEAD)
    size = page_size(head)
    if not size:
        raise Damaged("damaged", "the first page is damaged")
    sample = [row for at in range(0, len(head) - size + 1, size) for row in rows_of(head[at : at + size])[0]]
    table = _TableReader(sample, out, limits)
    try:
        while page := source.read(size):
            if len(page) < size:
                raise Damaged("cut", "the last page is incomplete")
            table.take(page)
    finally:
        table.finish()


class _TableReader:
    """Reads the rows of one table by the kinds of its columns."""

    def __init__(self, sample: Sequence[PostgresRow], out: Output, limits: Limits) -> None:
        self._out = out
        self._batches = TableBatcher(out, limits)
        self._problems = ProblemCounter()
        self._damaged = self._seen = self._given = 0
        self._part: tuple[int, list[bytes]] | None = None
        self._part_bytes = 0
        self._blobs = BlobReader(out, self._problems)
        self._kinds = find_kinds(sample)
        self._are_long_values = False
        if self._kinds is None:
            return
        sentence = "the file does not name its columns; where they begin was found from the rows themselves"
        out.problem("unnamed", sentence)
        divided = [row for each in sample if (row := divide(each, self._kinds)) is not None]
        has_their_kinds = self._kinds[:2] == list(_LONG_VALUES[:2]) and len(self._kinds) == 3
        self._are_long_values = has_their_kinds and _are_parts(divided)
        self._are_days = [
            kind == "4" and _are_days([int.from_bytes(v, "little", signed=True) for row in divided if (v := row[at])])
            for at, kind in enumerate(self._kinds)
        ]

    def take(self, page: bytes) -> None:
        """Read the rows of a page."""
        rows, damaged = rows_of(page)
        self._damaged += damaged
        self._seen += len(page)
        table: list[list[bytes]] = []
        if rows and self._kinds is None:
            sentence = "the file does not describe its columns: texts were taken out of its rows as they stand"
            self._out.problem_once("unnamed", sentence, incomplete=True)
        for row in rows:
            values = divide(row, self._kinds) if self._kinds is not None else None
            if values is None:
                if self._kinds is not None:
                    self._problems.add("row", "a row does not follow the layout of the others and was taken as text")
                self._send_text(text_pieces(row.data))
            elif self._are_long_values and values[0] and values[1] and values[2] is not None:
                self._take_part(values[0], values[2])
            else:
                table.append([self._shown(at, value) for at, value in enumerate(values)])
        if table:
            size = sum(len(value) for row in table for value in row)
            self._check(size)
            self._batches.add(b"", None, [list(column) for column in zip(*table, strict=True)], size)

    def finish(self) -> None:
        """Send the last rows and report the problems."""
        self._end_long_value()
        self._batches.flush()
        if self._damaged:
            self._out.problem("damaged", f"{self._damaged} rows are damaged and were not read", incomplete=True)
        self._problems.report(self._out)

    def _shown(self, at: int, value: bytes | None) -> bytes:
        assert self._kinds is not None  # noqa: S101 - rows are divided by them
        kind = self._kinds[at]
        if value is None or kind == "16":
            return b""
        if kind in (_TEXT, _OTHER):
            return self._varying(value)
        number = int.from_bytes(value, "little", signed=True)
        if self._are_days[at]:
            return (_EPOCH + timedelta(days=number)).strftime("%Y-%m-%d").encode() if _is_day(number) else b""
        # a time in microseconds; numbers of people hardly end in six zeros
        if kind == "8" and number and number % 1_000_000 == 0 and _is_day(number // 86_400_000_000):
            return (_EPOCH + timedelta(microseconds=number)).strftime("%Y-%m-%d %H:%M:%S").encode()
        return str(number).encode()

    def _varying(self, value: bytes) -> bytes:
        begin, end, kind = varying_value(value, 0)
        data = value[begin:end]
        if kind == 2:
            self._problems.add("elsewhere", "long values lie in another file of the data folder", incomplete=False)
            return b""
        if kind == 1:
            unpacked = self._unpacked(data)
            if unpacked is None:
                self._problems.add("unread", "a value is compressed by a method that cannot be read yet")
                return b""
            data = unpacked
        data = self._blobs.without_file(data)
        try:
            is_text = text_or_none(data.decode().encode()) is not None
        except UnicodeDecodeError:
            is_text = False
        if is_text:
            return data
        if is_array_of_texts(data):
            return text_pieces(data[ARRAY_HEADER:])
        return json_of(data) or numeric(data).encode() or (data if text_or_none(data) is not None else b"")

    def _unpacked(self, data: bytes) -> bytes | None:
        unpacked = decompress(data, _MAX_VALUE)
        if unpacked is not None and decompressed_size(data) > _MAX_VALUE:
            self._problems.add("cut", f"a long value exceeds {_MAX_VALUE} bytes and was cut")
        return unpacked

    # --- files of long values ------------------------------------------------------------------------------------

    def _take_part(self, number: bytes, value: bytes) -> None:
        begin, end, _ = varying_value(value, 0)
        key = int.from_bytes(number, "little")
        if self._part is not None and self._part[0] == key:
            self._part[1].append(value[begin:end])
            self._part_bytes += end - begin
            if self._part_bytes <= _MAX_VALUE:
                return
        self._end_long_value()
        self._part = key, [value[begin:end]]
        self._part_bytes = end - begin

    def _end_long_value(self) -> None:
        if self._part is None:
            return
        data, self._part = b"".join(self._part[1]), None
        if text_or_none(data) is None:
            unpacked = self._unpacked(data)
            if self._blobs.read_file(data if unpacked is None else unpacked):
                return
            shown = json_of(data if unpacked is None else unpacked)
            if shown:
                unpacked = shown
            if unpacked is None or text_or_none(unpacked) is None:
                self._problems.add("unread", "a long value is no text, or is compressed by another method")
                return
            data = unpacked
        self._send_text(data)

    def _send_text(self, text: bytes) -> None:
        if text:
            self._check(len(text))
            self._out.text(text.decode("utf-8", "replace").encode() + b"\n")

    def _check(self, size: int) -> None:
        self._given += size
        if self._given > _MAX_RATIO * self._seen + _RATIO_ALLOWANCE:
            raise Damaged("ratio", "the rows are far larger than the file")


def divide(row: PostgresRow, kinds: Sequence[str]) -> list[bytes | None] | None:
    """The values of a row, those of varying length with their header; None if it does not end with the last of them."""
    values: list[bytes | None] = []
    at = 0
    for column, kind in enumerate(kinds):
        if column >= row.columns or column in row.nulls:
            values.append(None)
            continue
        begin, at = _span(row.data, at, kind)
        if at > len(row.data):
            return None
        values.append(row.data[begin:at])
    return values if row.columns <= len(kinds) and at == len(row.data) else None


def _span(data: bytes, at: int, kind: str) -> tuple[int, int]:
    """Where a value begins, with its header, and where it ends; behind the row if there is none."""
    if kind in (_TEXT, _OTHER):
        begin, end, _ = varying_value(data, at)
        header = 4 if begin - at >= 4 and data[at] & 1 == 0 else 1
        if data[at : at + 1] == b"\x01":
            header = 2
        return begin - header, end
    size, alignment = _FIXED[kind]
    begin = -(-at // alignment) * alignment
    # what lies between values is zero
    return begin, begin + size if not any(data[at:begin]) else len(data) + 1


def find_kinds(rows: Sequence[PostgresRow]) -> list[str] | None:
    """The kinds of the columns under which all rows end with their last value; None if there are none."""
    width = max((row.columns for row in rows), default=0)
    full = [row for row in rows if row.columns == width][:_SAMPLE_ROWS]
    if not full:
        return None
    steps = 0

    def search(column: int, places: tuple[int, ...]) -> list[str] | None:
        nonlocal steps
        if column == width:
            return [] if all(at == len(row.data) for row, at in zip(full, places, strict=True)) else None
        for kind in _KINDS:
            steps += 1
            if steps > _MAX_STEPS:
                return None
            moved = _moved(full, column, places, kind)
            if moved is not None and (rest := search(column + 1, moved)) is not None:
                return [kind, *rest]
        return None

    return search(0, (0,) * len(full)) if width <= 200 else None


def _moved(rows: Sequence[PostgresRow], column: int, places: Sequence[int], kind: str) -> tuple[int, ...] | None:
    """Where the next column begins in each row if this one is of a kind; None if it cannot be."""
    moved = []
    for row, at in zip(rows, places, strict=True):
        if column in row.nulls:
            moved.append(at)
            continue
        begin, end = _span(row.data, at, kind)
        if end > len(row.data):
            return None
        if kind == _TEXT:
            start, stop, form = varying_value(row.data, begin)
            if form == 0 and text_or_none(row.data[start:stop]) is None:
                return None
        moved.append(end)
    return tuple(moved)


def _are_parts(rows: Sequence[Sequence[bytes | None]]) -> bool:
    """Whether the second column numbers the rows that have the same first one: most rows are 0, or one more than before."""
    fitting, before, last = 0, b"", -1
    for first, second, _ in rows:
        number = int.from_bytes(second or b"", "little")
        fitting += number == (last + 1 if first == before else 0)
        before, last = first or b"", number
    return fitting * 10 >= len(rows) * 9


def _is_day(number: int) -> bool:
    return _FIRST_DAY <= number <= _LAST_DAY


def _are_days(numbers: Sequence[int]) -> bool:
    below = sum(number < 0 for number in numbers)
    return bool(numbers) and all(map(_is_day, numbers)) and below >= _NEGATIVE_SHARE * len(numbers)
