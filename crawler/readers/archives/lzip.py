"""lzip, unpacked by libarchive."""

from __future__ import annotations

from crawler.readers.archives.compressed_stream import inner_name
from crawler.readers.archives.libarchive_decoder import read_filtered
from crawler.readers.core.output import Limits, Output, Source

FORMAT = "lzip"

_ENDINGS = (".lz", ".tlz")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes and a window that the format allows."""
    return 1.0 if head.startswith((b"LZIP\0", b"LZIP\x01")) and len(head) > 5 and 12 <= head[5] & 31 <= 29 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Unpack all members as one file."""
    read_filtered(source, out, limits, "lzip", inner_name(source.name, *_ENDINGS))
