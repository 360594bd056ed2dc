"""A text written as one string of JSON and nothing else, as programs print and log it; what it says goes back to the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import as_utf8, utf8_pieces
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.structured.json_values import unescape

FORMAT = "json_string"
EMBEDDED_SEARCH = "raw"

_HEAD = possessive(rb'\s*+"(?:[^"\\\n]|\\.)*+("\s*+)?\\?\Z')
_LINE_END = rb"\\n"
# whole letters and escapes, the two halves of a letter together
_WHOLE = possessive(
    rb"(?:[^\\]|\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[0-9A-Fa-f]{4}|\\u(?![dD][89abAB])[0-9A-Fa-f]{4}|\\[^u])*+", re.DOTALL
)
_LONGEST, _LAST = 12, 8


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure where there is one string, in which lines end."""
    text = as_utf8(head)
    if text.lstrip()[:1] != b'"' or _LINE_END[1:] not in text:
        return 0.0
    found = _HEAD.match(text)
    return 0.99 if found and (found[1] is not None or len(head) >= HEAD) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Give out what it says as a member."""
    read_member(Source(_said(utf8_pieces(source)), source.name, source.amplification), out)


def _said(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The text between the quotes."""
    held, begun = b"", False
    for piece in pieces:
        held += piece
        if not begun:
            held = held.lstrip()
            begun = bool(held)
            held = held[1:]
        # the last bytes wait: the closing quote is none of the text
        found = _WHOLE.match(held, 0, max(0, len(held) - _LAST))
        # an escape that is none stands as it is, once it cannot become one any more
        stop = max(found.end() if found else 0, len(held) - _LAST - _LONGEST)
        # nor is a letter torn
        for _ in range(3):
            stop -= stop > 0 and held[stop] & 0xC0 == 0x80
        yield _plain(held[:stop])
        held = held[stop:]
    yield _plain(held.rstrip().removesuffix(b'"'))


def _plain(text: bytes) -> bytes:
    return unescape(text.decode("utf-8", "replace")).encode("utf-8", "replace")
