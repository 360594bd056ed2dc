"""A compiled loop that folds text in UTF-8 or cp1252 to ASCII, as `data.identifiers.normalise.fold` does."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import byte, put_byte, put_word, signed, word
from data.identifiers.normalise import fold
from data.identifiers.table_cache import cached_table

OTHER = 1
"""The byte that replaces a character without an ASCII reading; it is in no class of `crawler.matching.char_classes`."""

_LOW, _HIGH, _MATHS, _MATHS_SIZE = 0x3400, 0xFB00, 0x1D400, 0x400
_HIGHS = np.uint64(0x8080808080808080)


def _table_entry(character: str) -> int:
    """The ASCII reading of a character: up to three bytes from the low end, and their number in the top byte."""
    folded = fold(character)
    if len(folded) > 3 or not folded.isascii():
        folded = chr(OTHER)
    return int.from_bytes(folded.encode().ljust(3, b"\0") + bytes([len(folded)]), "little")


@cache
def fold_table() -> NDArray[np.uint32]:
    """The ASCII readings of all characters of Latin text, loaded at the first call and never compiled into code."""
    return cached_table("readings", _build_fold_table)


def _build_fold_table() -> NDArray[np.uint32]:
    points = [*range(_LOW), *range(_HIGH, 0x10000), *range(_MATHS, _MATHS + _MATHS_SIZE)]
    # two entries more, because an entry is read together with the next one
    return np.array([*(_table_entry(chr(point)) for point in points), 0, 0], np.uint32)


# the characters of all bytes in cp1252; the five bytes without a character stay control characters
CP1252 = np.array([ord(bytes([code]).decode("cp1252", "ignore") or chr(code)) for code in range(256)], np.int64)
# no value contains a ÿ: this byte is damage or a mark of UTF-16, and must not become part of the word beside it
CP1252[0xFF] = 0xFFFD


@inlined
def _read_character(at: int, limit: int, cp1252: int) -> tuple[int, int]:
    """Code point and length of the character that begins with the high byte at `at`: UTF-8 if valid, else cp1252."""
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
    """Write the ASCII reading of n bytes; letters that were ASCII keep their case.

    All arguments except n, low and high are addresses.

    Args:
        source: of the bytes.
        n: their number.
        low: a place in the source.
        high: another one; low <= high <= n.
        out: of a buffer for 3 * n bytes, which gets the reading.
        marks_out: of a buffer for n int64, which gets places in the reading.
        marks_in: of a buffer for n int64, which gets the places in the source that those were read from. Between two
            marks, both places advance together.
        table: of `fold_table()`.
        cp1252: of `CP1252`.

    Returns:
        The number of bytes written, the number of marks, and the places in the reading of the first characters that
        begin at or after low and high.
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
        point, size = _read_character(i, limit, cp1252)
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
