"""LHA and LZH archives, read by libarchive."""

from __future__ import annotations

import re

from crawler.readers.archives.libarchive_decoder import read_archive
from crawler.readers.core.output import Limits, Output, Source

FORMAT = "lha"

_METHOD = re.compile(rb"-(?:lh[0-7d]|lz[45s])-")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the method of its first member and its level."""
    return 1.0 if _METHOD.match(head, 2) and len(head) > 20 and head[20] <= 3 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come."""
    read_archive(source, out, limits, "lha")
