"""What containers share: problems that are reported once with a count, and members whose bytes are not read."""

from __future__ import annotations

import binascii
import re
from collections import Counter

from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.registry import EMPTY, UNKNOWN
from crawler.readers.core.source import Source

# a drive letter, a root, or a step upwards anywhere
_OUTSIDE = re.compile(r"^(?:[A-Za-z]:|[/\\])|(?:^|[/\\])\.\.(?:[/\\]|$)")


class ProblemCounter:
    """Collects the problems of one container, so that each is reported once with its count.

    A million members with the same problem make one report, not a million.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, bool]] = Counter()

    def add(self, code: str, sentence: str, *, incomplete: bool = True) -> None:
        """Count one occurrence of a problem."""
        self._counts[code, sentence, incomplete] += 1

    def report(self, out: Output) -> None:
        """Report all of them as problems of the open member, and forget them."""
        for (code, sentence, incomplete), count in self._counts.items():
            out.problem(code, sentence if count == 1 else f"{sentence} ({count} times)", incomplete=incomplete)
        self._counts.clear()


def report_empty_member(out: Output, name: str) -> None:
    """Report a member that has no bytes: a link or a device."""
    out.begin(name, EMPTY)
    out.end(0)


def report_locked_member(out: Output, name: str) -> None:
    """Report a member that is encrypted, of which only the name is known."""
    out.begin(name, UNKNOWN)
    out.problem("locked", "it is encrypted and was not read", incomplete=True)
    out.end(0)


def report_unread_member(out: Output, name: str) -> None:
    """Report a member that the archive lists and that no reader can decompress."""
    out.begin(name, UNKNOWN)
    out.problem("unread", "it could not be decompressed and was not read", incomplete=True)
    out.end(0)


def points_outside(target: str) -> bool:
    """True if the target of a link lies outside the archive."""
    return _OUTSIDE.search(target) is not None


_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def read_base64_member(name: str, value: bytes, out: Output) -> None:
    """Read a file that is written as base64 as a member of the open one; characters that are no base64 are skipped."""
    digits = _NOT_BASE64.sub(b"", value)
    if len(digits) % 4 == 1:
        out.problem("base64", "the base64 of a file in it is cut", incomplete=True)
        digits = digits[:-1]
    data = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    if data:
        read_member(Source(iter([data]), name), out)
