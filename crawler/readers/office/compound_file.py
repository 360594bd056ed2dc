"""The streams inside a compound file (OLE), which is how old Office documents and mail of Outlook are kept; what is in them is left to `ole`.

Source: Microsoft [MS-CFB].
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass

from crawler.readers.core.limits import Damaged

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LAST = 0xFFFFFFFA
_HEADER_TABLE = 109
_ENTRY = 128
_STREAM, _ROOT = 2, 5


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream by its name, where it begins and how long it says it is."""

    name: str
    start: int
    size: int


class CompoundFile:
    """A compound file in memory.

    Attributes:
        streams: all of them, wherever they stand in its folders. cut: a chain of sectors leads out of the file.

    Raises:
        Damaged: its header makes no sense.
    """

    def __init__(self, held: bytearray) -> None:
        self.cut = False
        self._read: set[int] = set()
        self._held = held
        if len(held) < 512 or not held.startswith(MAGIC):
            raise Damaged("damaged", "its header is damaged")
        shift, mini_shift = struct.unpack_from("<HH", held, 30)
        directory, _, self._cutoff, mini_table, _, more, _ = struct.unpack_from("<7I", held, 48)
        if shift not in (9, 12) or mini_shift != 6:
            raise Damaged("damaged", "its header is damaged")
        self._size, self._mini = 1 << shift, 1 << mini_shift
        self._table = self._read_table(more)
        self.streams: list[Entry] = []
        self._small, self._small_table = b"", array("I")
        root = None
        folder = self._chain(directory, None)
        for at in range(0, len(folder) - _ENTRY + 1, _ENTRY):
            length, kind = struct.unpack_from("<HB", folder, at + 64)
            start, size = struct.unpack_from("<IQ", folder, at + 116)
            if shift == 9:
                size &= 0xFFFFFFFF
            name = folder[at : at + max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
            if kind == _STREAM:
                self.streams.append(Entry(name, start, size))
            elif kind == _ROOT and root is None:
                root = start, size
        if root is not None:
            self._small = self._chain(*root)
            self._small_table = _numbers(self._chain(mini_table, None))

    def _read_table(self, more: int) -> array[int]:
        """Which sector follows which."""
        places = list(struct.unpack_from(f"<{_HEADER_TABLE}I", self._held, 76))
        seen: set[int] = set()
        while more < _LAST and more not in seen:
            seen.add(more)
            sector = _numbers(self._sector(more))
            if len(sector) < 2:
                break
            places += sector[:-1]
            more = sector[-1]
        table = array("I")
        used: set[int] = set()
        for place in places:
            if place < _LAST and place not in used:
                used.add(place)
                table += _numbers(self._sector(place))
        return table

    def known(self, at: int) -> int:
        """Where the sector ends that holds a place, if it was read as part of anything; else the place."""
        number = at // self._size - 1
        return (number + 2) * self._size if number < 0 or number in self._read else at

    def _sector(self, number: int) -> bytes:
        self._read.add(number)
        start = (number + 1) * self._size
        return bytes(self._held[start : start + self._size])

    def _chain(self, start: int, size: int | None) -> bytes:
        parts: list[bytes] = []
        have, number = 0, start
        # a chain that comes back to itself is as long as the file at most
        for _ in range(len(self._held) // self._size + 1):
            if number >= _LAST or (size is not None and have >= size):
                break
            part = self._sector(number)
            if not part or number >= len(self._table):
                self.cut = True
                break
            parts.append(part)
            have += len(part)
            number = self._table[number]
        data = b"".join(parts)
        if size is not None and have < size:
            self.cut = True
        return data if size is None else data[:size]

    def read(self, entry: Entry) -> bytes:
        """The bytes of a stream, fewer where its chain ends early."""
        if entry.size >= self._cutoff:
            return self._chain(entry.start, entry.size)
        parts: list[bytes] = []
        have, number = 0, entry.start
        while number < len(self._small_table) and have < entry.size:
            part = self._small[number * self._mini : (number + 1) * self._mini]
            if not part:
                break
            parts.append(part)
            have += len(part)
            number = self._small_table[number]
        self.cut = self.cut or have < entry.size
        return b"".join(parts)[: entry.size]


def _numbers(data: bytes) -> array[int]:
    return array("I", data[: len(data) - len(data) % 4])
