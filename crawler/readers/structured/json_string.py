"""Reads a file that is one JSON string and nothing else, as programs print and log it.

The content of the string is a member, whose reader the registry chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import as_utf8, utf8_pieces
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.structured.json_values import unescape_string

FORMAT = "json_string"
EMBEDDED_SEARCH = "raw"

_BEGIN = possessive(rb'\s*+"(?:[^"\\\n]|\\.)*+("\s*+)?\\?\Z')
_LINE_END = rb"\\n"
# complete characters and escapes; the two halves of a surrogate pair stay together
_COMPLETE = possessive(
    rb"(?:[^\\]|\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[0-9A-Fa-f]{4}|\\u(?![dD][89abAB])[0-9A-Fa-f]{4}|\\[^u])*+", re.DOTALL
)
# bytes of the longest escape (a surrogate pair), and bytes at the end that are kept back
_LONGEST_ESCAPE, _KEPT_BACK = 12, 8


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is one JSON string: high if it is one, and it holds escaped line ends."""
    text = as_utf8(head)
    if text.lstrip()[:1] != b'"' or _LINE_END[1:] not in text:
        return 0.0
    found = _BEGIN.match(text)
    return 0.99 if found and (found[1] is not None or len(head) >= HEAD) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Output the content of the string as a member."""
    read_member(Source(_content(utf8_pieces(source)), source.name, source.amplification), out)


def _content(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The text between the quotes, with its escapes resolved."""
    held, begun = b"", False
    for piece in pieces:
        held += piece
        if not begun:
            held = held.lstrip()
            begun = bool(held)
            held = held[1:]
        # keep the last bytes back: they may hold the closing quote, which is not part of the text
        found = _COMPLETE.match(held, 0, max(0, len(held) - _KEPT_BACK))
        # an invalid escape is output unchanged as soon as further bytes cannot make it valid
        stop = max(found.end() if found else 0, len(held) - _KEPT_BACK - _LONGEST_ESCAPE)
        # do not split a UTF-8 character
        for _ in range(3):
            stop -= stop > 0 and held[stop] & 0xC0 == 0x80
        yield _unescape(held[:stop])
        held = held[stop:]
    yield _unescape(held.rstrip().removesuffix(b'"'))


def _unescape(text: bytes) -> bytes:
    return unescape_string(text.decode("utf-8", "replace")).encode("utf-8", "replace")
