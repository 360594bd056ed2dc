"""Brotli, which has no magic bytes: recognised by the file name, if the first bytes can be decompressed."""

from __future__ import annotations

from collections.abc import Iterator

import brotli

from crawler.readers.archives.compressed_stream import CompressedStream, inner_name, read_decompressed
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "brotli"

_ENDINGS = (".br", ".tbr")
# if bytes follow the end, the decoder fails and the output of the same slice is lost
_SLICE = 512
_MAX_PART = 2**18


def sniff(head: bytes, name: str) -> float:
    """Nearly sure if the name ends in .br and the first bytes can be decompressed."""
    if not name.lower().endswith(_ENDINGS):
        return 0.0
    try:
        found = brotli.Decompressor().process(head[:4096], output_buffer_limit=4096)
    except brotli.error:
        return 0.0
    return 0.98 if found else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Decompress the file, which is one stream."""
    read_decompressed(_Brotli(source, limits), inner_name(source.name, *_ENDINGS), out)


class _Brotli(CompressedStream):
    """One stream."""

    def parts(self) -> Iterator[bytes]:
        decoder = brotli.Decompressor()
        try:
            while not decoder.is_finished():
                data = b""
                if decoder.can_accept_more_data():
                    data = self.source.read(_SLICE)
                    if not data:
                        raise Damaged("cut", "the compressed data ends too early")
                part = decoder.process(data, output_buffer_limit=_MAX_PART)
                if part:
                    yield part
        except brotli.error as error:
            raise Damaged("damaged", "the compressed data is damaged, or other bytes follow its end") from error
