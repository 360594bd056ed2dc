"""Mailboxes: messages behind each other, each a member that is streamed; what a message is goes back to the registry."""

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
    """Sure by its first line and the field after it."""
    text = as_utf8(head[:8192]).lstrip(b"\n")
    first = _SEPARATOR.match(text)
    return 0.98 if first and _FIELD.match(text, first.end()) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Give out each message as a member."""
    box = _Box(source)
    number = 0
    while box.begin():
        number += 1
        read_member(Source(box.message(), f"message {number}", source.amplification), out)


class _Box:
    """The bytes of a mailbox, cut at its separators."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = b""
        self._over = False

    def _more(self) -> bool:
        piece = self._source.piece()
        if not piece:
            self._over = True
            return False
        self._data += piece
        return True

    def begin(self) -> bool:
        """Step over the separator of the next message; False at the end."""
        while not self._over and len(self._data) < _MAX_LINE:
            self._more()
        self._data = self._data.lstrip(b"\r\n")
        found = _SEPARATOR.match(self._data)
        if found:
            self._data = self._data[found.end() :]
        return bool(self._data or found)

    def message(self) -> Iterator[bytes]:
        """The bytes of the message up to the next separator behind a blank line, quoted "From" lines restored."""
        searched = 0
        while True:
            found = self._next(searched)
            if found >= 0:
                body, self._data = self._data[:found], self._data[found:]
                yield _QUOTED.sub(rb"\1", body)
                return
            if self._over:
                body, self._data = self._data, b""
                yield _QUOTED.sub(rb"\1", body)
                return
            # what may be the beginning of a separator or a quoted line stays
            cut = self._data.rfind(b"\n", 0, max(0, len(self._data) - _MAX_LINE)) if len(self._data) > _PIECE else 0
            if cut > 0:
                body, self._data = self._data[:cut], self._data[cut:]
                yield _QUOTED.sub(rb"\1", body)
            elif len(self._data) > 4 * _PIECE:
                # a line without end
                body, self._data = self._data[:-_MAX_LINE], self._data[-_MAX_LINE:]
                yield body
            searched = max(0, len(self._data) - _MAX_LINE)
            self._more()

    def _next(self, start: int) -> int:
        """The place of the next separator, -1 if it has not come yet."""
        at = self._data.find(b"\nFrom ", start)
        while at >= 0:
            before = self._data[max(0, at - 1) : at].replace(b"\r", b"")
            blank = self._data[max(0, at - 2) : at].replace(b"\r", b"").endswith(b"\n") or (at == 0) or before == b"\n"
            if at + _MAX_LINE > len(self._data) and not self._over and self._data.find(b"\n", at + 1) < 0:
                return -1
            if blank and _SEPARATOR.match(self._data, at + 1):
                return at + 1
            at = self._data.find(b"\nFrom ", at + 1)
        return -1
