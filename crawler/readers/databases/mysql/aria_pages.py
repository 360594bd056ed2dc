"""Rows of Aria in pages: the head of each row on one page, long values on pages of their own.

Source: storage/maria/ma_blockrec.c of MariaDB 10.11.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.readers.databases.mysql.isam_columns import BLOB, IS_VARCHAR, POINTER, SKIP_ENDSPACE, PackedTable
from crawler.readers.databases.mysql.isam_rows import Unpacked

_HEAD, _TAIL, _KIND = 1, 2, 7
_PAGE_HEADER, _FULL_HEADER, _SUFFIX, _ENTRY = 12, 8, 4, 4
_TRANSACTION, _VERSION, _DELETED_BY, _NULLS_EXTENDED, _EXTENTS = 1, 2, 4, 8, 128
_EXTENT, _TAIL_BIT, _START_BIT = 7, 0x8000, 0x4000
_MAX_VALUE, _MAX_EXTENTS = 2**26, 65_536


class AriaFile:
    """A data file in memory.

    Attributes:
        damaged: rows that do not fit the columns, or whose further pages are missing.
    """

    def __init__(self, held: bytearray, table: PackedTable) -> None:
        self._held = memoryview(held)
        self._table = table
        self.damaged = 0
        # bytes of further pages that rows may still take: each belongs to one row
        self._left = len(held)

    def rows(self) -> Iterator[Unpacked]:
        """The records of all pages."""
        for start in range(0, len(self._held) - self._table.block + 1, self._table.block):
            page = bytes(self._held[start : start + self._table.block])
            if page[7] & _KIND != _HEAD:
                continue
            for number in range(page[8]):
                row = self._entry(page, number)
                if row is None:
                    continue
                found = None
                try:
                    found = self._record(row)
                except (IndexError, ValueError):
                    found = None
                if found is None:
                    self.damaged += 1
                else:
                    yield found

    def _entry(self, page: bytes, number: int) -> bytes | None:
        """The bytes of an entry of the directory at the end of a page; None if it is free."""
        place = len(page) - _SUFFIX - (number + 1) * _ENTRY
        at, size = (int.from_bytes(page[place + shift : place + shift + 2], "little") for shift in (0, 2))
        if not at or place < _PAGE_HEADER:
            return None
        return page[at : at + size] if at >= _PAGE_HEADER else None

    def _record(self, row: bytes) -> Unpacked | None:
        table = self._table
        flags, at = row[0], 1
        at += 6 * bool(flags & _TRANSACTION) + 7 * bool(flags & _VERSION) + 6 * bool(flags & _DELETED_BY)
        null_bytes = table.null_bytes
        if flags & _NULLS_EXTENDED:
            at += 1
        extents = 0
        places: list[bytes] = []
        if flags & _EXTENTS:
            extents, at = _length(row, at)
            places.append(row[at : at + _EXTENT])
            at += _EXTENT
        sizes_length = 0
        if table.lengths:
            sizes_length, at = _length(row, at)
        at += table.checksum
        record = bytearray(table.record_size)
        record[:null_bytes] = row[at : at + null_bytes]
        at += null_bytes
        empty = row[at : at + table.empty_bytes]
        at += table.empty_bytes
        for _ in range(1, min(extents, _MAX_EXTENTS)):
            places.append(row[at : at + _EXTENT])
            at += _EXTENT
        for column in table.columns[: table.always]:
            record[column.at : column.at + column.size] = row[at : at + column.size]
            at += column.size
        further = []
        for place in places:
            further.append(self._extent(place))
            self._left -= len(further[-1][1])
            if self._left < 0:
                return None
        stream = _Stream(row[at:], further)
        sizes = stream.take(sizes_length)
        long_values: dict[int, bytes] = {}
        lengths = 0
        for column in table.columns[table.always :]:
            if record[column.null_at] & column.null_bit or empty[column.empty_at] & column.empty_bit:
                continue
            size = column.size
            if column.kind in (SKIP_ENDSPACE, IS_VARCHAR):
                width = 1 if size <= (255 if column.kind == SKIP_ENDSPACE else 256) else 2
                length = int.from_bytes(sizes[lengths : lengths + width], "little")
                lengths += width
                value = stream.take(length)
                value = length.to_bytes(width, "little") + value if column.kind == IS_VARCHAR else value.ljust(size)
                if len(value) > size:
                    return None
                record[column.at : column.at + len(value)] = value
            elif column.kind == BLOB:
                width = size - POINTER
                length = int.from_bytes(sizes[lengths : lengths + width], "little")
                lengths += width
                stream.begin_value()
                long_values[column.at] = stream.take(length)
            else:
                record[column.at : column.at + size] = stream.take(size)
        if stream.is_short or lengths != sizes_length:
            return None
        return record, long_values

    def _extent(self, place: bytes) -> tuple[bool, bytes]:
        """The bytes of some pages behind each other, or of the entry of a page: (a value begins there, bytes)."""
        page, count = int.from_bytes(place[:5], "little"), int.from_bytes(place[5:7], "little")
        block = self._table.block
        begins = bool(count & _START_BIT)
        if count & _TAIL_BIT:
            data = bytes(self._held[page * block : (page + 1) * block])
            if len(data) < block or data[7] & _KIND != _TAIL:
                return begins, b""
            return begins, self._entry(data, count & ~(_TAIL_BIT | _START_BIT) & 0xFF) or b""
        parts = []
        for number in range(page, page + (count & ~_START_BIT)):
            data = bytes(self._held[number * block : (number + 1) * block])
            if len(data) < block:
                break
            parts.append(data[_FULL_HEADER : block - _SUFFIX])
        return begins, b"".join(parts)


class _Stream:
    """The bytes of a row behind its header, over all places where they lie.

    Attributes:
        is_short: more bytes were asked for than there are.
    """

    def __init__(self, head: bytes, extents: list[tuple[bool, bytes]]) -> None:
        self._data, self._at = head, 0
        self._extents = extents
        self._in_head = True
        self.is_short = False

    def begin_value(self) -> None:
        """Go to where the next long value begins: the rest of the pages of the one before it is unused."""
        if not self._in_head or self._at == len(self._data):
            while self._extents and not self._extents[0][0]:
                self._next()
            self._next()

    def take(self, size: int) -> bytes:
        """The next bytes."""
        parts = []
        left = min(size, _MAX_VALUE)
        while left > 0:
            if self._at == len(self._data) and not self._next():
                self.is_short = True
                break
            part = self._data[self._at : self._at + left]
            self._at += len(part)
            left -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _next(self) -> bool:
        if not self._extents:
            return False
        (_, self._data), self._at = self._extents.pop(0), 0
        self._in_head = False
        return True


def _length(row: bytes, at: int) -> tuple[int, int]:
    """A length of one byte, or of two behind 255; and where it ends."""
    if row[at] == 255:
        return int.from_bytes(row[at + 1 : at + 3], "big"), at + 3
    return row[at], at + 1
