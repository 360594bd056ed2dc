"""7z archives, read by libarchive from memory, for their list of members stands at the end."""

from __future__ import annotations

from crawler.readers.base import Limits, Output, Source
from crawler.readers.libarchive_formats import read_archive

FORMAT = "7z"

_MAGIC = b"7z\xbc\xaf\x27\x1c"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes."""
    return 1.0 if head.startswith(_MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members."""
    read_archive(source, out, limits, "7zip", held=True)
