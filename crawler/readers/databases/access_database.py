"""Access databases (mdb of Jet 3 and 4, accdb): rows of every table, deleted ones that are still there included.

Tables are found by their definition pages and rows by the pages that name the table as their owner: no catalogue, no index and
no pointer between rows is needed, so that a lie in one of them hides nothing. Layout: HACKING of mdbtools.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from crawler.readers.core.encoding import as_utf8, is_text, text_of
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, read_embedded_in_values, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.databases.table_batcher import TableBatcher

FORMAT = "access"

_MARKS = (b"Standard Jet DB\0", b"Standard ACE DB\0")
# rows and long values, definitions, two kinds of indexes, maps of pages
_PAGES = (1, 2, 3, 4, 5)
_BOOLEAN, _TEXT, _OLE, _MEMO, _NUMERIC = 1, 10, 11, 12, 16
_FIXED, _OFFSET, _POINTER = 0x01, 0x1FFF, 0x4000
_INLINE, _ONE_PAGE, _LENGTH = 0x80, 0x40, 0x3FFFFFFF
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - the file's clock has no zone
# rows may share long values: what all of them give is at most so many times the file, and more than `SMALL`
RATIO, SMALL = 16, 2**22
MAX_COLUMNS = 1024


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things stand on a page of one version."""

    page: int
    rows: int
    width: int
    columns: int
    columns_at: int
    index: int
    column: int
    number: int
    variable: int
    flags: int
    fixed: int


