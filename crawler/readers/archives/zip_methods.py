"""Bodies of zip members that are not deflated: stored, or packed by younger methods; headers are left to the zip reader.

Source: PKWARE APPNOTE 6.3.10, sections 4.3.9, 4.4.5 and 5.8.
"""

from __future__ import annotations

import lzma
import re
import struct
from collections.abc import Iterator

from isal import isal_zlib

from crawler.readers.archives import bzip2, xz
from crawler.readers.archives.compressed_stream import Decoded, Stream
from crawler.readers.archives.zstd import Frames
from crawler.readers.core.limits import PIECE, Damaged, Limits
from crawler.readers.core.source import Source

DESCRIPTOR = b"PK\x07\x08"
BZIP2, LZMA, ZSTD, XZ = 12, 14, 93, 95
_NEVER = re.compile(rb"(?!)")


def open_member_stream(method: int, source: Source, limits: Limits, unpacked: int | None) -> Stream | None:
    """The stream of a member that begins where the source stands; None for a method that is not known.

    Args:
        method: as the header names it.
        source: it is read no further than the stream goes, where the method can tell.
        limits: of the sample.
        unpacked: size that the header names, None where it stands behind the member.
    """
    if method == BZIP2:
        return bzip2.open_streams(source, limits)
    if method == XZ:
        return xz.open_streams(source, limits)
    if method == ZSTD:
        return Frames(source, limits)
    if method == LZMA:
        return _Lzma(source, limits, unpacked)
    return None


class _Lzma(Stream):
    """An LZMA stream behind its own small header; it need not have an end mark."""

    def __init__(self, source: Source, limits: Limits, unpacked: int | None) -> None:
        super().__init__(source, limits)
        self._wanted = unpacked

    def parts(self) -> Iterator[bytes]:
        head = self.source.read(4)
        properties = self.source.read(int.from_bytes(head[2:], "little"))
        if len(properties) < 5 or properties[0] >= 225:
            raise Damaged("damaged", "the compressed data is damaged")
        rest, literal = divmod(properties[0], 9)
        window = int.from_bytes(properties[1:5], "little")
        if window > self.limits.memory // 2:
            raise Damaged("memory", "it needs more memory to be unpacked than the limit")
        filters = [
            {
                "id": lzma.FILTER_LZMA1,
                "dict_size": max(window, 4096),
                "lc": literal,
                "lp": rest % 5,
                "pb": rest // 5,
            }
        ]

        def make() -> lzma.LZMADecompressor:
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)

        decoded = Decoded(self.source, self.limits, _NEVER, make, (lzma.LZMAError, EOFError))
        came = 0
        try:
            for part in decoded.parts():
                came += len(part)
                yield part
        except Damaged as error:
            # without an end mark the header's size is the end
            if error.code != "cut" or came != self._wanted:
                raise


class Stored:
    """A member that is not compressed."""

    def __init__(self, source: Source, size: int | None) -> None:
        self.size = 0
        self.crc = 0
        self._source = source
        self._wanted = size

    def _took(self, data: bytes) -> bytes:
        self.size += len(data)
        self.crc = isal_zlib.crc32(data, self.crc)
        return data

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, to the size in its header or to the descriptor behind it."""
        if self._wanted is None:
            yield from self._until_descriptor()
            return
        while self.size < self._wanted:
            data = self._source.piece(min(PIECE, self._wanted - self.size))
            if not data:
                raise Damaged("cut", "the archive ends inside this member")
            yield self._took(data)

    def _until_descriptor(self) -> Iterator[bytes]:
        """The size stands behind the member: its end is where a descriptor agrees with what came before it."""
        while data := self._source.peek(PIECE):
            at = data.find(DESCRIPTOR)
            if at < 0:
                # the last bytes may begin a descriptor
                at = len(data) - 3 if len(data) == PIECE else len(data)
                yield self._took(self._source.read(at))
                continue
            if at:
                yield self._took(self._source.read(at))
            if descriptor_size(self._source, self.crc, self.size, self.size):
                return
            yield self._took(self._source.read(4))
        raise Damaged("cut", "the archive ends inside this member")


class Checked:
    """The checksum of what comes by."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.crc = 0
        self._pieces = pieces

    def pieces(self) -> Iterator[bytes]:
        """The same bytes."""
        for piece in self._pieces:
            self.crc = isal_zlib.crc32(piece, self.crc)
            yield piece


def descriptor_size(source: Source, crc: int, packed: int, unpacked: int) -> int:
    """Length of the data descriptor that comes next if it says these numbers, else 0."""
    data = source.peek(24)
    for mark in (DESCRIPTOR, b""):
        for form in ("<III", "<IQQ"):
            size = struct.calcsize(form)
            body = data[len(mark) : len(mark) + size]
            if data.startswith(mark) and len(body) == size:
                mask = 0xFFFFFFFF if form == "<III" else 2**64 - 1
                if struct.unpack(form, body) == (crc, packed & mask, unpacked & mask):
                    return len(mark) + size
    return 0
