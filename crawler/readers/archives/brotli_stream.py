"""Brotli, which has no magic bytes: known by its name, and only if its first bytes can be unpacked."""

from __future__ import annotations

from collections.abc import Iterator

import brotli

from crawler.readers.archives.compressed_stream import Stream, inner_name, unpack
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "brotli"

_ENDINGS = (".br", ".tbr")
# the decoder refuses bytes behind the end together with what it unpacked of the same slice
_SLICE = 512
_UNPACKED_SLICE = 2**18


def sniff(head: bytes, name: str) -> float:
    """Likely by its name and its first bytes."""
    if not name.lower().endswith(_ENDINGS):
        return 0.0
    try:
        found = brotli.Decompressor().process(head[:4096], output_buffer_limit=4096)
    except brotli.error:
        return 0.0
    return 0.98 if found else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Unpack its one stream."""
    unpack(_Brotli(source, limits), inner_name(source.name, *_ENDINGS), out)


class _Brotli(Stream):
    """One stream."""

    def parts(self) -> Iterator[bytes]:
        decoder = brotli.Decompressor()
        try:
            while not decoder.is_finished():
                data = b""
                if decoder.can_accept_more_data():
                    data = self.source.read(_SLICE)
                    if not data:
                        raise Damaged("cut", "the compressed data ends before its end")
                part = decoder.process(data, output_buffer_limit=_UNPACKED_SLICE)
                if part:
                    yield part
        except brotli.error as error:
            raise Damaged("damaged", "the compressed data is damaged, or other bytes follow its end") from error
