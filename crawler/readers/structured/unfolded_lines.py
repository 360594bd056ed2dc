"""Joins the folded lines of vCard, iCalendar and LDIF: a line that begins with a blank continues the line before it."""

from __future__ import annotations

from collections.abc import Iterator

from crawler.readers.core.encoding import Lines, repair


def unfold(lines: Lines, longest: int) -> Iterator[str]:
    """Whole logical lines; a fold is not undone in a line that is longer than `longest` bytes."""
    waiting: list[bytes] = []
    size = 0
    for block in lines.blocks():
        for line in block.split(b"\n"):
            if waiting and line[:1] in (b" ", b"\t") and size < longest:
                waiting.append(line[1:])
                size += len(line)
                continue
            if waiting:
                yield joined(waiting)
            waiting, size = [line], len(line)
    if waiting:
        yield joined(waiting)


def joined(parts: list[bytes]) -> str:
    """The pieces of one folded line as text."""
    # a fold inside a UTF-8 character turned it into two wrong ones; `repair` handles this like text encoded twice
    return repair(b"".join(parts)).decode() if len(parts) > 1 else parts[0].decode()
