"""Files that no reader opens yet, known by their first bytes: saying so is all that is done with them."""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "unknown"

KINDS = (
    (0, b"PGDMP", "a PostgreSQL custom dump"),
    (0, b"TAPE\0\0\x03\0", "a SQL Server backup"),
)


def format_in_words(head: bytes) -> str:
    """What the first bytes are known as, '' for nothing."""
    return next((words for at, magic, words in KINDS if head.startswith(magic, at)), "")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by magic bytes, less so than a reader that can open it."""
    return 0.97 if format_in_words(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Say what it is and that only its bytes as they stand were examined."""
    out.problem("unread", f"it is {format_in_words(source.peek(512))}, which no reader opens yet", incomplete=True)
