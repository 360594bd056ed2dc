"""Classes of characters for the compiled scans, and the small steps that all scans share."""

from __future__ import annotations

import string

import numpy as np

from data.arrays.array_types import U8
from data.arrays.jit import inlined
from data.arrays.raw_memory import alphanumeric_bits, byte, put_word, trailing_zeros

EMAIL, PHONE, NIR, IBAN, PROFESSIONAL, TOKEN = 1, 2, 3, 4, 5, 6
LETTER, DIGIT, JOIN, RARE, GAP, LOCAL, DOMAIN, WEAK = 1, 2, 4, 8, 16, 32, 64, 128
WORD = LETTER | DIGIT


def _classes() -> U8:
    table = np.zeros(256, np.uint8)
    for members, bits in (
        (string.ascii_letters, LETTER | LOCAL | DOMAIN),
        (string.digits, DIGIT | LOCAL | DOMAIN),
        # one of these between two words of a token is dropped
        ("-_.", JOIN),
        # not only a gap between words: @ begins a domain, the others are noted
        ("@\\&%'<[=\0", RARE),
        # what people write between the digits of one number
        (" .-/()+_", GAP),
        ("._%+-'&=!#$*?^`{}~", LOCAL),
        # a local part may begin behind one of these: "a=b@c.fr" is also "b@c.fr"
        ("'&=+!#$*?^`{}~%", WEAK),
        ("-.", DOMAIN),
    ):
        for character in members:
            table[ord(character)] |= bits
    return table


CLASSES = _classes()


@inlined
def class_of(classes: int, at: int) -> int:
    """The class bits of the byte at a place."""
    return byte(classes + byte(at))


@inlined
def word_end(at: int, limit: int) -> tuple[int, bool, bool]:
    """The place behind the letters and digits that begin at `at`, and whether there are letters, and digits."""
    letters = digits = False
    size = 32
    while size == 32:
        seen = alphanumeric_bits(at)
        size = min(trailing_zeros(~seen), 32, limit - at)
        inside = (1 << size) - 1
        some = (seen >> 32) & inside
        digits |= some != 0
        letters |= some != inside
        at += size
    return at, letters, digits


@inlined
def emit(kind: int, at: int, length: int, place: int, arena: int, out: int, count: int) -> int:
    """Write a candidate down; the count with it."""
    put_word(out + 8 * count, np.uint64(kind << 56 | length << 48 | (at - arena) << 24 | place))
    return count + 1
