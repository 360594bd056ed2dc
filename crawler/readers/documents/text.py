"""Running text: whatever people write and no other reader claims; finding values in it is left to the byte pass."""

from __future__ import annotations

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "text"
EMBEDDED_SEARCH = "all"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Little, but more than nothing: text is what is left when nothing else fits."""
    return 0.1 if is_text(as_utf8(head)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give the text out as UTF-8 in pieces that end with a line."""
    lines = Lines(source, limits.max_line)
    for block in lines.blocks():
        out.text(block + b"\n")
