"""ar archives, such as Debian packages, read by libarchive."""

from __future__ import annotations

from crawler.readers.archives.libarchive_decoder import read_archive
from crawler.readers.core.output import Limits, Output, Source

FORMAT = "ar"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes."""
    return 1.0 if head.startswith((b"!<arch>\n", b"!<thin>\n")) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come."""
    read_archive(source, out, limits, "ar")
