"""Bodies of zip members that are stored, or compressed by other methods than deflate.

Headers are left to `zip_archive`.

Source: PKWARE APPNOTE 6.3.10, sections 4.3.9, 4.4.5 and 5.8.
"""

from __future__ import annotations

import lzma
import re
import struct
from collections.abc import Iterator

from isal import isal_zlib

from crawler.readers.archives import bzip2, xz
from crawler.readers.archives.compressed_stream import CompressedStream, DecoderStreams
from crawler.readers.archives.zstd import Frames
from crawler.readers.core.limits import PIECE, Damaged, Limits
from crawler.readers.core.source import Source

DESCRIPTOR = b"PK\x07\x08"
BZIP2, LZMA, ZSTD, XZ = 12, 14, 93, 95
_NEVER = re.compile(rb"(?!)")


def open_member_stream(method: int, source: Source, limits: Limits, size: int | None) -> CompressedStream | None:
    """The compressed stream of a member at the current place of the source; None if the method is unknown.

    Args:
        method: number in the header.
        source: it is read only as far as the stream goes, if the method has an end mark.
        limits: of the sample.
        size: of the decompressed member as its header names it; None if the size stands behind the member.
    """
    if method == BZIP2:
        return bzip2.open_streams(source, limits)
    if method == XZ:
        return xz.open_streams(source, limits)
    if method == ZSTD:
        return Frames(source, limits)
    if method == LZMA:
        return _Lzma(source, limits, size)
    return None


class _Lzma(CompressedStream):
    """An LZMA stream behind a small header of its own. It may have no end mark; then `size` tells its end."""

    def __init__(self, source: Source, limits: Limits, size: int | None) -> None:
        super().__init__(source, limits)
        self._size = size

    def parts(self) -> Iterator[bytes]:
        head = self.source.read(4)
        properties = self.source.read(int.from_bytes(head[2:], "little"))
        if len(properties) < 5 or properties[0] >= 225:
            raise Damaged("damaged", "the compressed data is damaged")
        rest, literal = divmod(properties[0], 9)
        window = int.from_bytes(properties[1:5], "little")
        if window > self.limits.memory // 2:
            raise Damaged("memory", "decompressing it takes more memory than the limit allows")
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

        decoded = DecoderStreams(self.source, self.limits, _NEVER, make, (lzma.LZMAError, EOFError))
        came = 0
        try:
            for part in decoded.parts():
                came += len(part)
                yield part
        except Damaged as error:
            # without an end mark, the stream ends at the size that the header names
            if error.code != "cut" or came != self._size:
                raise


class Stored:
    """A member that is not compressed.

    Args:
        source: stands at the first byte of the member.
        expected_size: in bytes; None if it stands in a descriptor behind the member.

    Attributes:
        size: number of bytes so far.
        crc: CRC-32 of these bytes.
    """

    def __init__(self, source: Source, expected_size: int | None) -> None:
        self.size = 0
        self.crc = 0
        self._source = source
        self._expected_size = expected_size

    def _count(self, data: bytes) -> bytes:
        self.size += len(data)
        self.crc = isal_zlib.crc32(data, self.crc)
        return data

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the member, up to its size or to the descriptor behind it."""
        if self._expected_size is None:
            yield from self._until_descriptor()
            return
        while self.size < self._expected_size:
            data = self._source.piece(min(PIECE, self._expected_size - self.size))
            if not data:
                raise Damaged("cut", "the archive ends inside this member")
            yield self._count(data)

    def _until_descriptor(self) -> Iterator[bytes]:
        """The member ends at the first descriptor whose size and checksum agree with the bytes before it."""
        while data := self._source.peek(PIECE):
            at = data.find(DESCRIPTOR)
            if at < 0:
                # a descriptor may begin in the last bytes
                at = len(data) - 3 if len(data) == PIECE else len(data)
                yield self._count(self._source.read(at))
                continue
            if at:
                yield self._count(self._source.read(at))
            if descriptor_size(self._source, self.crc, self.size, self.size):
                return
            yield self._count(self._source.read(4))
        raise Damaged("cut", "the archive ends inside this member")


class Checked:
    """Passes bytes on and computes their checksum.

    Attributes:
        crc: CRC-32 of the bytes so far.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.crc = 0
        self._pieces = pieces

    def pieces(self) -> Iterator[bytes]:
        """The same bytes, unchanged."""
        for piece in self._pieces:
            self.crc = isal_zlib.crc32(piece, self.crc)
            yield piece


def descriptor_size(source: Source, crc: int, compressed: int, decompressed: int) -> int:
    """Length of the data descriptor that comes next, if it contains these numbers; otherwise 0."""
    data = source.peek(24)
    for mark in (DESCRIPTOR, b""):
        for form in ("<III", "<IQQ"):
            size = struct.calcsize(form)
            body = data[len(mark) : len(mark) + size]
            if data.startswith(mark) and len(body) == size:
                mask = 0xFFFFFFFF if form == "<III" else 2**64 - 1
                if struct.unpack(form, body) == (crc, compressed & mask, decompressed & mask):
                    return len(mark) + size
    return 0
