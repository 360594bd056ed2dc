"""Splits XML into a flat sequence of tags and texts, whatever is wrong with it; readers decide what the tags mean.

XML parsers stop at the first mistake, build trees as deep as the input says, and expand entities. All text of a leak
must be examined even if the leak was truncated or altered, so this module only separates tags from text: it does not
nest, it expands no entities, and it rejects nothing. A caller that keeps a stack of open tags must bound it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter

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

WholeToken = tuple[bytes, bytes, bytes, bytes, bytes, bytes]
"""An element that holds nothing but text, as (name, text, b"", b"", b"", b""), or b"" twice and the fields of `Token`."""
TokenColumns = tuple[tuple[bytes, ...], ...]
"""The fields of many `WholeToken`, each field as one tuple."""
# A record has at most so many tokens.
_MAX_RECORD = 1000

# no attribute holds "<", so that an unclosed quote affects only its own tag
_TOKEN_PATTERN = (
    # possessive: otherwise a name without an end would be tried at each of its lengths
    rb"<(/?)(?:[^\s<>:/\"'=]*+:)?([^\s<>:/\"'=]++)"
    rb"([^<>\"']*+(?:\"[^\"<]*+\"[^<>\"']*+|'[^'<]*+'[^<>\"']*+)*+)>|([^<]++)"
)
_TOKEN = possessive(_TOKEN_PATTERN)
# A whole element that holds nothing but text, or any other token; a first "!" begins a definition
_WHOLE_OR_TOKEN = possessive(
    rb"<(?:[^\s<>:/\"'=]*+:)?([^\s<>:/\"'=!][^\s<>:/\"'=]*+)(?:>([^<]*+)</(?:[^\s<>:/\"'=]*+:)?\1>|\s*+/>)|"
    + _TOKEN_PATTERN
)
# It matches only at the beginning of a word, and possessively: the time for a name without "=" is linear in its length.
_ATTRIBUTE = re.compile(rb"(?<![^\s:=\"'<>])(?:[^\s:=\"'<>]*+:)?([^\s:=\"'<>]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)')")
_REFERENCE = re.compile(rb"&(?:#[xX]([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_ROOT = re.compile(rb"<(?:[^\s<>:/!?\"'=]*:)?([A-Za-z_][^\s<>:/\"'=]*)(?=[\s/>])")
_MARK = re.compile(rb"<[!?]")
# the begin and end of comments, CDATA sections and processing instructions
_CDATA = (b"<![CDATA[", b"]]>")
_SPECIAL = ((b"<!--", b"-->"), _CDATA, (b"<?", b"?>"))


class RecordShape:
    """The tags of a record, an element whose children hold text alone; the records of a file mostly have the same ones.

    Attributes:
        count: tokens of the record. size: bytes of its tags, about.
        name: of the record. children: names of its children, in order and all different.
    """

    def __init__(self, tokens: list[WholeToken], name: bytes, children: list[bytes], places: list[int]) -> None:
        """`tokens` are those of one record, and `places` tells which of them are its children."""
        wholes, _, slashes, names, attributes, texts = zip(*tokens, strict=True)
        self._tags = wholes, slashes, names, attributes
        self._blanks = [at for at, text in enumerate(texts) if text]
        self._values = itemgetter(*places)
        self.count, self.name, self.children = len(tokens), name, children
        self.size = 2 * sum(map(len, children)) + 6 * len(children)

    @classmethod
    def learn(cls, tokens: list[WholeToken], at: int) -> RecordShape | None:
        """The shape of the element that begins with a token; None if it is no record or does not end in the list."""
        begin, record = at, tokens[at][3]
        children: list[bytes] = []
        places: list[int] = []
        for at in range(begin + 1, min(len(tokens), begin + _MAX_RECORD)):
            whole, _, slash, name, _, text = tokens[at]
            if whole:
                places.append(at - begin)
                children.append(whole)
            elif slash:
                is_record = name == record and len(children) > 1 and len(set(children)) == len(children)
                return cls(tokens[begin : at + 1], record, children, places) if is_record else None
            elif not text or text.strip():
                return None
        return None

    def values(self, columns: TokenColumns, at: int) -> tuple[bytes, ...] | None:
        """The texts of the children, if the tokens from `at` on are a record of this shape."""
        end = at + self.count
        wholes, inner, slashes, names, attributes, texts = columns
        if (wholes[at:end], slashes[at:end], names[at:end], attributes[at:end]) != self._tags:
            return None
        if any(texts[at + place].strip() for place in self._blanks):
            return None
        found: tuple[bytes, ...] = self._values(inner[at:end])
        return found


def split_blocks(source: Source, end: bytes) -> Iterator[bytes]:
    """The source as UTF-8 in blocks. Each ends behind the last `end` in it, or before a tag if there is no `end`.

    A CDATA section shorter than `MAX_BLOCK` is never divided: its halves would be taken for tags.
    """
    parts: list[bytes] = []
    have = 0
    for piece in _pieces(source):
        parts.append(piece)
        have += len(piece)
        if have < BLOCK:
            continue
        data = b"".join(parts)
        at = data.rfind(end) + len(end)
        section = data.rfind(_CDATA[0], 0, at)
        if section >= 0 and have < MAX_BLOCK and data.find(_CDATA[1], section, at) < 0:
            at = section
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


def whole_token_blocks(source: Source) -> Iterator[list[WholeToken]]:
    """As `token_blocks`, but elements that hold nothing but text are one token each."""
    for block in split_blocks(source, b">"):
        yield _WHOLE_OR_TOKEN.findall(_without_special_markup(block) if b"<!" in block or b"<?" in block else block)


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
                if begin == _CDATA[0]:
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
