"""Reads mailboxes (mbox): each message is a member, which is streamed and whose reader the registry chooses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "mbox"

# "From jean@free.fr Wed Mar 12 10:00:00 1975"; some programs leave the address out or write "-"
_SEPARATOR = re.compile(rb"From (?:.{0,500}?\b\d{1,2}:\d\d.{0,60}|\S{1,300}@\S{1,300}|-)[ \t\r]*\n")
_FIELD = re.compile(rb"[!-9;-~]{1,76}:")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_PIECE = 2**18
_MAX_LINE = 4096


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a mailbox: high if a separator line and a header field come first."""
    text = as_utf8(head[:8192]).lstrip(b"\n")
    first = _SEPARATOR.match(text)
    return 0.98 if first and _FIELD.match(text, first.end()) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Output each message as a member."""
    mailbox = _Mailbox(source)
    number = 0
    while mailbox.begin_message():
        number += 1
        read_member(Source(mailbox.message(), f"message {number}", source.amplification), out)


class _Mailbox:
    """Splits the bytes of a mailbox at the separators between messages."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = b""
        self._at_end = False

    def _load_piece(self) -> None:
        piece = self._source.piece()
        self._at_end = not piece
        self._data += piece

    def begin_message(self) -> bool:
        """Skip the separator before the next message; False at the end of the mailbox."""
        while not self._at_end and len(self._data) < _MAX_LINE:
            self._load_piece()
        self._data = self._data.lstrip(b"\r\n")
        found = _SEPARATOR.match(self._data)
        if found:
            self._data = self._data[found.end() :]
        return bool(self._data or found)

    def message(self) -> Iterator[bytes]:
        """The bytes of the message, up to the next separator after a blank line; quoted "From" lines are unquoted."""
        searched = 0
        while True:
            found = self._find_separator(searched)
            if found >= 0:
                body, self._data = self._data[:found], self._data[found:]
                yield _QUOTED.sub(rb"\1", body)
                return
            if self._at_end:
                body, self._data = self._data, b""
                yield _QUOTED.sub(rb"\1", body)
                return
            # keep the end: it may be the beginning of a separator or of a quoted line
            cut = self._data.rfind(b"\n", 0, max(0, len(self._data) - _MAX_LINE)) if len(self._data) > _PIECE else 0
            if cut > 0:
                body, self._data = self._data[:cut], self._data[cut:]
                yield _QUOTED.sub(rb"\1", body)
            elif len(self._data) > 4 * _PIECE:
                # a very long line
                body, self._data = self._data[:-_MAX_LINE], self._data[-_MAX_LINE:]
                yield body
            searched = max(0, len(self._data) - _MAX_LINE)
            self._load_piece()

    def _find_separator(self, start: int) -> int:
        """The position of the next separator in the loaded bytes, -1 if there is none."""
        at = self._data.find(b"\nFrom ", start)
        while at >= 0:
            before = self._data[max(0, at - 1) : at].replace(b"\r", b"")
            blank = self._data[max(0, at - 2) : at].replace(b"\r", b"").endswith(b"\n") or (at == 0) or before == b"\n"
            if at + _MAX_LINE > len(self._data) and not self._at_end and self._data.find(b"\n", at + 1) < 0:
                return -1
            if blank and _SEPARATOR.match(self._data, at + 1):
                return at + 1
            at = self._data.find(b"\nFrom ", at + 1)
        return -1
