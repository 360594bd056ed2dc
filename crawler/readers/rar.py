"""RAR archives of versions 2 to 5, read by libarchive."""

from __future__ import annotations

from crawler.readers.base import Limits, Output, Source
from crawler.readers.libarchive_formats import read_archive

FORMAT = "rar"

_MAGIC4, _MAGIC5 = b"Rar!\x1a\x07\0", b"Rar!\x1a\x07\x01\0"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes."""
    return 1.0 if head.startswith((_MAGIC4, _MAGIC5)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come."""
    read_archive(source, out, limits, "rar5" if source.peek(8) == _MAGIC5 else "rar")
