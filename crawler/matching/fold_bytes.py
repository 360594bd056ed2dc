"""From bytes in UTF-8 or cp1252 to the ASCII they fold to, compiled; what folds to what is said by `data.identifiers.normalise`."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import byte, put_byte, put_word, signed, word
from data.identifiers.normalise import fold
from data.identifiers.table_cache import cached_table

OTHER = 1
"""The byte that stands for a symbol without an ASCII reading; no class of `scan_kernels` has it."""

_LOW, _HIGH, _MATHS, _MATHS_SIZE = 0x3400, 0xFB00, 0x1D400, 0x400
_HIGHS = np.uint64(0x8080808080808080)


def _packed(character: str) -> int:
    """Up to three ASCII bytes from the low end, their number in the top byte."""
    folded = fold(character)
    if len(folded) > 3 or not folded.isascii():
        folded = chr(OTHER)
    return int.from_bytes(folded.encode().ljust(3, b"\0") + bytes([len(folded)]), "little")


@cache
def fold_table() -> NDArray[np.uint32]:
    """The ASCII readings of symbols of Latin text; loaded when first asked for, and never frozen into compiled code."""
    return cached_table("readings", _readings)


def _readings() -> NDArray[np.uint32]:
    points = [*range(_LOW), *range(_HIGH, 0x10000), *range(_MATHS, _MATHS + _MATHS_SIZE)]
    # two entries more: one is read with the one behind it
    return np.array([*(_packed(chr(point)) for point in points), 0, 0], np.uint32)


# what the bytes 80..9F mean in cp1252; the five it leaves open stay control characters
CP1252 = np.array([ord(bytes([code]).decode("cp1252", "ignore") or chr(code)) for code in range(256)], np.int64)
# no word of a value has a ÿ: the byte is damage, or a mark of UTF-16, and must not stick to what stands beside it
CP1252[0xFF] = 0xFFFD


@inlined
def _symbol(at: int, limit: int, cp1252: int) -> tuple[int, int]:
    """Code point and length of the symbol that begins with the high byte at `at`: UTF-8 where valid, else cp1252."""
    first = byte(at)
    if first >= 0xC2 and first < 0xF5:
        size = 2 + (first >= 0xE0) + (first >= 0xF0)
        if at + size <= limit:
            point = first & (0x7F >> size)
            valid = True
            for place in range(at + 1, at + size):
                valid &= byte(place) & 0xC0 == 0x80
                point = point << 6 | (byte(place) & 0x3F)
            if valid:
                return point, size
    return signed(word(cp1252 + 8 * first)), 1


@kernel
def fold_bytes(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int, table: int, cp1252: int
) -> tuple[int, int, int, int]:
    """Write the ASCII reading of n bytes at `source`; letters that were ASCII keep their case.

    All arguments but n, low and high are addresses: `out` of room for 3 * n bytes, marks_out and marks_in of n int64
    each, which get places of the reading and the places in the source that they came from (between two marks both run
    in step), table and cp1252 of `fold_table()` and `CP1252`. low <= high <= n are places in the source.

    Returns:
        Bytes and marks written, and where in the reading the symbols that begin at or behind low and high begin.
    """
    i, o, marks = source, out, 0
    limit, low, high = source + n, source + low, source + high
    low_out = high_out = -1
    while i < limit:
        part = word(i)
        if part & _HIGHS == np.uint64(0) and i + 8 <= limit:
            put_word(o, part)
            if low_out < 0 and i + 8 > low:
                low_out = o + max(low - i, 0) - out
            if high_out < 0 and i + 8 > high:
                high_out = o + max(high - i, 0) - out
            i += 8
            o += 8
            continue
        if low_out < 0 and i >= low:
            low_out = o - out
        if high_out < 0 and i >= high:
            high_out = o - out
        char = byte(i)
        if char < 0x80:
            put_byte(o, char)
            i += 1
            o += 1
            continue
        point, size = _symbol(i, limit, cp1252)
        index = -1
        if point < _LOW:
            index = point
        elif point >= _HIGH and point < 0x10000:
            index = point - _HIGH + _LOW
        elif point >= _MATHS and point < _MATHS + _MATHS_SIZE:
            index = point - _MATHS + _LOW + 0x10000 - _HIGH
        if index >= 0:
            part = word(table + 4 * index)
            put_word(o, part & np.uint64(0xFFFFFF))
            o += signed(part >> np.uint64(24)) & 0xFF
        else:
            put_byte(o, OTHER)
            o += 1
        i += size
        put_word(marks_out + 8 * marks, np.uint64(o - out))
        put_word(marks_in + 8 * marks, np.uint64(i - source))
        marks += 1
    if low_out < 0:
        low_out = o - out
    if high_out < 0:
        high_out = o - out
    return o - out, marks, low_out, high_out
