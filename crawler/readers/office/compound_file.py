"""Finds the streams in a compound file (OLE), the container of old Office documents and Outlook messages.

The module `ole` reads the contents of the streams.

Source: Microsoft [MS-CFB].
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass

from crawler.readers.core.limits import Damaged

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# numbers from here on are marks, not sectors
_FIRST_MARK = 0xFFFFFFFA
# how many sectors of the allocation table the header lists
_HEADER_TABLE = 109
# bytes of a directory entry
_ENTRY_SIZE = 128
_STREAM, _ROOT = 2, 5


@dataclass(frozen=True, slots=True)
class CompoundEntry:
    """The directory entry of a stream: its name, its first sector, and its size as stated."""

    name: str
    start: int
    size: int


class CompoundFile:
    """A compound file in memory.

    Attributes:
        streams: the entries of all streams, in whatever folder they are.
        chain_broken: a chain of sectors leads out of the file or ends too early.

    Raises:
        Damaged: the header is invalid.
    """

    def __init__(self, data: bytearray) -> None:
        self.chain_broken = False
        self._read_sectors: set[int] = set()
        self._data = data
        if len(data) < 512 or not data.startswith(MAGIC):
            raise Damaged("damaged", "the header of the compound file is damaged")
        shift, mini_shift = struct.unpack_from("<HH", data, 30)
        directory, _, self._cutoff, mini_table, _, more, _ = struct.unpack_from("<7I", data, 48)
        if shift not in (9, 12) or mini_shift != 6:
            raise Damaged("damaged", "the header of the compound file is damaged")
        self._sector_size, self._mini_size = 1 << shift, 1 << mini_shift
        self._table = self._read_table(more)
        self.streams: list[CompoundEntry] = []
        # small streams lie in sectors of their own size, inside the stream of the root entry
        self._mini_stream, self._mini_table = b"", array("I")
        root = None
        entries = self._read_chain(directory, None)
        for at in range(0, len(entries) - _ENTRY_SIZE + 1, _ENTRY_SIZE):
            length, kind = struct.unpack_from("<HB", entries, at + 64)
            start, size = struct.unpack_from("<IQ", entries, at + 116)
            if shift == 9:
                size &= 0xFFFFFFFF
            name = entries[at : at + max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
            if kind == _STREAM:
                self.streams.append(CompoundEntry(name, start, size))
            elif kind == _ROOT and root is None:
                root = start, size
        if root is not None:
            self._mini_stream = self._read_chain(*root)
            self._mini_table = _sector_numbers(self._read_chain(mini_table, None))

    def _read_table(self, more: int) -> array[int]:
        """The allocation table: for each sector, the number of the sector that follows it."""
        places = list(struct.unpack_from(f"<{_HEADER_TABLE}I", self._data, 76))
        seen: set[int] = set()
        while more < _FIRST_MARK and more not in seen:
            seen.add(more)
            sector = _sector_numbers(self._read_sector(more))
            if len(sector) < 2:
                break
            places += sector[:-1]
            more = sector[-1]
        table = array("I")
        used: set[int] = set()
        for place in places:
            if place < _FIRST_MARK and place not in used:
                used.add(place)
                table += _sector_numbers(self._read_sector(place))
        return table

    def end_of_read_sector(self, at: int) -> int:
        """The end of the sector that holds the position `at`, if that sector was read; otherwise `at`."""
        number = at // self._sector_size - 1
        return (number + 2) * self._sector_size if number < 0 or number in self._read_sectors else at

    def _read_sector(self, number: int) -> bytes:
        self._read_sectors.add(number)
        start = (number + 1) * self._sector_size
        return bytes(self._data[start : start + self._sector_size])

    def _read_chain(self, start: int, size: int | None) -> bytes:
        """The bytes of a chain of sectors, at most `size`; None for the whole chain."""
        parts: list[bytes] = []
        have, number = 0, start
        # a chain that forms a loop is read for at most the size of the file
        for _ in range(len(self._data) // self._sector_size + 1):
            if number >= _FIRST_MARK or (size is not None and have >= size):
                break
            part = self._read_sector(number)
            if not part or number >= len(self._table):
                self.chain_broken = True
                break
            parts.append(part)
            have += len(part)
            number = self._table[number]
        data = b"".join(parts)
        if size is not None and have < size:
            self.chain_broken = True
        return data if size is None else data[:size]

    def read_stream(self, entry: CompoundEntry) -> bytes:
        """The bytes of a stream, fewer than stated if its chain of sectors ends early."""
        if entry.size >= self._cutoff:
            return self._read_chain(entry.start, entry.size)
        parts: list[bytes] = []
        have, number = 0, entry.start
        while number < len(self._mini_table) and have < entry.size:
            part = self._mini_stream[number * self._mini_size : (number + 1) * self._mini_size]
            if not part:
                break
            parts.append(part)
            have += len(part)
            number = self._mini_table[number]
        self.chain_broken = self.chain_broken or have < entry.size
        return b"".join(parts)[: entry.size]


def _sector_numbers(data: bytes) -> array[int]:
    return array("I", data[: len(data) - len(data) % 4])
