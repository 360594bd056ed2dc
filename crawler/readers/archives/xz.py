"""xz: one stream, or several that follow each other, as one file."""

from __future__ import annotations

import lzma
import re

from crawler.readers.archives.compressed_stream import DecoderStreams, inner_name, read_decompressed
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "xz"

_MAGIC = re.compile(rb"\xfd7zXZ\0")
_ENDINGS = (".xz", ".txz")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the magic bytes."""
    return 1.0 if _MAGIC.match(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Decompress all streams as one file."""
    read_decompressed(open_streams(source, limits), inner_name(source.name, *_ENDINGS), out)


def open_streams(source: Source, limits: Limits) -> DecoderStreams:
    """The streams that begin at the current place of the source; a dictionary may take half of the memory."""

    def make() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.memory // 2)

    return DecoderStreams(source, limits, _MAGIC, make, (lzma.LZMAError, EOFError), padding=True)
