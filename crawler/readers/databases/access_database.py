"""Access databases (mdb of Jet 3 and 4, accdb): the rows of every table, with deleted rows that are still in the file.

Tables are found by their definition pages, and rows by the pages that name the table as their owner. No catalogue,
index or pointer between rows is used, so that a wrong entry in one of them hides nothing.

Source: the file HACKING of mdbtools.
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

_SIGNATURES = (b"Standard Jet DB\0", b"Standard ACE DB\0")
# page types: rows and long values, table definitions, two kinds of indexes, maps of pages
_PAGE_TYPES = (1, 2, 3, 4, 5)
_BOOLEAN, _TEXT, _OLE, _MEMO, _NUMERIC = 1, 10, 11, 12, 16
_FIXED, _OFFSET, _POINTER = 0x01, 0x1FFF, 0x4000
_INLINE, _ONE_PAGE, _LENGTH = 0x80, 0x40, 0x3FFFFFFF
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - dates in the file have no time zone
# Hostile rows can share long values. All rows together may have at most `MAX_RATIO` times as many bytes as the file,
# plus `RATIO_ALLOWANCE`.
MAX_RATIO, RATIO_ALLOWANCE = 16, 2**22
MAX_COLUMNS = 1024


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes and offsets in the pages of one version of the format.

    Attributes:
        page: size of a page.
        rows: offset of the number of rows, in a page of rows.
        width: size of the number of columns, with which a row begins.
        columns: offset of the number of columns, in a table definition.
        columns_at: offset of the index entries, in a table definition; the column entries follow them.
        index: size of an index entry, in a table definition.
        column: size of a column entry, in a table definition. The other offsets are inside such an entry.
        number: offset of the number of the column.
        variable: offset of the number of the column among those of variable size.
        flags: offset of the flags.
        fixed: offset of the column's place in a row, if it has a fixed size.
    """

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
    """One column of a table. fixed: place in the row; None if the column has a variable size."""

    name: str
    type: int
    number: int
    variable: int
    fixed: int | None
    scale: int


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 if the head contains the signature of an Access database, else 0.0."""
    return 1.0 if head[4:20] in _SIGNATURES else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send all rows of all tables."""
    held = bytes(source.read_all(limits.hold))
    database = _DatabaseReader(held, source, out, limits)
    try:
        with search_if_damaged(held, source, out):
            database.read()
    finally:
        database.tables.flush()
        database.problems.report(out)
    read_embedded(held, source, out, database.part_end)


