"""Reads files that hold base32 or base85 (Ascii85, RFC 1924, Z85) and nothing else.

The decoded bytes are a member, whose reader the registry chooses.

Sources: RFC 4648 (base32, base32hex); RFC 1924; Adobe, PostScript Language Reference, 3.13.3; rfc.zeromq.org/spec/32 (Z85).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crawler.readers.core.encoding import as_utf8, utf8_pieces
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.opacity import coincidence
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import decoding_confidence
from crawler.readers.mail.base64_text import MIN_WIDTH

_MIN_SIZE = 64
_SNIFFED = 4000
_PIECE = 2**16
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RFC_1924 = b"0123456789" + _LETTERS + _LETTERS.lower() + b"!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789" + _LETTERS.lower() + _LETTERS + b".-:+=^!/*?&<>()[]{}@%$#"
_ASCII85 = bytes(range(0x21, 0x76))
_TO_RFC_1924 = bytes.maketrans(_Z85, _RFC_1924)
_HEX_TO_BASE32 = bytes.maketrans(b"0123456789" + _LETTERS[:22], _LETTERS + b"234567")
# Random bytes use all characters of an alphabet equally often, words and numbers never do.
_MAX_UNEVENNESS = 1.25


@dataclass(frozen=True, slots=True)
class _Alphabet:
    """One way to write bytes as characters.

    Attributes:
        characters: those that it uses, without padding.
        group: number of characters that are decoded together.
        decode: decodes whole groups; raises ValueError.
    """

    characters: bytes
    group: int
    decode: Callable[[bytes], bytes]


def _decode_base32(text: bytes) -> bytes:
    return base64.b32decode(text + b"=" * (-len(text) % 8))


_BASE32 = (
    _Alphabet(_LETTERS.lower() + b"234567", 8, lambda text: _decode_base32(text.upper())),
    _Alphabet(_LETTERS + b"234567", 8, _decode_base32),
    _Alphabet(b"0123456789" + _LETTERS[:22], 8, lambda text: _decode_base32(text.translate(_HEX_TO_BASE32))),
)
_BASE85 = (
    _Alphabet(_RFC_1924, 5, base64.b85decode),
    _Alphabet(_Z85, 5, lambda text: base64.b85decode(text.translate(_TO_RFC_1924))),
    _Alphabet(_ASCII85 + b"yz", 5, base64.a85decode),
)


def _digits(text: bytes) -> bytes:
    """The characters without white space."""
    return text.translate(None, b"\r\n\t ")


def _is_ascii85(alphabet: _Alphabet) -> bool:
    return alphabet is _BASE85[2]


def _without_marks(digits: bytes, alphabet: _Alphabet) -> bytes:
    """The digits without padding and the marks around Ascii85, whose abbreviations are written out."""
    if not _is_ascii85(alphabet):
        return digits.rstrip(b"=") if alphabet in _BASE32 else digits
    digits = digits.removeprefix(b"<~").partition(b"~>")[0]
    return digits.replace(b"z", b"!!!!!").replace(b"y", b"+<VdL")


def _alphabet_of(head: bytes, alphabets: tuple[_Alphabet, ...]) -> tuple[_Alphabet | None, float]:
    """The alphabet of a file and the confidence in it."""
    text = as_utf8(head).strip()
    # most texts are refused by their first line
    first, _, rest = text.partition(b"\n")
    if b" " in first or b"\t" in first:
        return None, 0.0
    second = rest.find(b"\n")
    if second not in (-1, len(first)) and b"\n" in rest[second + 1 :]:
        return None, 0.0
    lines = text.split(b"\n")
    if len(head) >= HEAD and len(lines) > 1:
        lines.pop()
    widths = {len(line) for line in lines[:-1]}
    # the last line may have any length
    if len(widths) > 1 or any(b" " in line or b"\t" in line for line in lines[:20]):
        return None, 0.0
    text = b"".join(lines)
    if len(text) < _MIN_SIZE:
        return None, 0.0
    wide = min(widths, default=len(lines[0])) >= MIN_WIDTH
    best: tuple[_Alphabet | None, float] = None, 0.0
    for alphabet in alphabets:
        digits = _without_marks(text, alphabet)
        if not digits or digits.translate(None, alphabet.characters):
            continue
        digits = digits[: _SNIFFED // alphabet.group * alphabet.group]
        try:
            decoded = alphabet.decode(digits)
        except ValueError:
            continue
        even = coincidence(digits) * len(alphabet.characters) / 256 < _MAX_UNEVENNESS
        confidence = decoding_confidence(decoded, wide=wide and even)
        if confidence > best[1]:
            best = alphabet, confidence
    return best


class _TextOf:
    """A reader of one family of alphabets; see `registry.Reader`."""

    EMBEDDED_SEARCH = "raw"

    def __init__(self, name: str, alphabets: tuple[_Alphabet, ...]) -> None:
        self.FORMAT = name
        self._alphabets = alphabets

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """0.96 if the whole head decodes to a file or to opaque bytes."""
        return 0.96 if _alphabet_of(head, self._alphabets)[1] else 0.0

    def read(self, source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG002 - every reader takes all three
        """Output the decoded bytes as a member."""
        name = re.sub(r"\.(?:b32|b85|a85|z85|txt)$", "", source.name)
        alphabet, _ = _alphabet_of(source.peek(HEAD), self._alphabets)
        if alphabet is None:
            return
        wrong: list[int] = []
        read_member(Source(_decode(source, alphabet, wrong), name, source.amplification), out)
        if wrong:
            out.problem("damaged", "a part of the encoded text cannot be decoded", incomplete=True)


def _decode(source: Source, alphabet: _Alphabet, wrong: list[int]) -> Iterator[bytes]:
    """The decoded bytes; a group that cannot be decoded is left out and its length added to `wrong`."""
    held, first = b"", True
    for piece in utf8_pieces(source):
        digits = held + _digits(piece)
        if first and len(digits) < _MIN_SIZE:
            held = digits
            continue
        if first and _is_ascii85(alphabet):
            digits = digits.removeprefix(b"<~")
        first = False
        if _is_ascii85(alphabet):
            # the end mark may be divided between two pieces
            digits = digits.replace(b"z", b"!!!!!").replace(b"y", b"+<VdL")
        size = max(0, len(digits) - 16) // alphabet.group * alphabet.group
        for at in range(0, size, _PIECE * alphabet.group):
            yield _decode_groups(digits[at : min(size, at + _PIECE * alphabet.group)], alphabet, wrong)
        held = digits[size:]
    yield _decode_groups(_without_marks(held, alphabet), alphabet, wrong)


def _decode_groups(digits: bytes, alphabet: _Alphabet, wrong: list[int]) -> bytes:
    try:
        return alphabet.decode(digits)
    except ValueError:
        wrong.append(len(digits))
    decoded = []
    for at in range(0, len(digits), alphabet.group):
        try:
            decoded.append(alphabet.decode(digits[at : at + alphabet.group]))
        except ValueError:
            continue
    return b"".join(decoded)


READERS = (_TextOf("base32", _BASE32), _TextOf("base85", _BASE85))
