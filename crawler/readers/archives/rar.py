"""RAR archives of versions 2 to 5, read by libarchive; what it does not open is listed all the same."""

from __future__ import annotations

from crawler.readers.archives.libarchive_decoder import read_archive
from crawler.readers.archives.rar_listing import MAGIC4, MAGIC5, Listing
from crawler.readers.core.output import Limits, Output, Source

FORMAT = "rar"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes."""
    return 1.0 if head.startswith((MAGIC4, MAGIC5)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come."""
    kind = "rar5" if source.peek(len(MAGIC5)) == MAGIC5 else "rar"
    read_archive(source, out, limits, kind, listing=Listing(limits.max_entries))
