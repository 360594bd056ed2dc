"""LZ4: separates the frames here, so that skippable frames are searched, and lets libarchive decompress them.

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

_MAGIC, _LEGACY_MAGIC = b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_ENDINGS = (".lz4", ".tlz4")
_BLOCK_CHECKSUM, _SIZE, _CHECKSUM, _DICTIONARY = 0x10, 0x08, 0x04, 0x01
# sizes that no block exceeds; the 8 MiB of a legacy block may have grown by compression
_MAX_BLOCK, _MAX_LEGACY_BLOCK = 2**22, 2**23 + 2**23 // 255 + 16
_PIECE = 2**20


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the magic bytes, also those of the legacy form.

    Less sure behind skippable frames, because other formats have them too.
    """
    at = 0
    while _SKIPPABLE.match(head, at):
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
    return (0.97 if at else 1.0) if head.startswith((_MAGIC, _LEGACY_MAGIC), at) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Decompress all frames as one file."""
    frames = _Frames(source)
    compressed = Source(frames.pieces(), "", source.amplification)
    read_filtered(compressed, out, limits, "lz4", inner_name(source.name, *_ENDINGS))
    source.put_back(compressed.take_rest())
    frames.auxiliary.read_embedded(source, out)
    if frames.cut:
        out.problem("cut", "the file ends inside a skippable frame", incomplete=True)


class _Frames:
    """The frames of one file.

    Attributes:
        auxiliary: data of the skippable frames.
        cut: the file ends inside a skippable frame.
    """

    def __init__(self, source: Source) -> None:
        self.auxiliary = AuxiliaryData()
        self.cut = False
        self._source = source

    def pieces(self) -> Generator[bytes, None, None]:
        """The bytes of all frames except skippable ones; the source stands behind the last frame afterwards."""
        source = self._source
        while mark := source.peek(4):
            if mark == _MAGIC:
                sound = yield from self._frame()
            elif mark == _LEGACY_MAGIC:
                yield source.read(4)
                sound = yield from self._blocks(_MAX_LEGACY_BLOCK, 0)
            elif _SKIPPABLE.match(mark):
                sound = self.auxiliary.add_skippable_frame(source)
                self.cut = not sound
            else:
                return
            if not sound:
                # libarchive gets the rest and reports the damage
                yield from iter(source.piece, b"")
                return

    def _frame(self) -> Generator[bytes, None, bool]:
        """The bytes of one frame; returns False if it is damaged or ends early."""
        source = self._source
        flags = source.peek(5)[4:]
        if not flags:
            return False
        head = 7 + 8 * bool(flags[0] & _SIZE) + 4 * bool(flags[0] & _DICTIONARY)
        yield source.read(head)
        if not (yield from self._blocks(_MAX_BLOCK, 4 * bool(flags[0] & _BLOCK_CHECKSUM))):
            return False
        yield source.read(4 + 4 * bool(flags[0] & _CHECKSUM))
        return True

    def _blocks(self, max_size: int, checksum_size: int) -> Generator[bytes, None, bool]:
        """The bytes of blocks up to the end mark or the first invalid block; returns whether the frame ends there.

        Args:
            max_size: bytes of one block.
            checksum_size: bytes of the checksum that follows each block.
        """
        source, legacy = self._source, max_size == _MAX_LEGACY_BLOCK
        while size := int.from_bytes(head := source.peek(4), "little") & (2**32 - 1 if legacy else 2**31 - 1):
            if len(head) < 4 or size > max_size:
                return legacy
            left = 4 + size + checksum_size
            while left and (piece := source.piece(min(left, _PIECE))):
                left -= len(piece)
                yield piece
            if left:
                return False
        return len(head) == 4 or legacy
