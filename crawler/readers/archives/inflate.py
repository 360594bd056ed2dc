"""Decompresses the deflate streams of gzip and zip piece by piece. Headers are left to the readers of these formats."""

from __future__ import annotations

from collections.abc import Iterator

from isal import isal_zlib

from crawler.readers.archives.compressed_stream import CompressedStream
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.source import Source

# the type stubs of isal declare the class as an instance
_ERROR: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]
# if decoding fails, the output of a slice of this size is lost
_SLICE = 2048
_MAX_PART = 2**18


class Inflate(CompressedStream):
    """One raw deflate stream. The source stands behind its last byte afterwards.

    If the stream is damaged, the source is set back to a place before the damage.

    Attributes:
        crc: CRC-32 of the decompressed bytes so far.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self.crc = 0
        self._decoder = isal_zlib.decompressobj(wbits=-15)
        self._pending = b""
        self._more = False
        self._taken = 0

    def parts(self) -> Iterator[bytes]:
        """Decompressed bytes; can be called again after a ratio error to find the end of the stream."""
        decoder = self._decoder
        while not decoder.eof:
            if not self._pending and not self._more:
                # always a full slice, so that the same damage loses the same bytes however they arrive
                self._pending = self.source.read(_SLICE)
                if not self._pending:
                    raise Damaged("cut", "the compressed data ends too early")
                self._taken = len(self._pending)
            try:
                data = decoder.decompress(self._pending, _MAX_PART)
            except _ERROR as error:
                self.source.step_back(self._taken)
                raise Damaged("damaged", "the compressed data is damaged") from error
            self._pending = decoder.unconsumed_tail
            # the decoder may have consumed its input and still hold output
            self._more = len(data) >= _MAX_PART
            self.crc = isal_zlib.crc32(data, self.crc)
            if data:
                yield data
        self.source.step_back(len(decoder.unused_data))
        self._pending = b""

    def find_end(self) -> None:
        """Decompress the rest of the stream without returning it, so that the source stands behind the stream.

        Raises:
            Damaged: as `parts`.
        """
        for part in self.parts():
            self.decompressed += len(part)
