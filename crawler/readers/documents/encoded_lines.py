"""Finds files that stand as lines of text in a page: hex dumps, base32, base85, uuencode and yEnc; their bytes are members.

Base64, and long values within a line, are found in the bytes of the page (`crawler.readers.core.encoded_values`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from crawler.readers.core.limits import HEAD
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.registry import choose, readers
from crawler.readers.core.source import Source

_FORMATS = frozenset({"hex_dump", "base32", "base85", "uuencoded", "yenc"})
# Lines that no sentence looks like: they begin like a dump, are one long word, or hold no character above "`", as
# lines of uuencode. The last line of a run may be any short word.
_ENCODED_LINE = re.compile(
    r"\s*(?:0[xX]|\\x)?[0-9A-Fa-f]{2,}(?:[\s:,;\\]|$)|\S{60,}\s*$|[ -`]{2,90}$|\*$|begin [0-7]{3,4} |end$|=y(?:begin|part|end) "
)
# What a piece of a page with such lines holds somewhere: as classes of characters, since literal bytes are found quickly.
_TRACES = (
    # a long word, in which tags and entities stand too
    (bytes(0x2E if value in b" \t\r\n<>" else 0x41 for value in range(256)), (b"A" * 56,)),
    # a line of uuencode
    (bytes(0x41 if 0x20 <= value <= 0x60 and value not in b"<>&" else 0x2E for value in range(256)), (b"A" * 24,)),
    # groups of digits, or an offset of `od -c`
    (
        bytes(0x68 if value in b"0123456789abcdefABCDEF" else 0x20 if value == 0x20 else 0x2E for value in range(256)),
        (
            *(b" ".join([b"h" * size] * most) for size, most in ((2, 7), (3, 5), (4, 4), (6, 3), (8, 2))),
            b"hhhhhhh   ",
            b"h.hh. h.hh. h.hh.",
            b"..hh..hh..hh..hh",
            b"h" * 16,
        ),
    ),
)
_BEGINNINGS = (b"begin ", b"=ybegin ")
_SHORT_WORD = re.compile(r"\S{1,200}$")
_LONG_WORD = re.compile(r"\S{60,}\s*$")
# a run of fewer characters is no file that anybody would write so
_MIN_CHARS = 128
# a longer run is read in parts
_MAX_CHARS = 2**24


class EncodedLines:
    """Takes the text of a page in order; reads each run of encoded lines as a member, besides what it is as text."""

    def __init__(self, out: Output, before: Callable[[], None]) -> None:
        """Begin a page.

        Args:
            out: takes the members.
            before: is called before each member, to output the text in front of it.
        """
        self._out, self._before = out, before
        self._line: list[str] = []
        self._run: list[str] = []
        # characters of the run, and of the line that has not ended
        self._size = self._length = 0
        self._after_break = self._in_yenc = False

    def expects(self, page: bytes) -> bool:
        """Whether the next piece of the page has to be added: a run goes on in it, or it may hold an encoded line."""
        if self._run or self._line or any(each in page for each in _BEGINNINGS):
            return True
        return any(trace in classes for to, traces in _TRACES for classes in [page.translate(to)] for trace in traces)

    def add(self, words: str) -> None:
        """Add text as it stands between two tags, whose entities are resolved."""
        if self._after_break:
            # the source of a page goes on in a new line behind <br>, which is no further one
            self._after_break = False
            words = words.removeprefix("\r").removeprefix("\n")
        *whole, rest = words.split("\n")
        for line in whole:
            self._line.append(line)
            self._end_line()
        if rest:
            self._line.append(rest)
            self._length += len(rest)
            if self._length > _MAX_CHARS:
                self._end_line()

    def end_line(self) -> None:
        """A tag ends the line."""
        if self._line:
            self._end_line()
        self._after_break = True

    def end_block(self) -> None:
        """A tag ends a text, such as a verbatim one or a table: no run goes on behind it."""
        if self._line or self._run:
            self._end_line()
            self._end_run()

    def _end_line(self) -> None:
        line = "".join(self._line)
        self._line.clear()
        self._length = 0
        if not line:
            return
        if self._in_yenc or _ENCODED_LINE.match(line):
            self._add_line(line)
            if line.startswith("=ybegin "):
                self._in_yenc = True
            elif line.startswith("=yend "):
                self._in_yenc = False
            return
        if self._run:
            if _LONG_WORD.match(self._run[-1]) and _SHORT_WORD.match(line):
                self._end_run(line)
            else:
                self._end_run()

    def _add_line(self, line: str) -> None:
        self._run.append(line.replace("\u00a0", " ").rstrip("\r"))
        self._size += len(line)
        if self._size > _MAX_CHARS:
            self._end_run()

    def _end_run(self, last: str = "") -> None:
        """Read the run if it is a file; a short last line may belong to it or not."""
        run, self._run = self._run, []
        size, self._size = self._size, 0
        self._in_yenc = False
        if size < _MIN_CHARS:
            return
        for lines in ([*run, last, ""], [*run, ""])[not last :]:
            data = "\n".join(lines).encode("utf-8", "replace")
            head = data[:HEAD]
            if any(each.sniff(head, "") for each in readers() if each.FORMAT in _FORMATS):
                reader = choose(head, "")
                if reader is not None and reader.FORMAT in _FORMATS:
                    self._before()
                    read_member(Source(iter([data]), ""), self._out)
                    return
