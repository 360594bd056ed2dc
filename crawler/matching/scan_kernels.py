"""Compiled loops that find values in folded text. `crawler.matching.number_kernels` has those for numbers.

What is found at a place depends only on few bytes around it, never on where a block began.

Places are addresses (`data.arrays.raw_memory`): `begin` is that of the first byte of the text, `limit` that after its
last one. Loops that find values take and return `free`, the first free address of the arena, and `count`, the number of
candidates so far. The arena holds normal forms. A candidate is a 64-bit word: kind (8 bits), length (8), place in the
arena (24), place in the text (24). A kind with the bit `UNCERTAIN` is a reading that the text may not mean.
"""

from __future__ import annotations

from crawler.matching.char_classes import (
    DOMAIN,
    EMAIL,
    JOINER,
    LETTER,
    LOCAL,
    LOCAL_BREAK,
    SIGNIFICANT,
    TOKEN,
    WORD,
    char_class,
    word_end,
    write_candidate,
)
from crawler.matching.number_kernels import LOWER_CASE, UNCERTAIN, digit_groups, iban
from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import ZERO, byte, put_byte, put_word, word

TOKEN_MIN, TOKEN_MAX, TOKEN_PIECES = 8, 64, 8
LOCAL_MAX, DOMAIN_MAX = 64, 128
# The loop stops while this many candidates and bytes of the arena are still free: more than one place can need.
MARGIN, ARENA_MARGIN = 256, 8192
NUL, ESCAPE, MARKUP, EQUALS, LONG = 1, 2, 4, 8, 16
"""Signs that `find_candidates` notes: another reading of the text (UTF-16, unescaped …) may hold further values."""

_LONG_WORD = 24
# High-entropy bytes (compressed or encrypted): in every window so many are control characters (28 in 256 by chance, at
# least 7.5 %) and so many have the high bit (a half, at least 40 %). Readable text has neither, in any encoding or
# escaped.
_ENTROPY_LEAST, _ENTROPY_WINDOW = 16 * 4096, 4096
_ENTROPY_CONTROLS, _ENTROPY_HIGHS = 307, 1638


