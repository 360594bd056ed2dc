"""Splits XML into a flat sequence of tags and texts, whatever is wrong with it; readers decide what the tags mean.

XML parsers stop at the first mistake, build trees as deep as the input says, and expand entities. All text of a leak
must be examined even if the leak was truncated or altered, so this module only separates tags from text: it does not
nest, it expands no entities, and it rejects nothing. A caller that keeps a stack of open tags must bound it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import repair, utf8_pieces
from crawler.readers.core.limits import PIECE
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source

BLOCK = 2**18
"""How many bytes are split into tokens at once, at least."""
MAX_BLOCK = 2**20
"""A block ends here at the latest, even without an end mark."""

Token = tuple[bytes, bytes, bytes, bytes]
"""A tag or a text: (slash, name, attributes, text).

A tag has no text; `slash` is b"/" for a closing tag, `name` is without its prefix, and `attributes` ends with b"/" if
the tag closes itself. A text has only its last field.
"""

# no attribute holds "<", so that an unclosed quote affects only its own tag
_TOKEN = possessive(
    # possessive: otherwise a name without an end would be tried at each of its lengths
    rb"<(/?)(?:[^\s<>:/\"'=]*+:)?([^\s<>:/\"'=]++)"
    rb"([^<>\"']*+(?:\"[^\"<]*+\"[^<>\"']*+|'[^'<]*+'[^<>\"']*+)*+)>|([^<]++)"
)
# It matches only at the beginning of a word, and possessively: the time for a name without "=" is linear in its length.
_ATTRIBUTE = re.compile(rb"(?<![^\s:=\"'<>])(?:[^\s:=\"'<>]*+:)?([^\s:=\"'<>]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)')")
_REFERENCE = re.compile(rb"&(?:#[xX]([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_ROOT = re.compile(rb"<(?:[^\s<>:/!?\"'=]*:)?([A-Za-z_][^\s<>:/\"'=]*)(?=[\s/>])")
_MARK = re.compile(rb"<[!?]")
# the begin and end of comments, CDATA sections and processing instructions
_SPECIAL = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"))


def split_blocks(source: Source, end: bytes) -> Iterator[bytes]:
    """The source as UTF-8 in blocks. Each ends behind the last `end` in it, or before a tag if there is no `end`."""
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
            # no valid tag is as long as a block
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


def tokenize(block: bytes) -> list[Token]:
    """The tags and texts of a block in order; references such as `&amp;` in texts are not resolved."""
    return _TOKEN.findall(_without_special_markup(block) if b"<!" in block or b"<?" in block else block)


def token_blocks(source: Source) -> Iterator[list[Token]]:
    """The tags and texts of a whole source, in lists of any length."""
    for block in split_blocks(source, b">"):
        yield tokenize(block)


def _without_special_markup(block: bytes) -> bytes:
    """The block without comments and processing instructions, and with CDATA sections as text.

    Markup that does not end in the block is kept as text.
    """
    parts: list[bytes] = []
    at = 0
    # found once in advance: repeated searches for a missing end would take quadratic time
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


def parse_attributes(text: bytes) -> dict[bytes, bytes]:
    """The attributes of a tag by their names without prefixes; references in the values are resolved."""
    return {name: unescape_xml(double or single) for name, double, single in _ATTRIBUTE.findall(text)}


def unescape_xml(text: bytes) -> bytes:
    """The text with its references resolved; references to entities that the document defines stay unchanged."""
    return _REFERENCE.sub(_resolved, text) if b"&" in text else text


def _resolved(found: re.Match[bytes]) -> bytes:
    if found[3]:
        return _NAMED[found[3]]
    code = int(found[1], 16) if found[1] else int(found[2])
    if code > 0x10FFFF or code == 0 or 0xD800 <= code < 0xE000:
        return found[0]
    return chr(code).encode()


def root_name(head: bytes) -> str:
    """The name, without prefix, of the first element of a head (from `encoding.as_utf8`); '' if it has no element."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"<"):
        return ""
    found = _ROOT.search(_without_special_markup(text[:8192]))
    return found[1].decode("ascii", "replace") if found else ""
