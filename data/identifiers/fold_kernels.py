"""Compiled folding of whole columns; `normalise.fold` defines the folded form of each letter."""

from __future__ import annotations

from functools import cache

import numpy as np

from data.arrays.array_types import I64, U8, U64
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import put_word, word
from data.identifiers.normalise import fold
from data.identifiers.table_cache import cached_table

# The table covers the first code points: Latin, Greek, Cyrillic, Hebrew, Arabic, the alphabets of India, punctuation.
# A column with other letters is folded by Python.
TABLE_SIZE = 0x3400
_IS_LETTERS, _LENGTH_SHIFT, _NOT_IN_TABLE = np.uint64(1 << 55), 56, 255
_NEWLINE, _BLANK = 10, 32
# Constants for eight bytes at once, each with one value repeated in all eight bytes: the top bit, the lowest bit, the
# line end, the numbers that carry 'A', or the byte after 'Z', into the top bit, and the bit of lower-case letters.
_TOP_BITS, _LOW_BITS = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
_NEWLINES = np.uint64(_NEWLINE * 0x0101010101010101)
_FROM_A, _AFTER_Z = np.uint64((128 - 65) * 0x0101010101010101), np.uint64((128 - 91) * 0x0101010101010101)
_TO_LOWER = np.uint64(0x2020202020202020)
_ZERO = np.uint64(0)
_ALL_BYTES = np.uint64(0xFFFFFFFFFFFFFFFF)


@cache
def folding_table() -> U64:
    """The folded form of each of the first `TABLE_SIZE` code points, one 64-bit word each.

    The low bytes hold the folded UTF-8 (at most 6 bytes), bit 55 whether all of it is letters, the top byte its length
    in bytes. The length 255 marks a letter that the table cannot hold.
    """
    return cached_table("folded", _make_folding_table)


def _make_folding_table() -> U64:
    words = np.zeros(TABLE_SIZE, np.uint64)
    for point in range(TABLE_SIZE):
        text = fold(chr(point))
        form = text.encode("utf-8", "replace")
        if len(form) > 6 or (text != "" and text.isalpha() != any(map(str.isalpha, text))):
            words[point] = np.uint64(_NOT_IN_TABLE << _LENGTH_SHIFT)
            continue
        entry = int.from_bytes(form, "little") | len(form) << _LENGTH_SHIFT
        words[point] = np.uint64(entry | (int(_IS_LETTERS) if text.isalpha() else 0))
    return words


@inlined
def _decode_code_point(blob: U8, at: int, end: int) -> tuple[int, int]:
    """Code point and length in bytes of the UTF-8 sequence of two to four bytes at `at`; (-1, 1) if it is invalid."""
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
    """Sets the top bit of every byte that is a capital letter; all bytes must be ASCII."""
    return ((chars + _FROM_A) ^ (chars + _AFTER_Z)) & _TOP_BITS


@kernel
def fold_cells(blob: U8, offsets: I64, words: U64, letters_only: bool, out: U8, ends: I64) -> int:
    """Fold every cell of a column.

    Args:
        blob: bytes of the column.
        offsets: shape (n + 1,), where the cells begin in `blob`.
        words: the table of `folding_table`.
        letters_only: keep only letters, for names. Otherwise everything is kept, a line end is written after each cell,
            and a line end within a cell becomes a space.
        out: room for three bytes for each byte of `blob`, and one for each cell.
        ends: shape (n + 1,), filled with where the cells end in `out`.

    Returns:
        How many bytes of `out` were used; -1 if a letter is not in the table, so that `normalise.fold` must fold the
        column.
    """
    used = 0
    ends[0] = 0
    at_blob, at_out = address(blob), address(out)
    for item in range(len(offsets) - 1):
        at, end = offsets[item], offsets[item + 1]
        while at < end:
            if at + 8 <= len(blob):
                # eight bytes at once where nothing needs to change except capitals to lower case
                size = min(8, end - at)
                mask = _ALL_BYTES >> np.uint64(64 - 8 * size)
                chars = word(at_blob + at) & mask
                lines = chars ^ _NEWLINES
                if letters_only:
                    plain = _capitals(chars & ~_TO_LOWER & ~_TOP_BITS) == _TOP_BITS & mask
                else:
                    plain = (lines - _LOW_BITS) & ~lines & _TOP_BITS == _ZERO
                if plain and chars & _TOP_BITS == _ZERO:
                    put_word(at_out + used, chars | _capitals(chars) >> np.uint64(2))
                    at += size
                    used += size
                    continue
            char = blob[at]
            if char < 128:
                at += 1
                lower = char | 0x20
                if 97 <= lower <= 122:
                    out[used] = lower
                    used += 1
                elif not letters_only:
                    out[used] = _BLANK if char == _NEWLINE else char
                    used += 1
                continue
            point, size = _decode_code_point(blob, at, end)
            if point < 0 or point >= TABLE_SIZE:
                return -1
            form = words[point]
            length = int(form >> np.uint64(_LENGTH_SHIFT))
            if length == _NOT_IN_TABLE:
                return -1
            at += size
            if letters_only and form & _IS_LETTERS == np.uint64(0):
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
