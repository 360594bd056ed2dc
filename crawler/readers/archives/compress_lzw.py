"""Files of the old Unix tool compress, unpacked by libarchive."""

from __future__ import annotations

from crawler.readers.archives.compressed_stream import inner_name
from crawler.readers.archives.libarchive_decoder import read_filtered
from crawler.readers.core.output import Limits, Output, Source

FORMAT = "compress"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes and a code size that the format allows."""
    return 1.0 if head.startswith(b"\x1f\x9d") and len(head) > 3 and 9 <= head[2] & 31 <= 16 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Unpack it as one file."""
    read_filtered(source, out, limits, "compress", inner_name(source.name, ".z", ".taz"))
