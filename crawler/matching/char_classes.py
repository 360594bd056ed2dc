"""Classes of characters for the compiled scans, and the small functions that all scans share."""

from __future__ import annotations

import string

import numpy as np

from data.arrays.array_types import U8
from data.arrays.jit import inlined
from data.arrays.raw_memory import alphanumeric_bits, byte, put_word, trailing_zeros

EMAIL, PHONE, NIR, IBAN, PROFESSIONAL, TOKEN = 1, 2, 3, 4, 5, 6
LETTER, DIGIT, JOINER, SIGNIFICANT, GAP, LOCAL, DOMAIN, LOCAL_BREAK = 1, 2, 4, 8, 16, 32, 64, 128
"""Bits of the classes of a character; the comments in `_classes` explain them."""
WORD = LETTER | DIGIT


def _classes() -> U8:
    """The class bits of each byte value, shape (256,)."""
    table = np.zeros(256, np.uint8)
    for members, bits in (
        (string.ascii_letters, LETTER | LOCAL | DOMAIN),
        (string.digits, DIGIT | LOCAL | DOMAIN),
        # the words of a token may be joined by one of these, which is dropped
        ("-_.", JOINER),
        # these are more than a gap between words: @ begins a domain, the others are signs of another reading
        ("@\\&%'<[=\0", SIGNIFICANT),
        # people write these between the digits of one number
        (" .-/()+_", GAP),
        # the local part of an e-mail address, besides letters and digits
        ("._%+-'&=!#$*?^`{}~", LOCAL),
        # a local part may begin after one of these: "a=b@c.fr" is also "b@c.fr"
        ("'&=+!#$*?^`{}~%", LOCAL_BREAK),
        # the domain of an e-mail address, besides letters and digits
        ("-.", DOMAIN),
    ):
        for character in members:
            table[ord(character)] |= bits
    return table


CLASSES = _classes()


@inlined
def char_class(classes: int, at: int) -> int:
    """The class bits of the byte at the address `at`; `classes` is the address of the table."""
    return byte(classes + byte(at))


@inlined
def word_end(at: int, limit: int) -> tuple[int, bool, bool]:
    """The place after the letters and digits that begin at `at`, whether letters are among them, and whether digits."""
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
def write_candidate(kind: int, at: int, length: int, place: int, arena: int, out: int, count: int) -> int:
    """Add a candidate to the list at `out`; returns the new count. `crawler.matching.scan_kernels` has the format.

    Args:
        kind: of the value, perhaps with the bit `UNCERTAIN`.
        at: address of the normal form in the arena.
        length: of the normal form.
        place: of the value in the text.
        arena: address of the arena.
        out: address of the list.
        count: candidates in the list so far.
    """
    put_word(out + 8 * count, np.uint64(kind << 56 | length << 48 | (at - arena) << 24 | place))
    return count + 1
