"""bzip2: one stream, or several that follow each other, as one file."""

from __future__ import annotations

import bz2
import re

from crawler.readers.archives.compressed_stream import DecoderStreams, inner_name, read_decompressed
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "bzip2"

# the first block, or the end of a stream without blocks
_MAGIC = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_ENDINGS = (".bz2", ".tbz2", ".tbz", ".bz")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure if the marks of the file and of its first block match."""
    return 1.0 if _MAGIC.match(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Decompress all streams as one file."""
    read_decompressed(open_streams(source, limits), inner_name(source.name, *_ENDINGS), out)


def open_streams(source: Source, limits: Limits) -> DecoderStreams:
    """The streams that begin at the current place of the source."""
    return DecoderStreams(source, limits, _MAGIC, bz2.BZ2Decompressor, (OSError, ValueError))
