"""Formats that are recognised by their first bytes but cannot be read yet: they are reported as not read."""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "unknown"

SIGNATURES = (
    (0, b"PGDMP", "a PostgreSQL custom dump"),
    (0, b"TAPE\0\0\x03\0", "a SQL Server backup"),
)


def describe(head: bytes) -> str:
    """The name of the format for people, '' if the first bytes belong to none of these formats."""
    return next((words for at, magic, words in SIGNATURES if head.startswith(magic, at)), "")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Nearly sure if the first bytes match; a reader that can read the format is surer."""
    return 0.97 if describe(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Report what it is and that only the byte pass examined it."""
    out.problem("unread", f"it is {describe(source.peek(512))}, a format that cannot be read yet", incomplete=True)
