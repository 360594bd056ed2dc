"""A compiled loop that reads UTF-16 of either byte order among other bytes, and writes it as UTF-8.

Arguments and results are those of `crawler.matching.fold_bytes.fold_bytes`, without the tables. The result has one
number more: how many places the loop decoded; 0 means that the view equals its source.
"""

from __future__ import annotations

import numpy as np

from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import byte, put_byte, put_word


@kernel
def put_code_point(point: int, o: int) -> int:
    """Write a code point at `o` as UTF-8, U+FFFD if it is invalid; returns the place after it."""
    if point < 0x80:
        put_byte(o, point)
        return o + 1
    if point < 0x800:
        put_byte(o, 0xC0 | point >> 6)
        put_byte(o + 1, 0x80 | (point & 0x3F))
        return o + 2
    if (point >= 0xD800 and point < 0xE000) or point > 0x10FFFF:
        point = 0xFFFD
    if point < 0x10000:
        put_byte(o, 0xE0 | point >> 12)
        put_byte(o + 1, 0x80 | (point >> 6 & 0x3F))
        put_byte(o + 2, 0x80 | (point & 0x3F))
        return o + 3
    put_byte(o, 0xF0 | point >> 18)
    put_byte(o + 1, 0x80 | (point >> 12 & 0x3F))
    put_byte(o + 2, 0x80 | (point >> 6 & 0x3F))
    put_byte(o + 3, 0x80 | (point & 0x3F))
    return o + 4


@inlined
def _is_in_latin_text(unit: int) -> bool:
    """Whether a unit above U+00FF occurs in Latin text: letters, marks, dashes, quotes, spaces, full-width forms."""
    return (
        (unit >= 0x100 and unit < 0x370)
        or (unit >= 0x1E00 and unit < 0x1F00)
        or (unit >= 0x2000 and unit < 0x2120)
        or (unit >= 0xFB00 and unit < 0xFB07)
        or unit >= 0xFEFF
    )


@inlined
def _is_page_of_letters(high: int) -> bool:
    """Whether a byte is the upper half of letters of Latin text, and no text if read in the other byte order."""
    return high == 1 or high == 2 or high == 3 or high == 0x1E


@kernel
def utf16(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int
) -> tuple[int, int, int, int, int]:
    """Decode UTF-16 of either byte order and alignment, recognised by its NULs; other bytes are kept as they are."""
    i, o, marks, changed = source, out, 0, 0
    limit, low, high = source + n, source + low, source + high
    low_out = high_out = -1
    # 1 inside little-endian text, 2 inside big-endian text
    mode = 0
    while i < limit:
        if low_out < 0 and i >= low:
            low_out = o - out
        if high_out < 0 and i >= high:
            high_out = o - out
        first = byte(i)
        second = byte(i + 1) if i + 1 < limit else -1
        unit = -1
        if (first == 0xFF and second == 0xFE) or (first == 0xFE and second == 0xFF):
            mode, unit = (1 if first == 0xFF else 2), 0xFEFF
        elif mode == 1 and first == 0 and _is_page_of_letters(second):
            unit = second << 8
        elif mode == 2 and second == 0 and _is_page_of_letters(first):
            unit = first << 8
        elif first != 0 and second == 0:
            mode, unit = 1, first
        elif first == 0 and second > 0:
            mode, unit = 2, second
        elif mode == 1 and second > 0 and _is_in_latin_text(second << 8 | first):
            unit = second << 8 | first
        elif mode == 2 and second > 0 and _is_in_latin_text(first << 8 | second):
            unit = first << 8 | second
        if unit >= 0:
            o = put_code_point(unit, o)
            i += 2
            changed += 1
        else:
            mode = 0
            put_byte(o, first)
            o += 1
            i += 1
        put_word(marks_out + 8 * marks, np.uint64(o - out))
        put_word(marks_in + 8 * marks, np.uint64(i - source))
        marks += 1
    if low_out < 0:
        low_out = o - out
    if high_out < 0:
        high_out = o - out
    return o - out, marks, low_out, high_out, changed
