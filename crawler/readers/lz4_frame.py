"""LZ4 frames, unpacked by libarchive."""

from __future__ import annotations

from crawler.readers.base import Limits, Output, Source
from crawler.readers.libarchive_formats import read_filtered
from crawler.readers.streams import inner_name

FORMAT = "lz4"

_ENDINGS = (".lz4", ".tlz4")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes, those of the older form included."""
    return 1.0 if head.startswith((b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18")) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Unpack all frames as one file."""
    read_filtered(source, out, limits, "lz4", inner_name(source.name, *_ENDINGS))
