"""Reads text in quoted-printable, as mail programs write it: =C3=A9 stands for é, and a = at the end continues a line.

The decoded text is a member, whose reader the registry chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import as_utf8, is_text, utf8_pieces
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import decode_quoted_printable

FORMAT = "quoted_printable"

# no program encodes letters, digits or control characters, and `born=28/03/1975` is no code
_CODE = re.compile(rb"=(?:(?:0[9AD]|2[0-9A-F]|3[A-F]|40|5[B-F]|60|7[B-E]|[89A-F][0-9A-F])(?![/.-]\d\d[/.-])|[ \t]*\n)")
_MIN_CODES = 3
_MAX_LINE = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is quoted-printable: high if nearly every = begins a code, and all lines are short.

    It is higher than the confidence of readers that recognise the encoded text itself, such as mail.
    """
    text = as_utf8(head)
    if b"=" not in text or not is_text(text) or max(map(len, text.split(b"\n"))) > 80:
        return 0.0
    codes = len(_CODE.findall(text))
    return 0.98 if codes >= _MIN_CODES and codes * 20 >= text.count(b"=") * 19 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Output the decoded text as a member."""
    read_member(Source(decode_quoted_printable(_lines(source)), source.name, source.amplification), out)


def _lines(source: Source) -> Iterator[bytes]:
    """The source in pieces that end at the end of a line, unless a line is very long."""
    held = b""
    for piece in utf8_pieces(source):
        held += piece
        cut = held.rfind(b"\n") + 1 or (len(held) if len(held) > _MAX_LINE else 0)
        if cut:
            yield held[:cut]
            held = held[cut:]
    yield held
