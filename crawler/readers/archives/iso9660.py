"""Images of CDs and DVDs, read by libarchive."""

from __future__ import annotations

from crawler.readers.archives.libarchive_decoder import read_archive
from crawler.readers.core.output import Limits, Output, Source

FORMAT = "iso9660"

# the first sixteen sectors are left to the system, a kind byte stands before the mark
_AT = 16 * 2048 + 1


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the mark of its first descriptor."""
    return 1.0 if head[_AT : _AT + 5] == b"CD001" else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come."""
    read_archive(source, out, limits, "iso9660")
