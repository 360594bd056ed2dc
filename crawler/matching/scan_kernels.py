"""The compiled loops that find values in folded text; `scan_fold.py` folds, `scan_views.py` has other readings.

Everything here is local: what is found at a place depends on few bytes around it, never on where a block began.

Places are addresses (`data/arrays/raw_memory.py`): `begin` and `limit` are the first byte of the text and the one behind its last.
What finds something takes and gives back `free`, where the arena is free, and `count`, the candidates so far.
The arena holds normal forms. A candidate is a word: kind (8 bits), length (8), place in the arena (24),
place in the text (24). A kind with `MINOR` is a reading that only might be meant.
"""

from __future__ import annotations

from crawler.matching.char_classes import (
    DOMAIN,
    EMAIL,
    JOIN,
    LETTER,
    LOCAL,
    RARE,
    TOKEN,
    WEAK,
    WORD,
    class_of,
    emit,
    word_end,
)
from crawler.matching.number_kernels import MINOR, SPACES, digit_groups, iban
from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import ZERO, byte, put_byte, put_word, word

TOKEN_MIN, TOKEN_MAX, TOKEN_PIECES = 8, 64, 8
LOCAL_MAX, DOMAIN_MAX = 64, 128
# the loop stops while this many candidates and bytes of the arena are free: more than one place can need
MARGIN, ARENA_MARGIN = 256, 8192
NUL, ESCAPE, MARKUP, EQUALS, LONG = 1, 2, 4, 8, 16
"""What `scan` notes beside what it finds: signs that other readings of the text say more."""

_LONG_WORD = 24
# Compressed or encrypted bytes: in every window so many are controls (28 in 256 by chance, at least 7.5 %) and high ones
# (a half, at least 40 %). What people can read, in whatever encoding or escaped, has neither.
_NOISE_LEAST, _NOISE_WINDOW = 16 * 4096, 4096
_NOISE_CONTROLS, _NOISE_HIGHS = 307, 1638


@inlined
def _tokens(
    begin: int, limit: int, at: int, end: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """The word from `at` to `end` alone and joined with up to seven that follow it, each behind one joiner."""
    length = 0
    start = at
    found = count
    for _ in range(TOKEN_PIECES):
        size = end - start
        if length + size > TOKEN_MAX:
            break
        for place in range(0, size, 8):
            # a letter or digit with this bit set is itself in lower case
            put_word(free + length + place, word(start + place) | SPACES)
        length += size
        if length >= TOKEN_MIN:
            count = emit(TOKEN | MINOR, free, length, at - begin, arena, out, count)
        if end + 1 >= limit or not class_of(classes, end) & JOIN or not class_of(classes, end + 1) & WORD:
            break
        start = end + 1
        end, _, _ = word_end(start, limit)
    return (free + length if count > found else free), count


@kernel
def _email(
    begin: int, limit: int, at: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """The address around the @ at `at`: every plausible begin of the local part, every plausible end of the domain."""
    low = at
    while low > begin and class_of(classes, low - 1) & LOCAL and at - low <= LOCAL_MAX:
        low -= 1
    if at - low > LOCAL_MAX:
        low = at - LOCAL_MAX
        while low < at and not class_of(classes, low - 1) & WEAK:
            low += 1
    while low < at and not class_of(classes, low) & WORD and byte(low) != 95:
        low += 1
    if low == at or byte(at - 1) == 46:
        return free, count
    high = at + 1
    while high < limit and class_of(classes, high) & DOMAIN and high - at <= DOMAIN_MAX:
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
                kind = EMAIL if end == high or not class_of(classes, end + 1) & WORD else EMAIL | MINOR
                start = low
                while start < at and tried < 16:
                    count = emit(kind, free + start - low, stop - start, start - begin, arena, out, count)
                    kind = EMAIL | MINOR
                    tried += 1
                    start += 1
                    while start < at and not (class_of(classes, start - 1) & WEAK and class_of(classes, start) & WORD):
                        start += 1
            dots += 1
            label = end + 1
        end += 1
    return free + high - low, count


@inlined
def _sign(char: int, at: int, limit: int) -> int:
    """What one of the rare characters is a sign of."""
    if char == 0:
        return NUL
    if char == 60 or char == 91:
        return MARKUP
    if char == 61:
        return EQUALS
    # an apostrophe only if it is doubled, as in SQL
    return ESCAPE if char != 39 or (at + 1 < limit and byte(at + 1) == 39) else 0


@kernel
def is_noise(begin: int, size: int) -> bool:
    """Whether bytes are compressed, encrypted or otherwise random throughout; False for less than 64 KiB."""
    if size < _NOISE_LEAST:
        return False
    for window in range(begin, begin + size - _NOISE_WINDOW + 1, _NOISE_WINDOW):
        controls = highs = 0
        for at in range(window, window + _NOISE_WINDOW):
            char = byte(at)
            highs += char >= 128
            controls += (char < 32) & (char != 0) & (char != 9) & (char != 10) & (char != 13)
        if controls < _NOISE_CONTROLS or highs < _NOISE_HIGHS:
            return False
    return True


@kernel
def signs(begin: int, start: int, stop: int) -> int:
    """What `scan` would note in `start..stop`, without finding anything."""
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
                seen |= _sign(char, at, begin + stop)
        elif at - since >= _LONG_WORD - 1:
            seen |= LONG
        at += 1
    return seen


@kernel
def scan(
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
    """Find what can be a value and begins in `start..stop`; what stands around that is only looked at.

    The text is `size` folded bytes at the address `begin`; start and stop are places in it, from 0; tokens are found only
    where `tokens` says so; classes and lengths
    the addresses of the two tables. The arena is room for normal forms, `out` for `most` candidates.

    Returns:
        Where to go on (stop, or less if the room is used up), the number of candidates, and what was noted.
    """
    room, full = most - MARGIN, arena + arena_size - ARENA_MARGIN
    limit, stop = begin + size, begin + stop
    count = seen = ZERO
    free = arena
    at = begin + start
    inside = at > begin and class_of(classes, at - 1) & WORD != 0
    while at < stop:
        kind = class_of(classes, at)
        if not kind & WORD:
            inside = False
            if kind & RARE:
                char = byte(at)
                if char == 64:
                    if count > room or free > full:
                        return at - begin, count, seen
                    free, count = _email(begin, limit, at, classes, arena, free, out, count)
                else:
                    seen |= _sign(char, at, limit)
            at += 1
            continue
        if count > room or free > full:
            return at - begin, count, seen
        end, letters, digits = word_end(at, limit)
        kind = class_of(classes, end) if end < limit else 0
        if end - at >= _LONG_WORD:
            seen |= LONG
        if not inside:
            if tokens and (
                end - at >= TOKEN_MIN or (kind & JOIN and end + 1 < limit and class_of(classes, end + 1) & WORD)
            ):
                free, count = _tokens(begin, limit, at, end, classes, arena, free, out, count)
            if (end - at == 2 or (letters and digits)) and class_of(classes, at) & class_of(classes, at + 1) & LETTER:
                free, count = iban(begin, limit, at, classes, lengths, arena, free, out, count)
        if digits:
            place, free, count = digit_groups(begin, limit, at, end, stop, classes, arena, full, free, out, room, count)
            if place < min(end, stop):
                return place - begin, count, seen
        inside = False
        at = end
    return stop - begin, count, seen