_JET3 = _Layout(2048, 8, 1, 25, 43, 8, 18, 1, 3, 13, 14)
_JET4 = _Layout(4096, 12, 2, 45, 63, 12, 25, 5, 7, 15, 21)


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of a table."""

    name: str
    type: int
    number: int
    variable: int
    fixed: int | None
    scale: int


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its signature."""
    return 1.0 if head[4:20] in _MARKS else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out all rows of all tables."""
    held = bytes(source.read_all(limits.hold))
    database = _Database(held, source, out, limits)
    try:
        with search_if_damaged(held, source, out):
            database.read()
    finally:
        database.tables.flush()
        database.notes.report(out)
    read_embedded(held, source, out, database.known)


class _Database:
    """One database."""

    def __init__(self, data: bytes, source: Source, out: Output, limits: Limits) -> None:
        self.data = data
        self._source = source
        self._out = out
        self.tables = TableBatcher(out, limits)
        self.notes = ProblemCounter()
        self.jet3 = data[20:21] == b"\0"
        self.layout = _JET3 if self.jet3 else _JET4
        self._given = 0

    def known(self, at: int) -> int:
        """Where the page ends that holds a place, if it is a page of any kind; else the place."""
        size = self.layout.page
        page = at // size * size
        return page + size if not page or (self.data[page] in _PAGES and page + size <= len(self.data)) else at

    def read(self) -> None:
        """All tables."""
        size, data = self.layout.page, self.data
        if len(data) % size:
            self.notes.add("cut", "its last page is not whole")
        owned: dict[int, list[int]] = defaultdict(list)
        definitions: dict[int, int] = {}
        for page in range(size, len(data) - size + 1, size):
            mark = data[page : page + 2]
            if mark == b"\1\1" and data[page + 4 : page + 8] != b"LVAL":
                owned[int.from_bytes(data[page + 4 : page + 8], "little")].append(page)
            elif mark == b"\2\1":
                definitions[page // size] = int.from_bytes(data[page + 4 : page + 8], "little")
        if not definitions:
            raise Damaged("locked", "its pages are encrypted, or none of them defines a table")
        for number in definitions.keys() - definitions.values():
            pages = owned.pop(number, [])
            try:
                columns = self._columns(number, definitions)
            except (struct.error, IndexError, ValueError):
                self.notes.add("damaged", "what a table holds is not known")
                continue
            if columns:
                self._table(str(number).encode(), columns, pages)
        if any(number not in definitions for number in owned):
            self.notes.add("damaged", "pages of rows belong to no table")

    def _columns(self, number: int, definitions: dict[int, int]) -> list[_Column]:
        lay, size = self.layout, self.layout.page
        parts, seen = [self.data[number * size : (number + 1) * size]], {number}
        while (number := definitions.get(number, 0)) and number in definitions and number not in seen:
            seen.add(number)
            parts.append(self.data[number * size + 8 : (number + 1) * size])
        page = b"".join(parts)
        count, _, indexes = struct.unpack_from("<HII", page, lay.columns)
        at = lay.columns_at + indexes * lay.index
        if count > MAX_COLUMNS or at + count * lay.column > len(page):
            raise ValueError
        names = at + count * lay.column
        columns = []
        for _ in range(count):
            width = 1 if self.jet3 else 2
            length = int.from_bytes(page[names : names + width], "little")
            raw = page[names + width : names + width + length]
            names += width + length
            name = raw.decode("cp1252" if self.jet3 else "utf-16-le", "replace")
            fixed = struct.unpack_from("<H", page, at + lay.fixed)[0] if page[at + lay.flags] & _FIXED else None
            columns.append(
                _Column(
                    name,
                    page[at],
                    struct.unpack_from("<H", page, at + lay.number)[0],
                    struct.unpack_from("<H", page, at + lay.variable)[0],
                    fixed,
                    page[at + (10 if self.jet3 else 12)],
                )
            )
            at += lay.column
        return sorted(columns, key=lambda column: column.number)

    def _table(self, table: bytes, columns: list[_Column], pages: list[int]) -> None:
        names = [column.name for column in columns]
        for page in pages:
            rows = []
            for start, end in self._places(page):
                try:
                    rows.append(self._row(columns, start, end))
                except (struct.error, IndexError, ValueError):
                    self.notes.add("damaged", "a row is damaged")
            if rows:
                size = sum(sum(map(len, row)) for row in rows)
                self._given += size
                if self._given > RATIO * len(self.data) + SMALL:
                    raise Damaged("ratio", "its rows are far larger than the file")
                read_embedded_in_values(rows, self._source, self._out)
                self.tables.add(table, names, list(zip(*rows, strict=True)), size)

    def _places(self, page: int) -> list[tuple[int, int]]:
        """Begin and end of the rows of a page; those that are only pointers are left out, for what they point at is a row."""
        lay = self.layout
        count = int.from_bytes(self.data[page + lay.rows : page + lay.rows + 2], "little")
        first = lay.rows + 2
        if first + 2 * count > lay.page:
            self.notes.add("damaged", "a page of rows is damaged")
            return []
        places, end = [], lay.page
        for offset in struct.unpack_from(f"<{count}H", self.data, page + first):
            start = offset & _OFFSET
            if first + 2 * count <= start < end:
                if not offset & _POINTER:
                    places.append((page + start, page + end))
                end = start
            elif start != end:
                self.notes.add("damaged", "a row is damaged")
        return places

    def _row(self, columns: list[_Column], start: int, end: int) -> list[bytes]:
        row = self.data[start:end]
        width = self.layout.width
        count = int.from_bytes(row[:width], "little")
        mask_at = len(row) - (count + 7) // 8
        if count > MAX_COLUMNS or mask_at < width:
            raise ValueError
        mask = int.from_bytes(row[mask_at:], "little")
        offsets = self._offsets3(row, mask_at) if self.jet3 else self._offsets4(row, mask_at)
        cells = []
        for column in columns:
            there = column.number < count and mask >> column.number & 1
            if column.type == _BOOLEAN:
                cells.append(b"true" if there else b"false")
            elif not there:
                cells.append(b"")
            elif column.fixed is not None:
                cells.append(self._value(column, row[width + column.fixed : mask_at]))
            elif column.variable + 1 < len(offsets):
                cells.append(self._value(column, row[offsets[column.variable] : offsets[column.variable + 1]]))
            else:
                # a column that is younger than the row
                cells.append(b"")
        return cells

    @staticmethod
    def _offsets4(row: bytes, mask_at: int) -> list[int]:
        if mask_at < 4:
            return []
        count = int.from_bytes(row[mask_at - 2 : mask_at], "little")
        table = row[mask_at - 2 - 2 * (count + 1) : mask_at - 2]
        if len(table) != 2 * (count + 1):
            # rows of fixed columns alone have no such table
            return []
        return list(struct.unpack(f"<{count + 1}H", table))[::-1]

    @staticmethod
    def _offsets3(row: bytes, mask_at: int) -> list[int]:
        last = mask_at - 1
        count, jumps = row[last], (len(row) - 1) // 256
        table = last - jumps - 1
        if (table - count) // 256 < jumps:
            jumps -= 1
            table = last - jumps - 1
        if table - count < 0:
            return []
        offsets, used = [], 0
        for number in range(count + 1):
            while used < jumps and number == row[last - 1 - used]:
                used += 1
            offsets.append(row[table - number] + 256 * used)
        return offsets

    def _value(self, column: _Column, data: bytes) -> bytes:
        if column.type == _TEXT:
            return self._text(data)
        if column.type in (_MEMO, _OLE):
            long = self._long(data)
            if column.type == _MEMO:
                return self._text(long)
            text = text_of(long)
            if text is not None:
                return text
            # a file stands behind the name of the program that wrote it
            read_embedded(long, self._source, self._out, at=0)
            return b""
        if column.type == _NUMERIC:
            digits = str(sum(part << (96 - 32 * at) for at, part in enumerate(struct.unpack_from("<4I", data, 1))))
            digits = digits.rjust(column.scale + 1, "0")
            sign = "-" if data[0] & 0x80 else ""
            return (
                sign + (digits[: -column.scale] + "." + digits[-column.scale :] if column.scale else digits)
            ).encode()
        plain = _PLAIN.get(column.type)
        return plain(data).encode() if plain is not None else b""

    def _text(self, data: bytes) -> bytes:
        if self.jet3:
            return data.decode("cp1252", "replace").encode()
        if data[:2] != b"\xff\xfe":
            return data.decode("utf-16-le", "replace").encode("utf-8", "replace")
        # a zero byte changes between one byte and two for a character
        parts = data[2:].split(b"\0")
        if len(parts) == 1:
            return parts[0].decode("latin-1").encode()
        text, at, wide = [], 2, False
        while at < len(data):
            if wide:
                end = at
                while end + 1 < len(data) and data[end : end + 1] != b"\0":
                    end += 2
                text.append(data[at:end].decode("utf-16-le", "replace"))
            else:
                end = data.find(b"\0", at)
                end = len(data) if end < 0 else end
                text.append(data[at:end].decode("latin-1"))
            at, wide = end + 1, not wide
        return "".join(text).encode("utf-8", "replace")

    def _long(self, data: bytes) -> bytes:
        """A memo or an object, wherever it lies."""
        length, pointer = struct.unpack_from("<II", data)
        kind, length = length >> 24, length & _LENGTH
        if kind & _INLINE:
            return data[12 : 12 + length]
        if kind & _ONE_PAGE:
            return self._record(pointer)[:length]
        parts, have = [], 0
        # each record holds something, so that a chain ends with its length
        while pointer and have < length and len(part := self._record(pointer)) > 4:
            pointer = int.from_bytes(part[:4], "little")
            parts.append(part[4:])
            have += len(part) - 4
        if have < length:
            self.notes.add("damaged", "a long value is not whole")
        return b"".join(parts)[:length]

    def _record(self, pointer: int) -> bytes:
        lay = self.layout
        page, row = (pointer >> 8) * lay.page, pointer & 0xFF
        count = int.from_bytes(self.data[page + lay.rows : page + lay.rows + 2], "little")
        if row >= count or self.data[page : page + 1] != b"\1":
            self.notes.add("damaged", "a long value is not where it should be")
            return b""
        at = page + lay.rows + 2 + 2 * row
        start = int.from_bytes(self.data[at : at + 2], "little") & _OFFSET
        end = int.from_bytes(self.data[at - 2 : at], "little") & _OFFSET if row else lay.page
        return self.data[page + start : page + min(end, lay.page)]


def _number(form: str) -> Callable[[bytes], str]:
    return lambda data: str(struct.unpack_from(form, data)[0])


def _money(data: bytes) -> str:
    cents: int = struct.unpack_from("<q", data)[0]
    return f"{'-' if cents < 0 else ''}{abs(cents) // 10_000}.{abs(cents) % 10_000:04}"


def _moment(data: bytes) -> str:
    days: float = struct.unpack_from("<d", data)[0]
    try:
        moment = _EPOCH + timedelta(days=days)
    except (OverflowError, ValueError):
        return str(days)
    return f"{moment:%Y-%m-%d}" if days == int(days) else f"{moment:%Y-%m-%d %H:%M:%S}"


def _bytes(data: bytes) -> str:
    text = as_utf8(data)
    return text.decode("utf-8", "replace") if is_text(text) else ""


_PLAIN: dict[int, Callable[[bytes], str]] = {
    2: _number("<B"),
    3: _number("<h"),
    4: _number("<i"),
    5: _money,
    6: _number("<f"),
    7: _number("<d"),
    8: _moment,
    9: _bytes,
    15: lambda data: str(UUID(bytes_le=data[:16])),
    18: _number("<i"),
    19: _number("<q"),
}
