"""Reads files encoded by yEnc, as newsgroups have them: each part between `=ybegin` and `=yend` is a member.

Source: yEnc 1.3, http://www.yenc.org/yenc-draft.1.3.txt
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source, in_pieces

FORMAT = "yenc"
EMBEDDED_SEARCH = "raw"

_BEGIN = re.compile(
    rb"^=ybegin (?:part=\d+ (?:total=\d+ )?)?line=\d{1,5} size=\d{1,15} name=([^\r\n]*)\r?$", re.MULTILINE
)
_END = re.compile(rb"=yend size=(\d{1,15})\b")
_ESCAPED = re.compile(rb"=(.)", re.DOTALL)
_DECODED = bytes((value - 42) & 255 for value in range(256))
# a line of yEnc is at most 997 characters long, the end of one that is longer is taken for a line of its own
_LONGEST_LINE = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """0.97 if a line begins a part."""
    return 0.97 if b"=ybegin " in head and _BEGIN.search(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Output each part as a member, and everything else as text."""
    lines = _lines(source)
    for line in lines:
        begun = _BEGIN.fullmatch(line)
        if begun is None:
            out.text(repair(line) + b"\n")
            continue
        part = _Part()
        name = begun[1].decode("utf-8", "replace").strip()
        read_member(Source(in_pieces(part.decode(lines)), name, source.amplification), out)
        if part.size != part.announced:
            out.problem("damaged", "a part encoded by yEnc is shorter or longer than it says", incomplete=True)


class _Part:
    """One part.

    Attributes:
        size: number of bytes that it had.
        announced: number of bytes that its end line tells; -1 without an end line.
    """

    def __init__(self) -> None:
        self.size, self.announced = 0, -1

    def decode(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The bytes of the part, from the line behind the begin line to the end line."""
        for line in lines:
            if line.startswith(b"=y"):
                if end := _END.match(line):
                    self.announced = int(end[1])
                    return
                continue
            data = _ESCAPED.sub(_unescape, line).translate(_DECODED) if b"=" in line else line.translate(_DECODED)
            self.size += len(data)
            if data:
                yield data


def _unescape(found: re.Match[bytes]) -> bytes:
    return bytes([(found[1][0] - 64) & 255])


def _lines(source: Source) -> Iterator[bytes]:
    """The lines as they are: bytes of no text encoding, which contain no line ends of their own."""
    rest = b""
    while piece := source.piece():
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in whole)
        if len(rest) > _LONGEST_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest.removesuffix(b"\r")
