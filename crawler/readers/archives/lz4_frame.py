"""LZ4 frames: told apart here, so that what stands beside them is looked into, and unpacked by libarchive.

Source: LZ4 Frame Format Description 1.6.4.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from crawler.readers.archives.auxiliary_data import AuxiliaryData
from crawler.readers.archives.compressed_stream import inner_name
from crawler.readers.archives.libarchive_decoder import read_filtered
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "lz4"

_MAGIC, _OLD = b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"
_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_ENDINGS = (".lz4", ".tlz4")
_BLOCK_CHECKSUM, _SIZE, _CHECKSUM, _DICTIONARY = 0x10, 0x08, 0x04, 0x01
# no block is larger, and none of the older form, whose 8 MiB may have grown by packing
_MOST, _MOST_OLD = 2**22, 2**23 + 2**23 // 255 + 16
_PIECE = 2**20


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes, those of the older form included; frames to be skipped are those of other formats as well."""
    at = 0
    while _SKIPPED.match(head, at):
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
    return (0.97 if at else 1.0) if head.startswith((_MAGIC, _OLD), at) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Unpack all frames as one file."""
    frames = _Frames(source)
    packed = Source(frames.pieces(), "", source.amplification)
    read_filtered(packed, out, limits, "lz4", inner_name(source.name, *_ENDINGS))
    source.put_back(packed.take_rest())
    frames.beside.read(source, out)
    if frames.cut:
        out.problem("cut", "the file ends inside a frame that is to be skipped", incomplete=True)


class _Frames:
    """The frames of one file.

    Attributes:
        beside: what frames hold that are to be skipped. cut: the file ends inside of one.
    """

    def __init__(self, source: Source) -> None:
        self.beside = AuxiliaryData()
        self.cut = False
        self._source = source

    def pieces(self) -> Generator[bytes, None, None]:
        """All frames but those that are to be skipped, as they stand; the source is left where they end."""
        source = self._source
        while mark := source.peek(4):
            if mark == _MAGIC:
                sound = yield from self._frame()
            elif mark == _OLD:
                yield source.read(4)
                sound = yield from self._blocks(_MOST_OLD, 0)
            elif _SKIPPED.match(mark):
                sound = self.beside.frame(source)
                self.cut = not sound
            else:
                return
            if not sound:
                # how it goes on is for libarchive to say
                yield from iter(source.piece, b"")
                return

    def _frame(self) -> Generator[bytes, None, bool]:
        """One frame; returns False where it makes no sense."""
        source = self._source
        flags = source.peek(5)[4:]
        if not flags:
            return False
        head = 7 + 8 * bool(flags[0] & _SIZE) + 4 * bool(flags[0] & _DICTIONARY)
        yield source.read(head)
        if not (yield from self._blocks(_MOST, 4 * bool(flags[0] & _BLOCK_CHECKSUM))):
            return False
        yield source.read(4 + 4 * bool(flags[0] & _CHECKSUM))
        return True

    def _blocks(self, most: int, behind: int) -> Generator[bytes, None, bool]:
        """Blocks up to where none is; returns False where that is no end of a frame.

        Args:
            most: bytes of one.
            behind: bytes of the checksum that follows each.
        """
        source, old = self._source, most == _MOST_OLD
        while size := int.from_bytes(head := source.peek(4), "little") & (2**32 - 1 if old else 2**31 - 1):
            if len(head) < 4 or size > most:
                return old
            left = 4 + size + behind
            while left and (piece := source.piece(min(left, _PIECE))):
                left -= len(piece)
                yield piece
            if left:
                return False
        return len(head) == 4 or old
