"""Deflate streams inside gzip and zip, unpacked piece by piece under the ratio limit; headers are left to those two."""

from __future__ import annotations

from collections.abc import Iterator

from isal import isal_zlib

from crawler.readers.archives.compressed_stream import Stream
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.source import Source

# the stubs of isal call the class an instance
_REFUSED: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]
# what one damaged place costs: the output of a slice is lost when decoding fails inside it
_SLICE = 2048
_UNPACKED_SLICE = 2**18


class Inflate(Stream):
    """One raw deflate stream of a source, which afterwards stands behind its last byte.

    Where no stream goes on as the bytes do, the source is set back to a place before the damage.

    Attributes:
        crc: CRC-32 of what was unpacked so far.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self.crc = 0
        self._decoder = isal_zlib.decompressobj(wbits=-15)
        self._pending = b""
        self._more = False
        self._taken = 0

    def parts(self) -> Iterator[bytes]:
        """Unpacked bytes; may be asked again after a ratio error, to find the end of the stream."""
        decoder = self._decoder
        # whole slices: what damage costs must not hang on how the bytes came
        take = self.source.read
        while not decoder.eof:
            if not self._pending and not self._more:
                self._pending = take(_SLICE)
                if not self._pending:
                    raise Damaged("cut", "the compressed data ends before its end")
                self._taken = len(self._pending)
            try:
                data = decoder.decompress(self._pending, _UNPACKED_SLICE)
            except _REFUSED as error:
                self.source.step_back(self._taken)
                raise Damaged("damaged", "the compressed data is damaged") from error
            self._pending = decoder.unconsumed_tail
            # a full slice may leave output inside the decoder although it took all its input
            self._more = len(data) >= _UNPACKED_SLICE
            self.crc = isal_zlib.crc32(data, self.crc)
            if data:
                yield data
        self.source.step_back(len(decoder.unused_data))
        self._pending = b""

    def find_end(self) -> None:
        """Unpack what is left without giving it out, so that the source stands behind the stream.

        Raises:
            Damaged: as `parts`.
        """
        for part in self.parts():
            self.unpacked += len(part)
