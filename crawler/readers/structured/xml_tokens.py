"""XML as a flat run of tags and texts, whatever is wrong with it: nothing is nested, expanded or refused; meaning is left to readers.

Parsers of XML stop at the first mistake, build trees as deep as the input says and expand entities. A leak that was cut
or changed must give all its text, so tags are only told apart from text here; who keeps a stack bounds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import repair, utf8_pieces
from crawler.readers.core.limits import PIECE
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source

BLOCK = 2**18
"""Bytes that are worked on at once."""
MAX_BLOCK = 2**20
"""A block without an end mark is cut here at the latest."""

Token = tuple[bytes, bytes, bytes, bytes]
"""Slash of a closing tag, local name, attributes (`/` behind them if the tag closes itself); or the text alone."""

# no attribute holds "<", so that a quote without its end costs no more than its tag
_TOKEN = possessive(
    # possessive: a name without its end must not be tried at each of its lengths
    rb"<(/?)(?:[^\s<>:/\"'=]*+:)?([^\s<>:/\"'=]++)"
    rb"([^<>\"']*+(?:\"[^\"<]*+\"[^<>\"']*+|'[^'<]*+'[^<>\"']*+)*+)>|([^<]++)"
)
# tried where a word begins alone, and nothing is given back: a name without its sign costs no more than its length
_ATTRIBUTE = re.compile(rb"(?<![^\s:=\"'<>])(?:[^\s:=\"'<>]*+:)?([^\s:=\"'<>]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)')")
_REFERENCE = re.compile(rb"&(?:#[xX]([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_ROOT = re.compile(rb"<(?:[^\s<>:/!?\"'=]*:)?([A-Za-z_][^\s<>:/\"'=]*)(?=[\s/>])")
_MARK = re.compile(rb"<[!?]")
# what is neither tag nor text, with its end
_SPECIAL = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"))


def blocks(source: Source, end: bytes) -> Iterator[bytes]:
    """The source as UTF-8 in pieces that end behind the last `end` in them, or before a tag where there is none."""
    parts: list[bytes] = []
    have = 0
    for piece in _pieces(source):
        parts.append(piece)
        have += len(piece)
        if have < BLOCK:
            continue
        data = b"".join(parts)
        at = data.rfind(end) + len(end)
        if at < len(end) and have >= MAX_BLOCK:
            # a tag as long as a block is none
            at = data.rfind(b"<") if data.rfind(b"<") > 0 else len(data)
        if at >= len(end) or have >= MAX_BLOCK:
            yield repair(data[:at])
            data = data[at:]
        parts, have = [data], len(data)
    if have:
        yield repair(b"".join(parts))


def _pieces(source: Source) -> Iterator[bytes]:
    for piece in utf8_pieces(source):
        for start in range(0, len(piece), PIECE):
            yield piece[start : start + PIECE]


def tokens(block: bytes) -> list[Token]:
    """Tags and texts of a block in order, references in texts left as they are."""
    return _TOKEN.findall(_without_specials(block) if b"<!" in block or b"<?" in block else block)


def token_blocks(source: Source) -> Iterator[list[Token]]:
    """The tags and texts of a whole source, cut anywhere between two of them."""
    for block in blocks(source, b">"):
        yield tokens(block)


def _without_specials(block: bytes) -> bytes:
    """Without comments and instructions; CDATA becomes text. One that does not end in its block is text."""
    parts: list[bytes] = []
    at = 0
    # looking for an end that never comes, again and again, would be quadratic
    ends = {end: block.rfind(end) for _, end in _SPECIAL}
    while (start := block.find(b"<", at)) >= 0:
        for begin, end in _SPECIAL:
            if block.startswith(begin, start) and ends[end] >= start + len(begin):
                stop = block.find(end, start + len(begin))
                parts.append(block[at:start])
                if begin == b"<![CDATA[":
                    inner = block[start + len(begin) : stop]
                    parts.append(inner.replace(b"&", b"&amp;").replace(b"<", b"&lt;"))
                at = stop + len(end)
                break
        else:
            following = _MARK.search(block, start + 1)
            stop = following.start() if following else len(block)
            parts.append(block[at:stop])
            at = stop
    parts.append(block[at:])
    return b"".join(parts)


def attributes(text: bytes) -> dict[bytes, bytes]:
    """The attributes of a tag by local name, references resolved."""
    return {name: unescape(double or single) for name, double, single in _ATTRIBUTE.findall(text)}


def unescape(text: bytes) -> bytes:
    """A text with its references resolved; entities that a document defines itself stay as they are."""
    return _REFERENCE.sub(_resolved, text) if b"&" in text else text


def _resolved(found: re.Match[bytes]) -> bytes:
    if found[3]:
        return _NAMED[found[3]]
    code = int(found[1], 16) if found[1] else int(found[2])
    if code > 0x10FFFF or code == 0 or 0xD800 <= code < 0xE000:
        return found[0]
    return chr(code).encode()


def root_name(head: bytes) -> str:
    """The local name of the element that a head (as `encoding.as_utf8` gives it) begins with, '' if it is no XML."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"<"):
        return ""
    found = _ROOT.search(_without_specials(text[:8192]))
    return found[1].decode("ascii", "replace") if found else ""
