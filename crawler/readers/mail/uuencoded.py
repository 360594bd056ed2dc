"""Reads texts that contain files encoded by uuencode, as posts and old mails do; their first line may be missing.

Each decoded file is a member, whose reader the registry chooses.

Source: POSIX.1-2017, uuencode.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source, in_pieces
from crawler.readers.core.transfer_encodings import decoding_confidence

FORMAT = "uuencoded"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"begin [0-7]{3,4} ([^\n]{1,255})")
_BEGIN_AND_LINE = re.compile(rb"^begin [0-7]{3,4} [^\n]{1,255}\n([^\n]*)\n", re.MULTILINE)
_DIGITS = re.compile(rb"[ -`]*\Z")
_END = b"end"
_MIN_LINES = 3
# lengths of a full line, with and without what some programs add at its end
_FULL = (60, 61, 62)
# bytes of text that are collected before they are output
_MAX_WAITING = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is uuencoded: fairly high if a file begins in it, and its first line can be decoded.

    Lines without the beginning are no mail, so that the confidence is high.
    It is lower than that of the mail reader, because a mail that contains such a text is a mail.
    """
    text = as_utf8(head)
    if not is_text(text):
        return 0.0
    if text[:1] == b"M" and _begins_without_name(text, whole=len(head) < HEAD):
        return 0.96
    if b"begin " not in text:
        return 0.0
    return 0.85 if any(_decode_line(found[1]) for found in _BEGIN_AND_LINE.finditer(text)) else 0.0


def _begins_without_name(text: bytes, *, whole: bool) -> bool:
    """Whether a text (made by `as_utf8`) consists of lines of uuencode, without the line that begins a file.

    Nearly all lines have the same length, and their first character says so.
    """
    if len(text.partition(b"\n")[0]) not in _FULL:
        return False
    lines = text.split(b"\n")
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [line for line in lines if line.strip(b" `\r") and line.strip() != _END]
    full = [line for line in lines[:-1] if line[:1] == b"M" and len(line) in _FULL]
    if len(full) < max(1, len(lines) - 1) or len(lines) < _MIN_LINES:
        return False
    decoded = [_decode_line(line) for line in lines]
    return None not in decoded and bool(decoding_confidence(b"".join(filter(None, decoded)), wide=True))


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
    head = source.peek(HEAD)
    nameless = head[:1] == b"M" and _begins_without_name(as_utf8(head), whole=len(head) < HEAD)
    lines = Lines(source, limits.max_line)
    reader = _LineReader(line for block in lines.blocks() for line in block.split(b"\n"))
    text: list[bytes] = []
    waiting = 0
    if nameless:
        read_member(Source(in_pieces(reader.decode_file()), source.name, source.amplification), out)
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
            read_member(Source(in_pieces(reader.decode_file()), name, source.amplification), out)
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
