"""What all containers share: problems counted once, members without bytes; formats are left to others."""

from __future__ import annotations

import binascii
import re
from collections import Counter

from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.registry import EMPTY, UNKNOWN
from crawler.readers.core.source import Source

# a drive letter, a root, or a step upwards anywhere
_LEAVES = re.compile(r"^(?:[A-Za-z]:|[/\\])|(?:^|[/\\])\.\.(?:[/\\]|$)")


class ProblemCounter:
    """Problems of one container, each said once with its count: a million members must not say it a million times."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, bool]] = Counter()

    def add(self, code: str, sentence: str, *, incomplete: bool = True) -> None:
        """Count one."""
        self._counts[code, sentence, incomplete] += 1

    def report(self, out: Output) -> None:
        """Say them as problems of the open member."""
        for (code, sentence, incomplete), count in self._counts.items():
            out.problem(code, sentence if count == 1 else f"{sentence} ({count} times)", incomplete=incomplete)
        self._counts.clear()


def report_empty_member(out: Output, name: str) -> None:
    """A member that has no bytes: a link, a device."""
    out.begin(name, EMPTY)
    out.end(0)


def report_locked_member(out: Output, name: str) -> None:
    """A member that is known by name alone."""
    out.begin(name, UNKNOWN)
    out.problem("locked", "it is encrypted and not read", incomplete=True)
    out.end(0)


def report_unread_member(out: Output, name: str) -> None:
    """A member that is listed and that no reader can unpack."""
    out.begin(name, UNKNOWN)
    out.problem("unread", "it is not unpacked", incomplete=True)
    out.end(0)


def points_outside(target: str) -> bool:
    """True if a link's target lies outside the archive."""
    return _LEAVES.search(target) is not None


_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def read_base64_member(name: str, value: bytes, out: Output) -> None:
    """Read a file written as base64 as a member of the open one; what is no base64 in it is skipped."""
    digits = _NOT_BASE64.sub(b"", value)
    if len(digits) % 4 == 1:
        out.problem("base64", "a file inside it is cut", incomplete=True)
        digits = digits[:-1]
    data = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    if data:
        read_member(Source(iter([data]), name), out)