class _DatabaseReader:
    """Reads the tables of one database; `tables` collects the rows, `problems` the problems."""

    def __init__(self, data: bytes, source: Source, out: Output, limits: Limits) -> None:
        self.data = data
        self._source = source
        self._out = out
        self.tables = TableBatcher(out, limits)
        self.problems = ProblemCounter()
        self.jet3 = data[20:21] == b"\0"
        self.layout = _JET3 if self.jet3 else _JET4
        self._given = 0

    def part_end(self, at: int) -> int:
        """The end of the page that contains the place `at`, or `at` itself if that page has no known type."""
        size = self.layout.page
        page = at // size * size
        return page + size if not page or (self.data[page] in _PAGE_TYPES and page + size <= len(self.data)) else at

    def read(self) -> None:
        """Read all tables."""
        size, data = self.layout.page, self.data
        if len(data) % size:
            self.problems.add("cut", "the last page is incomplete")
        owned: dict[int, list[int]] = defaultdict(list)
        definitions: dict[int, int] = {}
        for page in range(size, len(data) - size + 1, size):
            mark = data[page : page + 2]
            if mark == b"\1\1" and data[page + 4 : page + 8] != b"LVAL":
                owned[int.from_bytes(data[page + 4 : page + 8], "little")].append(page)
            elif mark == b"\2\1":
                definitions[page // size] = int.from_bytes(data[page + 4 : page + 8], "little")
        if not definitions:
            raise Damaged("locked", "its pages are encrypted, or no page defines a table")
        for number in definitions.keys() - definitions.values():
            pages = owned.pop(number, [])
            try:
                columns = self._read_columns(number, definitions)
            except (struct.error, IndexError, ValueError):
                self.problems.add("damaged", "the columns of a table are unknown")
                continue
            if columns:
                self._read_table(str(number).encode(), columns, pages)
        if any(number not in definitions for number in owned):
            self.problems.add("damaged", "pages of rows belong to no table")

    def _read_columns(self, number: int, definitions: dict[int, int]) -> list[_Column]:
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

    def _read_table(self, table: bytes, columns: list[_Column], pages: list[int]) -> None:
        names = [column.name for column in columns]
        for page in pages:
            rows = []
            for start, end in self._row_places(page):
                try:
                    rows.append(self._read_row(columns, start, end))
                except (struct.error, IndexError, ValueError):
                    self.problems.add("damaged", "a row is damaged")
            if rows:
                size = sum(sum(map(len, row)) for row in rows)
                self._given += size
                if self._given > MAX_RATIO * len(self.data) + RATIO_ALLOWANCE:
                    raise Damaged("ratio", "the rows are far larger than the file")
                read_embedded_in_values(rows, self._source, self._out)
                self.tables.add(table, names, list(zip(*rows, strict=True)), size)

    def _row_places(self, page: int) -> list[tuple[int, int]]:
        """Start and end of each row of a page; pointers to rows on other pages are skipped."""
        lay = self.layout
        count = int.from_bytes(self.data[page + lay.rows : page + lay.rows + 2], "little")
        first = lay.rows + 2
        if first + 2 * count > lay.page:
            self.problems.add("damaged", "a page of rows is damaged")
            return []
        places, end = [], lay.page
        for offset in struct.unpack_from(f"<{count}H", self.data, page + first):
            start = offset & _OFFSET
            if first + 2 * count <= start < end:
                if not offset & _POINTER:
                    places.append((page + start, page + end))
                end = start
            elif start != end:
                self.problems.add("damaged", "a row is damaged")
        return places

    def _read_row(self, columns: list[_Column], start: int, end: int) -> list[bytes]:
        row = self.data[start:end]
        width = self.layout.width
        count = int.from_bytes(row[:width], "little")
        mask_at = len(row) - (count + 7) // 8
        if count > MAX_COLUMNS or mask_at < width:
            raise ValueError
        mask = int.from_bytes(row[mask_at:], "little")
        offsets = self._offsets_jet3(row, mask_at) if self.jet3 else self._offsets_jet4(row, mask_at)
        cells = []
        for column in columns:
            is_set = column.number < count and mask >> column.number & 1
            if column.type == _BOOLEAN:
                cells.append(b"true" if is_set else b"false")
            elif not is_set:
                cells.append(b"")
            elif column.fixed is not None:
                cells.append(self._decode_value(column, row[width + column.fixed : mask_at]))
            elif column.variable + 1 < len(offsets):
                cells.append(self._decode_value(column, row[offsets[column.variable] : offsets[column.variable + 1]]))
            else:
                # a column that was added to the table after the row
                cells.append(b"")
        return cells

    @staticmethod
    def _offsets_jet4(row: bytes, mask_at: int) -> list[int]:
        if mask_at < 4:
            return []
        count = int.from_bytes(row[mask_at - 2 : mask_at], "little")
        table = row[mask_at - 2 - 2 * (count + 1) : mask_at - 2]
        if len(table) != 2 * (count + 1):
            # Rows that have only columns of fixed size have no such table.
            return []
        return list(struct.unpack(f"<{count + 1}H", table))[::-1]

    @staticmethod
    def _offsets_jet3(row: bytes, mask_at: int) -> list[int]:
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

    def _decode_value(self, column: _Column, data: bytes) -> bytes:
        if column.type == _TEXT:
            return self._decode_text(data)
        if column.type in (_MEMO, _OLE):
            long = self._long_value(data)
            if column.type == _MEMO:
                return self._decode_text(long)
            text = text_of(long)
            if text is not None:
                return text
            # An OLE value contains a file after the name of the program that wrote it.
            read_embedded(long, self._source, self._out, at=0)
            return b""
        if column.type == _NUMERIC:
            digits = str(sum(part << (96 - 32 * at) for at, part in enumerate(struct.unpack_from("<4I", data, 1))))
            digits = digits.rjust(column.scale + 1, "0")
            sign = "-" if data[0] & 0x80 else ""
            return (
                sign + (digits[: -column.scale] + "." + digits[-column.scale :] if column.scale else digits)
            ).encode()
        decode = _DECODERS.get(column.type)
        return decode(data).encode() if decode is not None else b""

    def _decode_text(self, data: bytes) -> bytes:
        if self.jet3:
            return data.decode("cp1252", "replace").encode()
        if data[:2] != b"\xff\xfe":
            return data.decode("utf-16-le", "replace").encode("utf-8", "replace")
        # A zero byte switches between one and two bytes per character.
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

    def _long_value(self, data: bytes) -> bytes:
        """A memo or OLE value, which is stored in the row, in one record or in a chain of records."""
        length, pointer = struct.unpack_from("<II", data)
        kind, length = length >> 24, length & _LENGTH
        if kind & _INLINE:
            return data[12 : 12 + length]
        if kind & _ONE_PAGE:
            return self._record(pointer)[:length]
        parts, have = [], 0
        # Each record contributes data, so that the loop ends once the length is reached.
        while pointer and have < length and len(part := self._record(pointer)) > 4:
            pointer = int.from_bytes(part[:4], "little")
            parts.append(part[4:])
            have += len(part) - 4
        if have < length:
            self.problems.add("damaged", "a long value is incomplete")
        return b"".join(parts)[:length]

    def _record(self, pointer: int) -> bytes:
        lay = self.layout
        page, row = (pointer >> 8) * lay.page, pointer & 0xFF
        count = int.from_bytes(self.data[page + lay.rows : page + lay.rows + 2], "little")
        if row >= count or self.data[page : page + 1] != b"\1":
            self.problems.add("damaged", "a long value is missing from its page")
            return b""
        at = page + lay.rows + 2 + 2 * row
        start = int.from_bytes(self.data[at : at + 2], "little") & _OFFSET
        end = int.from_bytes(self.data[at - 2 : at], "little") & _OFFSET if row else lay.page
        return self.data[page + start : page + min(end, lay.page)]


def _number_decoder(form: str) -> Callable[[bytes], str]:
    return lambda data: str(struct.unpack_from(form, data)[0])


def _format_money(data: bytes) -> str:
    cents: int = struct.unpack_from("<q", data)[0]
    return f"{'-' if cents < 0 else ''}{abs(cents) // 10_000}.{abs(cents) % 10_000:04}"


def _format_date(data: bytes) -> str:
    days: float = struct.unpack_from("<d", data)[0]
    try:
        moment = _EPOCH + timedelta(days=days)
    except (OverflowError, ValueError):
        return str(days)
    return f"{moment:%Y-%m-%d}" if days == int(days) else f"{moment:%Y-%m-%d %H:%M:%S}"


def _decode_binary(data: bytes) -> str:
    text = as_utf8(data)
    return text.decode("utf-8", "replace") if is_text(text) else ""


_DECODERS: dict[int, Callable[[bytes], str]] = {
    2: _number_decoder("<B"),
    3: _number_decoder("<h"),
    4: _number_decoder("<i"),
    5: _format_money,
    6: _number_decoder("<f"),
    7: _number_decoder("<d"),
    8: _format_date,
    9: _decode_binary,
    15: lambda data: str(UUID(bytes_le=data[:16])),
    18: _number_decoder("<i"),
    19: _number_decoder("<q"),
}
