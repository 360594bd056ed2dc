"""A compiled loop that undoes escapes: backslashes, character references, percent signs and doubled quotes.

Arguments and results are those of `crawler.matching.fold_bytes.fold_bytes`, with a table of its own. The result has one
number more: how many places the loop decoded; 0 means that the view equals its source.
"""

from __future__ import annotations

from html.entities import html5

import numpy as np
from numpy.typing import NDArray

from crawler.matching.decode_utf16 import put_code_point
from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import byte, put_byte, put_word, signed, word

_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_POINT_BITS = 21
_ENTITY_MAX = 32
_ENTITY_MASK = (1 << 13) - 1


def _hash(name: bytes) -> int:
    """The FNV-1a hash of a name, as `_entity` computes it."""
    value = int(_FNV_OFFSET)
    for char in name:
        value = (value ^ char) * int(_FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _entities() -> NDArray[np.uint64]:
    """A hash table of the names of HTML 5 with open addressing.

    An entry is the upper 43 bits of a name's hash and, in the lower 21 bits, its code point; 0 is a free place.
    """
    table = np.zeros(_ENTITY_MASK + 1, np.uint64)
    for name, text in html5.items():
        if not name.endswith(";") or len(text) != 1:
            continue
        value = _hash(name[:-1].encode())
        place = value & _ENTITY_MASK
        while table[place]:
            place = place + 1 & _ENTITY_MASK
        table[place] = value >> _POINT_BITS << _POINT_BITS | ord(text)
    return table


ENTITIES = _entities()


@inlined
def _hex_digit(char: int) -> int:
    """The value of a hexadecimal digit, or -1."""
    value = -1
    if char >= 48 and char <= 57:
        value = char - 48
    elif (char | 0x20) >= 97 and (char | 0x20) <= 102:
        value = (char | 0x20) - 87
    return value


@kernel
def hex_value(at: int, limit: int, most: int) -> tuple[int, int]:
    """The value of the hexadecimal digits at `at`, and their number; at most `most` are read."""
    value = size = 0
    while size < most and at + size < limit:
        digit = _hex_digit(byte(at + size))
        if digit < 0:
            break
        value = value * 16 + digit
        size += 1
    return value, size


@kernel
def _backslash(i: int, limit: int, o: int) -> tuple[int, int]:
    """Decode the escape at `i`: the places after it in source and output; the first is `i` if there is no escape."""
    char = byte(i + 1)
    if char == 117 or char == 85:  # u, U
        start = i + 2
        if start < limit and byte(start) == 123:
            value, size = hex_value(start + 1, limit, 6)
            end = start + 1 + size
            if size > 0 and end < limit and byte(end) == 125:
                return end + 1, put_code_point(value, o)
            return i, o
        wanted = 4 if char == 117 else 8
        value, size = hex_value(start, limit, wanted)
        if size < wanted:
            return i, o
        end = start + size
        if value >= 0xD800 and value < 0xDC00 and end + 1 < limit and byte(end) == 92 and byte(end + 1) == 117:
            other, size = hex_value(end + 2, limit, 4)
            if size == 4 and other >= 0xDC00 and other < 0xE000:
                return end + 6, put_code_point(0x10000 + ((value - 0xD800) << 10) + other - 0xDC00, o)
        return end, put_code_point(value, o)
    if char == 120 or char == 88:  # x, X: one byte
        value, size = hex_value(i + 2, limit, 2)
        if size < 2:
            return i, o
        put_byte(o, value)
        return i + 4, o + 1
    if char >= 48 and char <= 51 and i + 3 < limit:
        eights, ones = byte(i + 2) - 48, byte(i + 3) - 48
        if eights >= 0 and eights <= 7 and ones >= 0 and ones <= 7:
            put_byte(o, (char - 48) * 64 + eights * 8 + ones)
            return i + 4, o + 1
    if (
        char == 110
        or char == 114
        or char == 116
        or char == 98
        or char == 102
        or char == 118
        or char == 48
        or char == 90
    ):
        # n r t b f v 0 Z: white space or a control character, which ends a value in any case
        put_byte(o, 10)
        return i + 2, o + 1
    if char > 32 and char < 127 and not (char >= 48 and char <= 57) and not ((char | 32) >= 97 and (char | 32) <= 122):
        # \/ \' \" \\ \- and all other quoted signs
        put_byte(o, char)
        return i + 2, o + 1
    return i, o


@kernel
def _entity(i: int, limit: int, o: int, entities: int) -> tuple[int, int]:
    """Decode the character reference at `i`: the places after it in source and output; the first is `i` without one."""
    at = i + 1
    if byte(at) == 35:
        at += 1
        value = size = 0
        if at < limit and byte(at) | 0x20 == 120:
            at += 1
            value, size = hex_value(at, limit, 6)
        else:
            while size < 7 and at + size < limit and byte(at + size) >= 48 and byte(at + size) <= 57:
                value = value * 10 + byte(at + size) - 48
                size += 1
        if size == 0:
            return i, o
        at += size
        if at < limit and byte(at) == 59:
            at += 1
        return at, put_code_point(value, o)
    mixed = _FNV_OFFSET
    while at < limit and at - i <= _ENTITY_MAX and byte(at) != 59:
        char = byte(at)
        if not ((char >= 48 and char <= 57) or ((char | 0x20) >= 97 and (char | 0x20) <= 122)):
            return i, o
        mixed = (mixed ^ np.uint64(char)) * _FNV_PRIME
        at += 1
    if at >= limit or byte(at) != 59 or at == i + 1:
        return i, o
    place = signed(mixed) & _ENTITY_MASK
    entry = word(entities + 8 * place)
    while entry != np.uint64(0):
        if (entry ^ mixed) >> np.uint64(_POINT_BITS) == np.uint64(0):
            return at + 1, put_code_point(signed(entry & np.uint64((1 << _POINT_BITS) - 1)), o)
        place = (place + 1) & _ENTITY_MASK
        entry = word(entities + 8 * place)
    return i, o


@kernel
def escapes(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int, entities: int
) -> tuple[int, int, int, int, int]:
    """Undo one round of escapes: backslashes, character references, percent signs, doubled quotes."""
    i, o, marks = source, out, 0
    limit, low, high = source + n, source + low, source + high
    low_out = high_out = -1
    while i < limit:
        if low_out < 0 and i >= low:
            low_out = o - out
        if high_out < 0 and i >= high:
            high_out = o - out
        char = byte(i)
        after, o_after = i, o
        if char == 92 and i + 1 < limit:
            after, o_after = _backslash(i, limit, o)
        elif char == 38 and i + 1 < limit:
            after, o_after = _entity(i, limit, o, entities)
        elif char == 37:
            value, size = hex_value(i + 1, limit, 2)
            if size == 2:
                put_byte(o, value)
                after, o_after = i + 3, o + 1
            elif i + 1 < limit and byte(i + 1) == 117:
                value, size = hex_value(i + 2, limit, 4)
                if size == 4:
                    after, o_after = i + 6, put_code_point(value, o)
        elif char == 39 and i + 1 < limit and byte(i + 1) == 39:
            put_byte(o, 39)
            after, o_after = i + 2, o + 1
        if after == i:
            put_byte(o, char)
            i += 1
            o += 1
            continue
        i, o = after, o_after
        put_word(marks_out + 8 * marks, np.uint64(o - out))
        put_word(marks_in + 8 * marks, np.uint64(i - source))
        marks += 1
    if low_out < 0:
        low_out = o - out
    if high_out < 0:
        high_out = o - out
    return o - out, marks, low_out, high_out, marks
