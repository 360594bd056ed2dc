"""Pages of InnoDB: where the records of a table lie, deleted ones too, and long values on pages of their own.

Sources: https://dev.mysql.com/doc/internals/en/innodb-page-structure.html and storage/innobase of MariaDB 10.11.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from crawler.readers.core.limits import Damaged

PAGE_INDEX, PAGE_SDI, PAGE_BLOB = 17855, 17853, 10
_LOB_FIRST, _LOB_DATA = 24, 23
# as MySQL writes them, and as MariaDB does
_COMPRESSED, _ENCRYPTED = frozenset((14, 34354)), frozenset((15, 16, 17, 37401))
# the first page of an index of MariaDB to whose table columns were added (ALGORITHM=INSTANT); MySQL, whose files have a
# flag of their own, uses the number for descriptions of tables that are too long for their page
_PAGE_INSTANT, _IS_MYSQL_8 = 18, 0x4000
_NO_PAGE = 0xFFFF_FFFF
_PAGE_HEADER, _PAGE_SIZE = 38, 16_384
_INFIMUM, _SUPREMUM = {True: 99, False: 101}, {True: 112, False: 116}
# how many bytes of a page lie before its first record
_FIRST = 120
REFERENCE = 20
"""Bytes of the reference to a long value that lies on other pages."""
_MAX_DICTIONARY = 2**24


@dataclass(slots=True)
class InnodbRecord:
    """A record of a leaf page, also one that is marked as deleted or lies in the list of free space.

    Attributes:
        page: bytes of its page. origin: where its data begins. end: where they end at the latest.
        status: 0 for a plain record.
    """

    page: bytes
    origin: int
    end: int
    status: int


@dataclass(slots=True)
class InnodbIndex:
    """The leaf pages of one index.

    Attributes:
        compact: format of its records: COMPACT and DYNAMIC, or REDUNDANT.
        pages: of the file, in its order.
        is_secondary: it repeats columns of its table; False too if nothing tells.
    """

    compact: bool
    pages: list[int] = field(default_factory=list)
    is_secondary: bool = False


class InnodbFile:
    """A table space in memory.

    Attributes:
        unread: pages that are compressed or encrypted. damaged: pages whose records cannot be followed.
        is_shared: it is the system table space (`ibdata1`), in which many tables can lie.

    Args:
        held: the file.

    Raises:
        Damaged: the size of its pages is impossible.
    """

    def __init__(self, held: bytearray) -> None:
        self._held = memoryview(held)
        flags = _number(self._held, 54, 4)
        if flags & 0x10:
            shift, compressed = flags & 15, flags >> 5 & 7
        else:
            shift, compressed = flags >> 6 & 15, flags >> 1 & 15
        self.page_size = 256 << (shift + 1) if shift else _PAGE_SIZE
        if not 4096 <= self.page_size <= 65_536:
            raise Damaged("damaged", "the size of the pages in the header is invalid")
        # pages of ROW_FORMAT=COMPRESSED are smaller than the header says
        self.compressed = bool(compressed) and not flags & 0x10
        # MariaDB encrypts pages of this layout without changing their type: the version of the key stands in front
        self._has_key_versions = bool(flags & 0x10)
        self._index_kinds = {PAGE_INDEX} if flags & _IS_MYSQL_8 else {PAGE_INDEX, _PAGE_INSTANT}
        self.is_shared = not _number(self._held, 34, 4)
        self.unread = self.damaged = 0
        self.indexes: dict[int, InnodbIndex] = {}
        self._dictionary: list[int] = []
        if not self.compressed:
            self._sort_pages()

    def _sort_pages(self) -> None:
        for number in range(len(self._held) // self.page_size):
            page = self.page(number)
            kind = _number(page, 24, 2)
            is_encrypted = self._has_key_versions and _number(page, 0, 4) > 0
            if kind in _COMPRESSED or kind in _ENCRYPTED or kind >= 0x8000 or is_encrypted:
                self.unread += 1
            elif (kind in self._index_kinds or kind == PAGE_SDI) and not _number(page, 64, 2):
                if kind == PAGE_SDI:
                    self._dictionary.append(number)
                    continue
                index = self.indexes.setdefault(_number(page, 66, 8), InnodbIndex(bool(page[42] & 0x80)))
                index.pages.append(number)
                # only pages of secondary indexes name a transaction here; a single page may count rows in its place
                has_neighbours = _number(page, 8, 4) != _NO_PAGE or _number(page, 12, 4) != _NO_PAGE
                index.is_secondary = has_neighbours and _number(page, 56, 8) > 0

    def page(self, number: int) -> memoryview:
        """A page; empty if there is none of this number."""
        return self._held[number * self.page_size : (number + 1) * self.page_size]

    def records(self, index: InnodbIndex) -> Iterator[list[InnodbRecord]]:
        """The records of each leaf page of an index, in the order in which they lie in it."""
        for number in index.pages:
            yield self._page_records(bytes(self.page(number)), index.compact)

    def _page_records(self, page: bytes, compact: bool) -> list[InnodbRecord]:
        top = min(_number(page, 40, 2), len(page))
        found: set[int] = set()
        for start, freed in ((_INFIMUM[compact], False), (_number(page, 44, 2), True)):
            at = start if freed else self._next(page, start, compact)
            while at not in (0, _SUPREMUM[compact]) and at not in found:
                if not _FIRST <= at <= top:
                    # free space is written over without any care for its list
                    self.damaged += not freed
                    break
                found.add(at)
                at = self._next(page, at, compact)
        origins = sorted(found)
        records = []
        for at, following in zip(origins, [*origins[1:], 0], strict=False):
            info = page[at - (5 if compact else 6)]
            # the metadata record of an instant ALTER TABLE
            if info & 0x10:
                continue
            status = page[at - 3] & 7 if compact else 0
            if info & 0xC0:
                status = status or 4
            records.append(InnodbRecord(page, at, following or top, status))
        return records

    @staticmethod
    def _next(page: bytes, at: int, compact: bool) -> int:
        number = _number(page, at - 2, 2)
        if not compact:
            return number
        # the distance is signed, and 0 ends the list
        return (at + number) % 65_536 % len(page) if number else 0

    def long_value(self, reference: bytes, limit: int) -> bytes:
        """A value that lies on pages of its own; fewer bytes if its pages are damaged.

        Args:
            reference: the 20 bytes in the place of the value.
            limit: bytes of it that are read.
        """
        number, offset = _number(reference, 4, 4), _number(reference, 8, 4)
        size = min(_number(reference, 12, 8) & 0xFFFF_FFFF, limit)
        kind = _number(self.page(number), 24, 2)
        parts: list[bytes] = []
        if kind == _LOB_FIRST:
            for each, start in self._parts_of_large_object(number):
                if size <= 0:
                    break
                parts.append(bytes(self.page(each)[start : start + min(size, self.page_size)]))
                size -= len(parts[-1])
            return b"".join(parts)
        seen: set[int] = set()
        while size > 0 and number not in seen and _number(self.page(number), 24, 2) == PAGE_BLOB:
            seen.add(number)
            page = self.page(number)
            offset = offset if _PAGE_HEADER <= offset < len(page) - 8 else _PAGE_HEADER
            length, number = _number(page, offset, 4), _number(page, offset + 4, 4)
            parts.append(bytes(page[offset + 8 : offset + 8 + min(length, size)]))
            size -= len(parts[-1])
            offset = _PAGE_HEADER
        return b"".join(parts)

    def _parts_of_large_object(self, first: int) -> Iterator[tuple[int, int]]:
        """Pages of a value as MySQL 8 writes it: (number of the page, where its bytes begin)."""
        held, seen = first, {(0, 0)}
        place, at = _number(self.page(first), 68, 4), _number(self.page(first), 72, 2)
        # a sound list names each page once
        most = len(self._held) // self.page_size
        while (place, at) not in seen and len(seen) <= most and at + 60 <= self.page_size and len(self.page(place)):
            seen.add((place, at))
            entry = self.page(place)[at : at + 60]
            held = _number(entry, 48, 4)
            yield held, 696 if held == first else 49
            place, at = _number(entry, 6, 4), _number(entry, 10, 2)

    def dictionary(self) -> Iterator[bytes]:
        """The descriptions of tables in JSON that MySQL 8 keeps in the file itself."""
        for number in self._dictionary:
            for record in self._page_records(bytes(self.page(number)), compact=True):
                page, at = record.page, record.origin
                # type, id, the two numbers of the transaction, size, compressed size, then the bytes or where they lie
                size, packed = _number(page, at + 25, 4), _number(page, at + 29, 4)
                data = bytes(page[at + 33 : at + 33 + packed])
                if not data.startswith(b"\x78"):
                    data = self.long_value(data[:REFERENCE], _MAX_DICTIONARY)
                try:
                    yield zlib.decompressobj().decompress(data, min(size, _MAX_DICTIONARY) or 1)
                except zlib.error:
                    self.damaged += 1


def _number(data: memoryview | bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
