"""Tells the code page of 8-bit text and of EBCDIC by what the accented letters of names look like under each.

Under a wrong page they become signs, or capitals within a word. Windows-1252 is preferred where nothing decides.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

# DOS pages differ in capitals alone; of two that fit equally well the first is taken
PAGES = ("cp1252", "cp850", "cp437", "mac_roman", "cp1250")
_FRENCH_EBCDIC = "tocsin_cp1147"
EBCDIC_PAGES = (_FRENCH_EBCDIC, "cp1140", "cp500", "cp273")
# IBM 1147 (France, with the euro) from 0x40 on, which Python does not have; source: glibc's IBM1147
_CP1147 = (
    ' \xa0\xe2\xe4@\xe1\xe3\xe5\\\xf1\xb0.<(+!&{\xea\xeb}\xed\xee\xef\xec\xdf\xa7$*);^-/\xc2\xc4\xc0\xc1\xc3\xc5\xc7\xd1\xf9,%_>?\xf8\xc9\xca\xcb\xc8\xcd\xce\xcf\xcc\xb5:\xa3\xe0\'="'
    "\xd8abcdefghi\xab\xbb\xf0\xfd\xfe\xb1[jklmnopqr\xaa\xba\xe6\xb8\xc6\u20ac`\xa8stuvwxyz\xa1\xbf\xd0\xdd\xde\xae\xa2#\xa5\xb7\xa9]\xb6\xbc\xbd\xbe\xac|\xaf~\xb4\xd7"
    "\xe9ABCDEFGHI\xad\xf4\xf6\xf2\xf3\xf5\xe8JKLMNOPQR\xb9\xfb\xfc\xa6\xfa\xff\xe7\xf7STUVWXYZ\xb2\xd4\xd6\xd2\xd3\xd50123456789\xb3\xdb\xdc\xd9\xda\x9f"
)  # fmt: skip
_COMMON = dict.fromkeys("éèêëàâçîïôûùüöäœæÿ", 2.0) | {"é": 3.0, "è": 2.5, "ç": 2.5, "ö": 1.2, "ü": 1.2, "ä": 1.2}
_CAPITALS = dict.fromkeys("ÉÈÊËÀÂÇÎÏÔÛÙÜÖÄŒ", 2.0)
_OTHERS = dict.fromkeys("áíóúñãõåøßýÁÍÓÚÑÅØŸćčďěęąłńňőřśšťůűźżžŁŚŠŹŻŽČŘăşţ", 0.5)
_WEIGHTS = _COMMON | _CAPITALS | _OTHERS
_SIGN, _CLASH, _FOREIGN = -3.0, -3.0, -1.5
# signs that stand in texts: between letters, or anywhere
_BETWEEN_LETTERS, _ANYWHERE = frozenset("’‘'-"), frozenset("’‘“”«»°€…–—•\xa0§·")
# a word from its first byte beyond ASCII on; the ASCII letters before it are found by going back from there, so that
# letters without such a byte are passed over once and not once for each of them
_REST_OF_WORD = re.compile(rb"[\x80-\xff][A-Za-z\x80-\xff]*")
_LAST_LETTERS = re.compile(rb"[A-Za-z]*\Z")
_UTF8_WORD = re.compile(rb"(?:[A-Za-z]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2})*")
_MAX_WORDS = 400
_MAX_SEARCHED = 2**18
_LONGEST_WORD = 64
_HIGH = bytes(range(0x80, 0x100))
_NO_LETTERS_TO_SPACES = bytes(byte if byte >= 0x80 or chr(byte).isalpha() else 0x20 for byte in range(256))
# the score of a word with one letter that French has
_FRENCH = 2.0
# another page than the preferred one must look better by so much
_MARGIN = 1.0


def page_of(text: bytes) -> tuple[str, bool]:
    """The page of a text that is not UTF-8, and whether some of its lines seem to be written in another one.

    Parts of the text may be UTF-8.
    """
    words = Counter(word for word in _first_words(text) if not _UTF8_WORD.fullmatch(word))
    scores = {page: sum(_score_under(page, word) * count for word, count in words.items()) for page in PAGES}
    best = max(PAGES, key=lambda page: scores[page])
    page = best if scores[best] > scores[PAGES[0]] + _MARGIN else PAGES[0]
    return page, any(_contradicts(word, page) for word in set(_longer_words(text)))


def page_of_line(line: bytes, page: str) -> str:
    """The page of one line of a text that is mostly written in `page`: another one only if words of it contradict `page`."""
    words = [word for word in _longer_words(line) if not _UTF8_WORD.fullmatch(word)]
    if not any(_contradicts(word, page) for word in words):
        return page
    scores = {each: sum(_score_under(each, word) for word in words) for each in PAGES}
    best = max(PAGES, key=lambda each: scores[each])
    return best if scores[best] > scores[page] + _MARGIN else page


def _contradicts(word: bytes, page: str) -> bool:
    """Whether a word is none under a page, and a French one under another."""
    return _score_under(page, word) < 0 and max(_score_under(each, word) for each in PAGES) >= _FRENCH


def _longer_words(text: bytes) -> list[bytes]:
    """The words beyond ASCII with at least two letters of ASCII, which signs and measures have not."""
    return [
        word
        for word in text.translate(_NO_LETTERS_TO_SPACES).split()
        if not word.isascii() and len(word) <= _LONGEST_WORD and len(word.translate(None, _HIGH)) > 1
    ]


def _first_words(text: bytes) -> list[bytes]:
    found: list[bytes] = []
    for match in _REST_OF_WORD.finditer(text, 0, _MAX_SEARCHED):
        start = match.start()
        letters = _LAST_LETTERS.search(text[max(0, start - _LONGEST_WORD) : start])
        before = letters[0] if letters else b""
        found.append((before + match[0][:_LONGEST_WORD])[:_LONGEST_WORD])
        if len(found) >= _MAX_WORDS:
            break
    return found


@lru_cache(maxsize=65_536)
def _score_under(page: str, word: bytes) -> float:
    return _score(word.decode(page, "replace"))


def _score(word: str) -> float:
    """How much the characters beyond ASCII of a word look like those of a French word."""
    score = 0.0
    for at, char in enumerate(word):
        if char.isascii():
            continue
        before, after = word[at - 1 : at], word[at + 1 : at + 2]
        if char not in _WEIGHTS:
            if char in _BETWEEN_LETTERS and before.isalpha() and after.isalpha():
                score += 1
            elif char in _ANYWHERE and not (before.isalpha() and after.isalpha()):
                score += 0.2
            else:
                score += _FOREIGN if char.isalpha() else _SIGN
        elif _is_wrong_case(char, before, after, word):
            score += _CLASH
        else:
            score += _WEIGHTS[char]
    return score


def _is_wrong_case(char: str, before: str, after: str, word: str) -> bool:
    """Whether a letter is a capital within small letters, or a small one within or before capitals."""
    if char.isupper():
        return before.islower() or (bool(before) and after.islower())
    if not before and after.isupper() and len(word) > 2 and word[2].isupper():
        return True
    return before.isupper() and (after.isupper() or (not after and len(word) > 2))


# --- EBCDIC ----------------------------------------------------------------------------------------------------------

# letters, digits and the space of all EBCDIC pages
_EBCDIC = bytes(
    [0x40, *range(0x81, 0x8A), *range(0x91, 0x9A), *range(0xA2, 0xAA), *range(0xC1, 0xCA), *range(0xD1, 0xDA),
     *range(0xE2, 0xEA), *range(0xF0, 0xFA)]
)  # fmt: skip
_EBCDIC_SIGNS = bytes([0x4B, 0x4D, 0x5D, 0x60, 0x61, 0x6B, 0x6D, 0x7A, 0x7D, 0x15, 0x25, 0x0D, 0x5E, 0x7C, 0x44, 0x4F])
# the share of letters, digits and spaces, of these with signs, and of digits and small letters or capitals
_MIN_EBCDIC, _MIN_WITH_SIGNS, _MIN_SIZE = 0.65, 0.85, 64


def ebcdic_page(head: bytes) -> str:
    """The EBCDIC page of a text; '' if it is none."""
    size = len(head)
    if size < _MIN_SIZE or head.count(0x20) * 50 > size or head.count(0) * 100 > size:
        return ""
    others = head.translate(None, _EBCDIC)
    if (
        size - len(others) < _MIN_EBCDIC * size
        or size - len(others.translate(None, _EBCDIC_SIGNS)) < _MIN_WITH_SIGNS * size
    ):
        return ""
    high = sum(map(head.count, range(0xF0, 0xFA))) + sum(map(head.count, range(0x81, 0xEA)))
    if high * 5 < size:
        return ""

    def likeness(page: str) -> float:
        text = head.decode(page, "replace")
        # the @ of addresses, which stands elsewhere in each page
        return sum(map(_score, _ACCENTED.findall(text))) + _ADDRESS * len(_AT.findall(text))

    return max(EBCDIC_PAGES, key=likeness)


_AT = re.compile(r"[a-zA-Z0-9]@[a-zA-Z0-9]")
_ADDRESS = 4.0
# a word can begin only at its first letter: else a word without an accent is searched again from each of its letters
_ACCENTED = re.compile(r"(?<![A-Za-z\x80-\U0010ffff])[A-Za-z]*+[\x80-\U0010ffff][A-Za-z\x80-\U0010ffff]*+")


# characters below 0x40 are controls that differ from page to page in none that a text holds
_DECODING = bytes(range(0x40)).decode("cp500").replace("\x85", "\n") + _CP1147


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != _FRENCH_EBCDIC:
        return None
    table = codecs.charmap_build(_DECODING)

    class Incremental(codecs.IncrementalDecoder):
        def decode(self, data: Buffer, final: bool = False) -> str:  # noqa: ARG002 - the interface of codecs
            return codecs.charmap_decode(bytes(data), self.errors, _DECODING)[0]

    return codecs.CodecInfo(
        name=name,
        encode=lambda text, errors="strict": codecs.charmap_encode(text, errors, table),
        decode=lambda data, errors="strict": codecs.charmap_decode(bytes(data), errors, _DECODING),
        incrementaldecoder=Incremental,
    )


codecs.register(_find_codec)
# a reader in the sandbox cannot open the files of codecs
for _name in (*PAGES, *EBCDIC_PAGES):
    codecs.lookup(_name)
