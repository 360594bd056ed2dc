"""Deflate streams inside gzip and zip, unpacked piece by piece under the ratio limit; headers are left to those two."""

from __future__ import annotations

from collections.abc import Iterator

from isal import isal_zlib

from crawler.readers.base import RATIO_FLOOR, Damaged, Limits, Source

# the stubs of isal call the class an instance
_REFUSED: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]
# what one damaged place costs: the output of a piece is lost when decoding fails inside it
_PACKED_PIECE = 2048
_UNPACKED_PIECE = 2**18


class Inflate:
    """One raw deflate stream of a source, which afterwards stands behind its last byte.

    Attributes:
        packed, unpacked: bytes so far. crc: CRC-32 of what was unpacked so far.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self.packed = 0
        self.unpacked = 0
        self.crc = 0
        self._source = source
        self._limits = limits
        self._decoder = isal_zlib.decompressobj(wbits=-15)
        self._pending = b""
        self._more = False

    def amplification(self) -> float:
        """Unpacked bytes for one byte of the whole sample."""
        return float(self._source.amplification() * self.unpacked / max(1, self.packed))

    def pieces(self, *, limited: bool = True) -> Iterator[bytes]:
        """Unpacked bytes; may be asked again after a ratio error, `limited` off, to find the end of the stream.

        Raises:
            Damaged: "cut" where the source ends first; "damaged" where no stream goes on so, with the source set back
                to a place before the damage; "ratio" where the limit is passed.
        """
        decoder = self._decoder
        while not decoder.eof:
            if not self._pending and not self._more:
                self._pending = self._source.piece(_PACKED_PIECE)
                self.packed += len(self._pending)
                if not self._pending:
                    raise Damaged("cut", "the compressed data ends before its end")
                taken = len(self._pending)
            try:
                data = decoder.decompress(self._pending, _UNPACKED_PIECE)
            except _REFUSED as error:
                self._source.back(taken)
                self.packed -= taken
                raise Damaged("damaged", "the compressed data is damaged") from error
            self._pending = decoder.unconsumed_tail
            # a full piece may leave output inside the decoder although it took all its input
            self._more = len(data) >= _UNPACKED_PIECE
            self.unpacked += len(data)
            self.crc = isal_zlib.crc32(data, self.crc)
            if limited and self.unpacked > RATIO_FLOOR and self.amplification() > self._limits.max_ratio:
                raise Damaged("ratio", f"it unpacks to more than {self._limits.max_ratio:g} times its size")
            if data:
                yield data
        left = len(decoder.unused_data)
        if left and self._pending is not None:
            self._source.back(left)
            self.packed -= left
            self._pending = b""

    def find_end(self) -> None:
        """Unpack what is left without giving it out, so that the source stands behind the stream.

        Raises:
            Damaged: as `pieces`.
        """
        for _ in self.pieces(limited=False):
            pass
