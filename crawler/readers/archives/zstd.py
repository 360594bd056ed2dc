"""Zstandard: one frame, or several that follow each other, as one file.

The blocks of a frame are separated here, so that each of them decompresses to a bounded size.

Source: RFC 8878.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import zstandard

from crawler.readers.archives.auxiliary_data import AuxiliaryData
from crawler.readers.archives.compressed_stream import ConcatenatedStreams, inner_name, read_decompressed
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "zstd"

_MAGIC = b"\x28\xb5\x2f\xfd"
_ANY = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_ENDINGS = (".zst", ".tzst", ".zstd")
_RLE, _RESERVED = 1, 3
_MAX_BLOCK = 2**17
_CUT = "the compressed data ends too early"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the magic bytes; less so behind skippable frames, which other formats have too."""
    return 1.0 if head.startswith(_MAGIC) else 0.96 if _ANY.match(head) and _MAGIC in head else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Decompress all frames as one file."""
    frames = Frames(source, limits)
    read_decompressed(frames, inner_name(source.name, *_ENDINGS), out)
    frames.auxiliary.read_embedded(source, out)


class Frames(ConcatenatedStreams):
    """Frames that follow each other.

    Attributes:
        auxiliary: data of the skippable frames.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits, _ANY)
        self.auxiliary = AuxiliaryData()

    def one(self) -> Iterator[bytes]:
        """The decompressed bytes of the frame that begins here; nothing for a skippable frame."""
        source = self.source
        if source.peek(4) != _MAGIC:
            if not self.auxiliary.add_skippable_frame(source):
                raise Damaged("cut", _CUT)
            return
        mark = source.read(4)
        head, window, checksum = self._header()
        if window > self.limits.memory // 2:
            raise Damaged("memory", "decompressing it takes more memory than the limit allows")
        decoder = zstandard.ZstdDecompressor(max_window_size=max(window, 1024)).decompressobj()
        try:
            decoder.decompress(mark + head)
            last = False
            while not last:
                # a block decompresses to 128 KiB at most
                block, last = self._block()
                part = decoder.decompress(block)
                if part:
                    yield part
            if checksum:
                decoder.decompress(self._exactly(4))
        except zstandard.ZstdError as error:
            raise Damaged("damaged", "the compressed data is damaged") from error

    def _exactly(self, size: int) -> bytes:
        data = self.source.read(size)
        if len(data) < size:
            raise Damaged("cut", _CUT)
        return data

    def _header(self) -> tuple[bytes, int, bool]:
        """The header of the frame, its window size in bytes, and whether a checksum follows its blocks."""
        first = self._exactly(1)
        flags = first[0]
        single = bool(flags & 0x20)
        if flags & 0x08:
            raise Damaged("damaged", "the compressed data is damaged")
        rest = self._exactly((0 if single else 1) + (0, 1, 2, 4)[flags & 3] + (int(single), 2, 4, 8)[flags >> 6])
        at = 0 if single else 1
        name = rest[at : at + (0, 1, 2, 4)[flags & 3]]
        if any(name):
            raise Damaged("unread", "it was compressed with a dictionary that it does not contain")
        if single:
            size = rest[len(name) :]
            window = int.from_bytes(size, "little") + (256 if len(size) == 2 else 0)
        else:
            base = 1 << (10 + (rest[0] >> 3))
            window = base + base // 8 * (rest[0] & 7)
        return first + rest, window, bool(flags & 0x04)

    def _block(self) -> tuple[bytes, bool]:
        head = self._exactly(3)
        number = int.from_bytes(head, "little")
        kind, size = number >> 1 & 3, number >> 3
        if kind == _RESERVED or size > _MAX_BLOCK:
            raise Damaged("damaged", "the compressed data is damaged")
        return head + self._exactly(1 if kind == _RLE else size), bool(number & 1)
