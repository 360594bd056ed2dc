"""Compiled folding of whole columns; what folds to what is said by `normalise.fold`, one letter at a time."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from data.kernels import inlined, kernel
from data.normalise import fold

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

# Letters that the table knows: Latin, Greek, Cyrillic, Hebrew, Arabic, the alphabets of India, punctuation. A column
# with others is folded by Python.
KNOWN = 0x3400
_LETTERS, _SIZE = np.uint64(1 << 55), 56
_NEWLINE, _BLANK = 10, 32


@cache
def table() -> U64:
    """For each of the first `KNOWN` letters its folded UTF-8 (7 bytes less one bit), whether all of it is letters, its length.

    The length is in the top byte; 255 stands for a letter that the table does not know.
    """
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
    for item in range(len(offsets) - 1):
        at, end = offsets[item], offsets[item + 1]
        while at < end:
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
            word = words[point]
            length = int(word >> np.uint64(_SIZE))
            if length == 255:
                return -1
            at += size
            if letters_only and word & _LETTERS == np.uint64(0):
                continue
            for _ in range(length):
                out[used] = np.uint8(word & np.uint64(0x7F if length == 7 else 0xFF))
                word >>= np.uint64(8)
                used += 1
        if not letters_only:
            out[used] = _NEWLINE
            used += 1
        ends[item + 1] = used
    return used