@inlined
def _tokens(
    begin: int, limit: int, at: int, end: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """Find tokens: the word from `at` to `end` alone, and with up to seven further words after one joiner each."""
    length = 0
    start = at
    found = count
    for _ in range(TOKEN_PIECES):
        size = end - start
        if length + size > TOKEN_MAX:
            break
        for place in range(0, size, 8):
            # this turns letters into lower case and leaves digits as they are
            put_word(free + length + place, word(start + place) | LOWER_CASE)
        length += size
        if length >= TOKEN_MIN:
            count = write_candidate(TOKEN | UNCERTAIN, free, length, at - begin, arena, out, count)
        if end + 1 >= limit or not char_class(classes, end) & JOINER or not char_class(classes, end + 1) & WORD:
            break
        start = end + 1
        end, _, _ = word_end(start, limit)
    return (free + length if count > found else free), count


@kernel
def _email(
    begin: int, limit: int, at: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """Find e-mail addresses around the @ at `at`: all plausible beginnings of the local part and ends of the domain."""
    low = at
    while low > begin and char_class(classes, low - 1) & LOCAL and at - low <= LOCAL_MAX:
        low -= 1
    if at - low > LOCAL_MAX:
        low = at - LOCAL_MAX
        while low < at and not char_class(classes, low - 1) & LOCAL_BREAK:
            low += 1
    while low < at and not char_class(classes, low) & WORD and byte(low) != 95:
        low += 1
    if low == at or byte(at - 1) == 46:
        return free, count
    high = at + 1
    while high < limit and char_class(classes, high) & DOMAIN and high - at <= DOMAIN_MAX:
        high += 1
    if high - at > DOMAIN_MAX:
        return free, count
    for place in range(high - low):
        char = byte(low + place)
        put_byte(free + place, char | 0x20 if byte(classes + char) & LETTER else char)
    label = end = at + 1
    dots = tried = 0
    while end <= high:
        if end == high or byte(end) == 46:
            # two characters or more may end an address; a dash is punctuation there
            stop = end
            while stop > label and byte(stop - 1) == 45:
                stop -= 1
            if stop - label >= 2 and dots > 0:
                kind = EMAIL if end == high or not char_class(classes, end + 1) & WORD else EMAIL | UNCERTAIN
                start = low
                while start < at and tried < 16:
                    count = write_candidate(kind, free + start - low, stop - start, start - begin, arena, out, count)
                    kind = EMAIL | UNCERTAIN
                    tried += 1
                    start += 1
                    while start < at and not (
                        char_class(classes, start - 1) & LOCAL_BREAK and char_class(classes, start) & WORD
                    ):
                        start += 1
            dots += 1
            label = end + 1
        end += 1
    return free + high - low, count


@inlined
def _sign_of(char: int, at: int, limit: int) -> int:
    """The sign that a significant character is, or 0."""
    if char == 0:
        return NUL
    if char == 60 or char == 91:
        return MARKUP
    if char == 61:
        return EQUALS
    # an apostrophe is a sign only if it is doubled, as in SQL
    return ESCAPE if char != 39 or (at + 1 < limit and byte(at + 1) == 39) else 0


@kernel
def is_high_entropy(begin: int, size: int) -> bool:
    """Whether bytes are compressed, encrypted or otherwise random throughout; False for less than 64 KiB."""
    if size < _ENTROPY_LEAST:
        return False
    for window in range(begin, begin + size - _ENTROPY_WINDOW + 1, _ENTROPY_WINDOW):
        controls = highs = 0
        for at in range(window, window + _ENTROPY_WINDOW):
            char = byte(at)
            highs += char >= 128
            controls += (char < 32) & (char != 0) & (char != 9) & (char != 10) & (char != 13)
        if controls < _ENTROPY_CONTROLS or highs < _ENTROPY_HIGHS:
            return False
    return True


@kernel
def find_signs(begin: int, start: int, stop: int) -> int:
    """The signs that `find_candidates` would note in `start..stop`, without finding candidates."""
    seen = 0
    since = at = begin + start
    while at < begin + stop:
        char = byte(at)
        if not ((char >= 48 and char <= 57) or ((char | 32) >= 97 and (char | 32) <= 122)):
            since = at + 1
            if (
                char == 0
                or char == 92
                or char == 38
                or char == 37
                or char == 39
                or char == 60
                or char == 91
                or char == 61
            ):
                seen |= _sign_of(char, at, begin + stop)
        elif at - since >= _LONG_WORD - 1:
            seen |= LONG
        at += 1
    return seen


@kernel
def find_candidates(
    begin: int,
    size: int,
    start: int,
    stop: int,
    tokens: bool,
    classes: int,
    lengths: int,
    arena: int,
    arena_size: int,
    out: int,
    most: int,
) -> tuple[int, int, int]:
    """Find everything that can be a value and begins in `start..stop`; the text around it is only context.

    Args:
        begin: address of the folded text.
        size: its length in bytes.
        start: a place in the text, from 0.
        stop: another one.
        tokens: whether tokens are looked for.
        classes: address of the table `char_classes.CLASSES`.
        lengths: address of the table `number_kernels.IBAN_LENGTHS`.
        arena: address of a buffer for normal forms.
        arena_size: its size in bytes.
        out: address of a buffer for candidates.
        most: how many candidates fit into it.

    Returns:
        Where to go on (stop, or less if a buffer is full), the number of candidates, and the signs that were noted.
    """
    room, full = most - MARGIN, arena + arena_size - ARENA_MARGIN
    limit, stop = begin + size, begin + stop
    count = seen = ZERO
    free = arena
    at = begin + start
    inside = at > begin and char_class(classes, at - 1) & WORD != 0
    while at < stop:
        kind = char_class(classes, at)
        if not kind & WORD:
            inside = False
            if kind & SIGNIFICANT:
                char = byte(at)
                if char == 64:
                    if count > room or free > full:
                        return at - begin, count, seen
                    free, count = _email(begin, limit, at, classes, arena, free, out, count)
                else:
                    seen |= _sign_of(char, at, limit)
            at += 1
            continue
        if count > room or free > full:
            return at - begin, count, seen
        end, letters, digits = word_end(at, limit)
        kind = char_class(classes, end) if end < limit else 0
        if end - at >= _LONG_WORD:
            seen |= LONG
        if not inside:
            if tokens and (
                end - at >= TOKEN_MIN or (kind & JOINER and end + 1 < limit and char_class(classes, end + 1) & WORD)
            ):
                free, count = _tokens(begin, limit, at, end, classes, arena, free, out, count)
            if (end - at == 2 or (letters and digits)) and char_class(classes, at) & char_class(
                classes, at + 1
            ) & LETTER:
                free, count = iban(begin, limit, at, classes, lengths, arena, free, out, count)
        if digits:
            place, free, count = digit_groups(begin, limit, at, end, stop, classes, arena, full, free, out, room, count)
            if place < min(end, stop):
                return place - begin, count, seen
        inside = False
        at = end
    return stop - begin, count, seen
