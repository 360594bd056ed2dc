"""Reads the headers of a RAR archive: which members it has, and which are encrypted. libarchive decompresses them.

Source: RAR 5.0 archive format and the technical note of RAR 4, both by RARLAB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from crawler.readers.core.limits import MAX_NAME

MAGIC4, MAGIC5 = b"Rar!\x1a\x07\0", b"Rar!\x1a\x07\x01\0"
_BLOCK4 = struct.Struct("<HBHH")
_FILE4 = struct.Struct("<IIBIIBBHI")
_MAIN4, _MEMBER4, _END4, _TYPES4 = 0x73, 0x74, 0x7B, range(0x72, 0x7C)
_MEMBER5, _CRYPT5, _END5 = 2, 4, 5
# no header is longer than this many bytes
_MAX_HEADER = 2 * 2**20


@dataclass(slots=True)
class RarEntry:
    """One member as its header describes it; `crc` is None if the header has none, or only that of a part."""

    name: str
    folder: bool
    locked: bool
    crc: int | None


class RarListing:
    """Takes the bytes of an archive in order and lists its members; stops at the first header that is invalid.

    Args:
        max_entries: stop after so many members.

    Attributes:
        members: in the order of the archive.
        locked: the headers themselves are encrypted.
        goes_on: the volume that was read last is not the last one of the archive.
        end: number of bytes up to the end of the archive, 0 before its end was reached.
        stopped: no more bytes are taken.
    """

    def __init__(self, max_entries: int) -> None:
        self.members: list[RarEntry] = []
        self.locked = self.goes_on = False
        self._max_entries = max_entries
        self._buffer = bytearray()
        self._skip = 0
        self.end = 0
        self.stopped = False
        self._fed = 0
        self._version = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        if self.stopped:
            return
        self._fed += len(piece)
        skipped = min(self._skip, len(piece))
        self._skip -= skipped
        self._buffer += memoryview(piece)[skipped:]
        try:
            while not self._skip and self._block():
                # skip the data of the block, in the buffer and beyond
                gone = min(self._skip, len(self._buffer))
                del self._buffer[:gone]
                self._skip -= gone
        except (struct.error, IndexError, ValueError):
            self.stopped = True
        if self.stopped or len(self.members) > self._max_entries:
            self.stopped = True
            self._buffer.clear()

    def _block(self) -> bool:
        """Read the header of the next block; False if it is not complete yet."""
        if not self._version:
            if self.goes_on:
                # volumes are filled up with zeros to their size
                self._buffer = self._buffer.lstrip(b"\0")
            if len(self._buffer) < len(MAGIC5):
                return False
            if self.goes_on and not self._buffer.startswith((MAGIC4, MAGIC5)):
                raise ValueError
            self.goes_on = False
            self._version = 5 if self._buffer.startswith(MAGIC5) else 4
            self._skip = len(MAGIC5 if self._version == 5 else MAGIC4)
            return True
        return self._block5() if self._version == 5 else self._block4()

    def _block4(self) -> bool:
        data = self._buffer
        if len(data) < _BLOCK4.size:
            return False
        _, kind, flags, size = _BLOCK4.unpack_from(data)
        if kind not in _TYPES4 or size < _BLOCK4.size:
            raise ValueError
        if len(data) < size:
            return False
        # a header with a wrong size must not be read beyond that size
        data = data[:size]
        more = struct.unpack_from("<I", data, 7)[0] if flags & 0x8000 else 0
        if kind == _MAIN4 and flags & 0x80:
            self.locked = True
            raise ValueError
        if kind == _MEMBER4:
            compressed, _, _, crc, _, _, _, name_size, _ = _FILE4.unpack_from(data, _BLOCK4.size)
            at = _BLOCK4.size + _FILE4.size
            more = compressed
            if flags & 0x100:
                more += struct.unpack_from("<I", data, at)[0] << 32
                at += 8
            # behind a NUL byte the name is repeated in another encoding
            name = bytes(data[at : at + name_size]).split(b"\0", 1)[0]
            # a member that began in the volume before this one is listed already
            if not flags & 1:
                self._add(name, folder=flags & 0xE0 == 0xE0, locked=bool(flags & 4), crc=None if flags & 3 else crc)
        self._skip = size + more
        return self._goes_on(ended=kind == _END4, more_volumes=bool(flags & 1))

    def _block5(self) -> bool:
        data = self._buffer
        try:
            size, start = _number(data, 4)
        except IndexError:
            return False
        if not 0 < size <= _MAX_HEADER:
            raise ValueError
        if len(data) < start + size:
            return False
        data = data[: start + size]
        kind, at = _number(data, start)
        flags, at = _number(data, at)
        extra, at = _number(data, at) if flags & 1 else (0, at)
        more, at = _number(data, at) if flags & 2 else (0, at)
        if kind == _CRYPT5:
            self.locked = True
            raise ValueError
        if kind == _MEMBER5 and not flags & 0x8:
            self._member5(data, at, extra, whole=not flags & 0x18)
        self._skip = start + size + more
        more_volumes = kind == _END5 and at < len(data) and bool(_number(data, at)[0] & 1)
        return self._goes_on(ended=kind == _END5, more_volumes=more_volumes)

    def _goes_on(self, *, ended: bool, more_volumes: bool) -> bool:
        """Whether the next block follows, in this volume or in the next one."""
        if ended and more_volumes:
            self.goes_on, self._version = True, 0
            return True
        if ended:
            self.end = self._fed - len(self._buffer) + self._skip
            self.stopped = True
        return not ended

    def _member5(self, data: bytearray, at: int, extra: int, *, whole: bool) -> None:
        flags, at = _number(data, at)
        for _ in range(2):
            _, at = _number(data, at)
        at += 4 if flags & 2 else 0
        crc = struct.unpack_from("<I", data, at)[0] if flags & 4 and whole else None
        at += 4 if flags & 4 else 0
        for _ in range(2):
            _, at = _number(data, at)
        size, at = _number(data, at)
        name = bytes(data[at : at + size])
        locked = False
        at = max(at, len(data) - extra)
        while extra and at < len(data):
            size, at = _number(data, at)
            kind, _ = _number(data, at)
            locked = locked or kind == 1
            at += size
        self._add(name, folder=bool(flags & 1), locked=locked, crc=crc)

    def _add(self, name: bytes, *, folder: bool, locked: bool, crc: int | None) -> None:
        self.members.append(RarEntry(name[: 4 * MAX_NAME].decode("utf-8", "replace"), folder, locked, crc))


def _number(data: bytearray, at: int) -> tuple[int, int]:
    """A number of variable length (seven bits in each byte), and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError
