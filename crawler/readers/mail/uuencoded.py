"""Reads texts that contain files encoded by uuencode, as posts and old mails do.

Each decoded file is a member, whose reader the registry chooses.

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
_BEGIN_AND_LINE = re.compile(rb"^begin [0-7]{3,4} [^\n]{1,255}\n([^\n]*)\n", re.MULTILINE)
_DIGITS = re.compile(rb"[ -`]*\Z")
_END = b"end"
# bytes of text that are collected before they are output
_MAX_WAITING = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is uuencoded: fairly high if a file begins in it, and its first line can be decoded.

    It is lower than that of the mail reader, because a mail that contains such a text is a mail.
    """
    text = as_utf8(head)
    if b"begin " not in text or not is_text(text):
        return 0.0
    return 0.85 if any(_decode_line(found[1]) for found in _BEGIN_AND_LINE.finditer(text)) else 0.0


def _decode_line(line: bytes) -> bytes | None:
    """The bytes that one line encodes; None if the line is not uuencoded."""
    if not line or not _DIGITS.match(line):
        return None
    size = line[0] - 32 & 63
    digits = (size + 2) // 3 * 4
    # blanks at the end of the line may be missing, and some programs write a checksum there
    if not digits - 4 <= len(line) - 1 <= digits + 2:
        return None
    try:
        return binascii.a2b_uu(line[: digits + 1])
    except binascii.Error:
        return None


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output each file as a member, and everything else as text."""
    lines = Lines(source, limits.max_line)
    reader = _LineReader(line for block in lines.blocks() for line in block.split(b"\n"))
    text: list[bytes] = []
    waiting = 0
    while (line := reader.next_line()) is not None:
        found = _BEGIN.fullmatch(line)
        if found is None:
            text.append(line + b"\n")
            waiting += len(line)
        if found is not None or waiting > _MAX_WAITING:
            out.text(b"".join(text))
            text, waiting = [], 0
        if found is not None:
            name = found[1].decode("utf-8", "replace")
            read_member(Source(reader.decode_file(), name, source.amplification), out)
            if not reader.ended:
                out.problem("damaged", "a uuencoded file stops before its end line", incomplete=True)
    out.text(b"".join(text))
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


class _LineReader:
    """Reads lines, and decodes the files among them.

    Attributes:
        ended: the last file had an end line.
    """

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.ended = False
        self._lines = lines
        self._back: bytes | None = None

    def next_line(self) -> bytes | None:
        """The next line; None at the end."""
        line, self._back = self._back, None
        return next(self._lines, None) if line is None else line

    def decode_file(self) -> Iterator[bytes]:
        """The bytes of the file whose begin line was read last; a line that does not belong to it is not consumed."""
        self.ended = False
        while (line := self.next_line()) is not None:
            if line.rstrip() == _END:
                self.ended = True
                return
            data = _decode_line(line)
            if data is None and line.strip():
                self._back = line
                return
            if data:
                yield data
