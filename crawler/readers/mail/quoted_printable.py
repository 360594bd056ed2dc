"""Text as mail programs write it, with =C3=A9 for é and lines cut by =; what stands behind it goes back to the registry."""

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

_CODE = re.compile(rb"=(?:[0-9A-F]{2}|[ \t]*\n)")
_LEAST = 3
_MAX_LINE = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure where nearly every = begins a code, and no line is longer than the form allows; surer than what is so coded."""
    text = as_utf8(head)
    if b"=" not in text or not is_text(text) or max(map(len, text.split(b"\n"))) > 80:
        return 0.0
    codes = len(_CODE.findall(text))
    return 0.98 if codes >= _LEAST and codes * 20 >= text.count(b"=") * 19 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Give out what stands behind it as a member."""
    read_member(Source(decode_quoted_printable(_lines(source)), source.name, source.amplification), out)


def _lines(source: Source) -> Iterator[bytes]:
    """Whole lines in pieces."""
    held = b""
    for piece in utf8_pieces(source):
        held += piece
        cut = held.rfind(b"\n") + 1 or (len(held) if len(held) > _MAX_LINE else 0)
        if cut:
            yield held[:cut]
            held = held[cut:]
    yield held
