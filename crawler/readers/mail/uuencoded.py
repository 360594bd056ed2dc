"""Texts that hold files written by uuencode, as posts and old mails do: what they say goes back to the registry.

Source: POSIX.1-2017, uuencode.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "uuencoded"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"begin [0-7]{3,4} ([^\n]{1,255})")
_BEGINS = re.compile(rb"^begin [0-7]{3,4} [^\n]{1,255}\n([^\n]*)\n", re.MULTILINE)
_DIGITS = re.compile(rb"[ -`]*\Z")
_END = b"end"
_MOST_TEXT = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure where a file begins and its first line is one; a mail that holds such a text is a mail."""
    text = as_utf8(head)
    if b"begin " not in text or not is_text(text):
        return 0.0
    return 0.85 if any(_decoded(found[1]) for found in _BEGINS.finditer(text)) else 0.0


def _decoded(line: bytes) -> bytes | None:
    """The bytes of one line; None for one that is none."""
    if not line or not _DIGITS.match(line):
        return None
    size = line[0] - 32 & 63
    digits = (size + 2) // 3 * 4
    # blanks at its end may be gone, and some write a checksum behind it
    if not digits - 4 <= len(line) - 1 <= digits + 2:
        return None
    try:
        return binascii.a2b_uu(line[: digits + 1])
    except binascii.Error:
        return None


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out each file as a member, and everything else as text."""
    lines = Lines(source, limits.max_line)
    reading = _Reading(line for block in lines.blocks() for line in block.split(b"\n"))
    text: list[bytes] = []
    waiting = 0
    while (line := reading.next()) is not None:
        found = _BEGIN.fullmatch(line)
        if found is None:
            text.append(line + b"\n")
            waiting += len(line)
        if found is not None or waiting > _MOST_TEXT:
            out.text(b"".join(text))
            text, waiting = [], 0
        if found is not None:
            name = found[1].decode("utf-8", "replace")
            read_member(Source(reading.file(), name, source.amplification), out)
            if not reading.ended:
                out.problem("damaged", "a uuencoded file ends before its end", incomplete=True)
    out.text(b"".join(text))
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were cut")


class _Reading:
    """Lines, one after the other.

    Attributes:
        ended: the file that was read last had its end.
    """

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.ended = False
        self._lines = lines
        self._back: bytes | None = None

    def next(self) -> bytes | None:
        """The next line, None at the end."""
        line, self._back = self._back, None
        return next(self._lines, None) if line is None else line

    def file(self) -> Iterator[bytes]:
        """The bytes of the file that begins here; a line that is none of its lines is left."""
        self.ended = False
        while (line := self.next()) is not None:
            if line.rstrip() == _END:
                self.ended = True
                return
            data = _decoded(line)
            if data is None and line.strip():
                self._back = line
                return
            if data:
                yield data
