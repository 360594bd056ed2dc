"""Running text: all text that no other reader recognises. The byte pass finds values in it."""

from __future__ import annotations

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "text"
EMBEDDED_SEARCH = "all"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """0.1 for text, so that this reader is chosen only if no other reader recognises the head."""
    return 0.1 if is_text(as_utf8(head)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the text as UTF-8 in pieces of whole lines."""
    lines = Lines(source, limits.max_line)
    for block in lines.blocks():
        out.text(block + b"\n")
