"""Compiled folding of whole columns; what folds to what is said by `normalise.fold`, one letter at a time."""

from __future__ import annotations

from functools import cache

import numpy as np

from data.arrays.array_types import I64, U8, U64
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import put_word, word
from data.identifiers.normalise import fold
from data.identifiers.table_cache import kept

# Letters that the table knows: Latin, Greek, Cyrillic, Hebrew, Arabic, the alphabets of India, punctuation. A column
# with others is folded by Python.
KNOWN = 0x3400
_LETTERS, _SIZE = np.uint64(1 << 55), 56
_NEWLINE, _BLANK = 10, 32
# a byte in every place of a word: its top bit, 10, and what lifts a letter or what follows it into the top bit
_HIGH, _LOW = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
_NEWLINES = np.uint64(_NEWLINE * 0x0101010101010101)
_FROM_A, _BEHIND_Z = np.uint64((128 - 65) * 0x0101010101010101), np.uint64((128 - 91) * 0x0101010101010101)
_SMALL = np.uint64(0x2020202020202020)
_ZERO = np.uint64(0)
_ALL_BYTES = np.uint64(0xFFFFFFFFFFFFFFFF)


@cache
def table() -> U64:
    """For each of the first `KNOWN` letters its folded UTF-8 (7 bytes less one bit), whether all of it is letters, its length.

    The length is in the top byte; 255 stands for a letter that the table does not know.
    """
    return kept("folded", _table)


def _table() -> U64:
    words = np.zeros(KNOWN, np.uint64)
    for point in range(KNOWN):
        text = fold(chr(point))
        form = text.encode("utf-8", "replace")
        if len(form) > 6 or (text != "" and text.isalpha() != any(map(str.isalpha, text))):
            words[point] = np.uint64(255 << _SIZE)
            continue
        packed = int.from_bytes(form, "little") | len(form) << _SIZE
        words[point] = np.uint64(packed | (int(_LETTERS) if text.isalpha() else 0))
    return words


@inlined
def _symbol(blob: U8, at: int, end: int) -> tuple[int, int]:
    """Code point and length of the UTF-8 letter of several bytes at `at`; (-1, 1) for none that is sound."""
    first = int(blob[at])
    size = 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if 0xF0 <= first < 0xF5 else 0
    if size == 0 or at + size > end:
        return -1, 1
    point = first & (0x7F >> size)
    for place in range(at + 1, at + size):
        char = int(blob[place])
        if char & 0xC0 != 0x80:
            return -1, 1
        point = point << 6 | (char & 0x3F)
    if (size == 3 and (point < 0x800 or 0xD800 <= point < 0xE000)) or (size == 4 and point < 0x10000):
        return -1, 1
    return point, size


@inlined
def _capitals(chars: np.uint64) -> np.uint64:
    """The top bit of every byte that is a capital letter; all bytes are ASCII."""
    return ((chars + _FROM_A) ^ (chars + _BEHIND_Z)) & _HIGH


@kernel
def fold_cells(blob: U8, offsets: I64, words: U64, letters_only: bool, out: U8, ends: I64) -> int:
    """Fold every cell.

    Args:
        blob: of the column.
        offsets: shape (n + 1,), of the cells.
        words: of `table`.
        letters_only: keep only letters, as names do; else cells keep all, with a line end behind each, and a line end
            within one becomes a space.
        out: room for three bytes for each of `blob`, and one for each cell.
        ends: shape (n + 1,), filled with where the cells end in `out`.

    Returns:
        How many bytes of `out` were used, or -1: there is a letter that only `normalise.fold` knows.
    """
    used = 0
    ends[0] = 0
    at_blob, at_out = address(blob), address(out)
    for item in range(len(offsets) - 1):
        at, end = offsets[item], offsets[item + 1]
        while at < end:
            if at + 8 <= len(blob):
                # eight at once where nothing is to be done but to make capitals small
                size = min(8, end - at)
                mask = _ALL_BYTES >> np.uint64(64 - 8 * size)
                chars = word(at_blob + at) & mask
                lines = chars ^ _NEWLINES
                if letters_only:
                    plain = _capitals(chars & ~_SMALL & ~_HIGH) == _HIGH & mask
                else:
                    plain = (lines - _LOW) & ~lines & _HIGH == _ZERO
                if plain and chars & _HIGH == _ZERO:
                    put_word(at_out + used, chars | _capitals(chars) >> np.uint64(2))
                    at += size
                    used += size
                    continue
            char = blob[at]
            if char < 128:
                at += 1
                small = char | 0x20
                if 97 <= small <= 122:
                    out[used] = small
                    used += 1
                elif not letters_only:
                    out[used] = _BLANK if char == _NEWLINE else char
                    used += 1
                continue
            point, size = _symbol(blob, at, end)
            if point < 0 or point >= KNOWN:
                return -1
            form = words[point]
            length = int(form >> np.uint64(_SIZE))
            if length == 255:
                return -1
            at += size
            if letters_only and form & _LETTERS == np.uint64(0):
                continue
            for _ in range(length):
                out[used] = np.uint8(form & np.uint64(0x7F if length == 7 else 0xFF))
                form >>= np.uint64(8)
                used += 1
        if not letters_only:
            out[used] = _NEWLINE
            used += 1
        ends[item + 1] = used
    return used
