"""Values that a format stores as bytes: text, files that a reader opens, and what hides its content."""

from __future__ import annotations

import re

from crawler.readers.core.encoding import repair, text_of
from crawler.readers.core.limits import PIECE
from crawler.readers.core.members import read_member
from crawler.readers.core.opacity import OpacityMeter
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.registry import choose
from crawler.readers.core.source import Source

MAX_MEMBERS = 10_000
"""Values of one file that are read as files of their own."""
# a value of `serialize` is text, but only its reader tells names from lengths
_SERIALISED = re.compile(rb"[aO]:\d{1,9}:")
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]+")


class BinaryValues:
    """Takes the values of one file that may be text or anything else.

    The bytes of the file itself may be compressed, so that the byte pass sees none of these values.

    Args:
        source: the file.
        out: takes values that are files, as members.
    """

    def __init__(self, source: Source, out: Output) -> None:
        self._source = source
        self._out = out
        self._problems = ProblemCounter()
        self._members = 0

    def text(self, name: str, value: bytes) -> bytes:
        """The words of a value in UTF-8; b"" for a file, which is read as a member, and for one that hides its content."""
        text = text_of(value)
        if text is not None and not _SERIALISED.match(value):
            return repair(text)
        if choose(value[:PIECE], "") is not None:
            self._members += 1
            if self._members > MAX_MEMBERS:
                self._problems.add("unread", f"only {MAX_MEMBERS} files in values are read; the others are not")
            else:
                read_member(Source(iter([value]), name, self._source.amplification), self._out)
            return b""
        meter = OpacityMeter()
        meter.feed(value)
        if meter.is_opaque():
            self._problems.add("unread", "a value is compressed, encrypted or a picture, and could not be read")
            return b""
        # strings of a serialised object, between bytes of its form
        return _CONTROLS.sub(b"\n", repair(value, b"\0")) if value else b""

    def report(self) -> None:
        """Report the values that could not be read as problems of the open member."""
        self._problems.report(self._out)
