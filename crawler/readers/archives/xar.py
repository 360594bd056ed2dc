"""xar archives, such as packages of macOS, read by libarchive."""

from __future__ import annotations

from crawler.readers.archives.libarchive_decoder import read_archive
from crawler.readers.core.output import Limits, Output, Source

FORMAT = "xar"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes."""
    return 1.0 if head.startswith(b"xar!\0\x1c\0\x01") else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come."""
    read_archive(source, out, limits, "xar")
