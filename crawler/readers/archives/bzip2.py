"""bzip2, with one or many streams one behind the other, as one file."""

from __future__ import annotations

import bz2
import re

from crawler.readers.archives.compressed_stream import Decoded, inner_name, unpack
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "bzip2"

# a block, or the end of a stream without any
_MAGIC = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_ENDINGS = (".bz2", ".tbz2", ".tbz", ".bz")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its first mark and that of its first block."""
    return 1.0 if _MAGIC.match(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Unpack all streams as one file."""
    unpack(open_streams(source, limits), inner_name(source.name, *_ENDINGS), out)


def open_streams(source: Source, limits: Limits) -> Decoded:
    """The streams that begin where the source stands."""
    return Decoded(source, limits, _MAGIC, bz2.BZ2Decompressor, (OSError, ValueError))
