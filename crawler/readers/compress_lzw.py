"""Files of the old Unix tool compress, unpacked by libarchive."""

from __future__ import annotations

from crawler.readers.base import Limits, Output, Source
from crawler.readers.libarchive_formats import read_filtered
from crawler.readers.streams import inner_name

FORMAT = "compress"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes and a code size that the format allows."""
    return 1.0 if head.startswith(b"\x1f\x9d") and len(head) > 3 and 9 <= head[2] & 31 <= 16 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Unpack it as one file."""
    read_filtered(source, out, limits, "compress", inner_name(source.name, ".z", ".taz"))
