"""Other readings of the same bytes: UTF-16, escapes, inline markup, quoted-printable, base64; compiled loops.

A view is bytes again, with marks that lead back to the bytes it was read from. Every loop takes what
`scan_fold.fold_bytes` takes (with its own tables) and gives back what it gives, and how many places it read in another
way than they stand there: 0 means that there is nothing new to see. All places are addresses (`data/arrays/raw_memory.py`).
"""

from __future__ import annotations

from html.entities import html5

import numpy as np
from numpy.typing import NDArray

from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import byte, put_byte, put_word, signed, word

_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_POINT_BITS = 21
_ENTITY_MAX = 32
_ENTITY_MASK = (1 << 13) - 1


def _hash(name: bytes) -> int:
    value = int(_FNV_OFFSET)
    for char in name:
        value = (value ^ char) * int(_FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _entities() -> NDArray[np.uint64]:
    """Open addressing over HTML 5's names: the upper 43 bits of a name's hash and, below, its code point; 0 is free."""
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
def _digit(char: int) -> int:
    """The value of a hexadecimal digit, or -1."""
    value = -1
    if char >= 48 and char <= 57:
        value = char - 48
    elif (char | 0x20) >= 97 and (char | 0x20) <= 102:
        value = (char | 0x20) - 87
    return value


@kernel
def hex_value(at: int, limit: int, most: int) -> tuple[int, int]:
    """Value and number of the hexadecimal digits at `at`, at most `most`."""
    value = size = 0
    while size < most and at + size < limit:
        digit = _digit(byte(at + size))
        if digit < 0:
            break
        value = value * 16 + digit
        size += 1
    return value, size


@kernel
def _put(point: int, o: int) -> int:
    """Write a code point as UTF-8, U+FFFD for what is none; gives the place behind it."""
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
def _latin(unit: int) -> bool:
    """UTF-16 units above U+00FF that stand in Latin text: letters, marks, dashes, quotes, spaces, full width."""
    return (
        (unit >= 0x100 and unit < 0x370)
        or (unit >= 0x1E00 and unit < 0x1F00)
        or (unit >= 0x2000 and unit < 0x2120)
        or (unit >= 0xFB00 and unit < 0xFB07)
        or unit >= 0xFEFF
    )


@inlined
def _page(high: int) -> bool:
    """Upper halves of such units that are no text themselves, were they characters of the other byte order."""
    return high == 1 or high == 2 or high == 3 or high == 0x1E


@kernel
def utf16(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int
) -> tuple[int, int, int, int, int]:
    """UTF-16 of either byte order and alignment, known by its NULs; what stands around it is kept as it is."""
    i, o, marks, changed = source, out, 0, 0
    limit, low, high = source + n, source + low, source + high
    low_out = high_out = -1
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
        elif mode == 1 and first == 0 and _page(second):
            unit = second << 8
        elif mode == 2 and second == 0 and _page(first):
            unit = first << 8
        elif first != 0 and second == 0:
            mode, unit = 1, first
        elif first == 0 and second > 0:
            mode, unit = 2, second
        elif mode == 1 and second > 0 and _latin(second << 8 | first):
            unit = second << 8 | first
        elif mode == 2 and second > 0 and _latin(first << 8 | second):
            unit = first << 8 | second
        if unit >= 0:
            o = _put(unit, o)
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


@kernel
def _backslash(i: int, limit: int, o: int) -> tuple[int, int]:
    """Read the escape at `i`: the places behind it in source and out; the first is `i` if it is none."""
    char = byte(i + 1)
    if char == 117 or char == 85:  # u, U
        start = i + 2
        if start < limit and byte(start) == 123:
            value, size = hex_value(start + 1, limit, 6)
            end = start + 1 + size
            if size > 0 and end < limit and byte(end) == 125:
                return end + 1, _put(value, o)
            return i, o
        wanted = 4 if char == 117 else 8
        value, size = hex_value(start, limit, wanted)
        if size < wanted:
            return i, o
        end = start + size
        if value >= 0xD800 and value < 0xDC00 and end + 1 < limit and byte(end) == 92 and byte(end + 1) == 117:
            other, size = hex_value(end + 2, limit, 4)
            if size == 4 and other >= 0xDC00 and other < 0xE000:
                return end + 6, _put(0x10000 + ((value - 0xD800) << 10) + other - 0xDC00, o)
        return end, _put(value, o)
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
        # n r t b f v 0 Z: white space or a control character, an end in any case
        put_byte(o, 10)
        return i + 2, o + 1
    if char > 32 and char < 127 and not (char >= 48 and char <= 57) and not ((char | 32) >= 97 and (char | 32) <= 122):
        # \/ \' \" \\ \- and what else is quoted
        put_byte(o, char)
        return i + 2, o + 1
    return i, o


@kernel
def _entity(i: int, limit: int, o: int, entities: int) -> tuple[int, int]:
    """Read the character reference at `i`: the places behind it in source and out; the first is `i` if it is none."""
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
        return at, _put(value, o)
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
            return at + 1, _put(signed(entry & np.uint64((1 << _POINT_BITS) - 1)), o)
        place = (place + 1) & _ENTITY_MASK
        entry = word(entities + 8 * place)
    return i, o


@kernel
def escapes(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int, entities: int
) -> tuple[int, int, int, int, int]:
    """One round of unescaping: backslashes, character references, percent signs, doubled quotes."""
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
                    after, o_after = i + 6, _put(value, o)
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


_INLINE = (
    "a abbr b big bdi bdo cite code color center del dfn em email font i ins kbd left mark q right s samp "
    "small size span strike strong sub sup tt u url var wbr"
)


def _inline() -> NDArray[np.uint64]:
    """Names of tags that stand inside words and values, each as eight bytes padded with NUL, and a 0."""
    names = _INLINE.split()
    return np.array([*(int.from_bytes(name.encode(), "little") for name in names), 0], np.uint64)


INLINE = _inline()
_TAG_MAX = 256


@kernel
def _tag_end(i: int, limit: int, inline: int) -> int:
    """The place behind the inline tag or comment that begins at `i`, or `i` if it is none."""
    close = 62 if byte(i) == 60 else 93
    at = i + 1
    last = min(limit, i + _TAG_MAX)
    if close == 62 and at + 3 < last and byte(at) == 33 and byte(at + 1) == 45 and byte(at + 2) == 45:
        at += 3
        while at + 2 < last:
            if byte(at) == 45 and byte(at + 1) == 45 and byte(at + 2) == 62:
                return at + 3
            at += 1
        return i
    if at < last and byte(at) == 47:
        at += 1
    name = np.uint64(0)
    size = 0
    while at < last and size < 8 and (byte(at) | 32) >= 97 and (byte(at) | 32) <= 122:
        name |= np.uint64(byte(at) | 32) << np.uint64(8 * size)
        size += 1
        at += 1
    if size == 0 or at >= last:
        return i
    entry = word(inline)
    while entry != np.uint64(0) and entry != name:
        inline += 8
        entry = word(inline)
    char = byte(at)
    if entry == np.uint64(0) or not (char == close or char == 32 or char == 47 or char == 61 or char == 10):
        return i
    while at < last and byte(at) != close:
        if byte(at) == 60:
            return i
        at += 1
    return at + 1 if at < last else i


@kernel
def markup(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int, inline: int
) -> tuple[int, int, int, int, int]:
    """Without comments and the tags that stand inside of words: `<b>` and `[b]`, but not `<td>`."""
    i, o, marks = source, out, 0
    limit, low, high = source + n, source + low, source + high
    low_out = high_out = -1
    while i < limit:
        if low_out < 0 and i >= low:
            low_out = o - out
        if high_out < 0 and i >= high:
            high_out = o - out
        char = byte(i)
        after = _tag_end(i, limit, inline) if char == 60 or char == 91 else i
        if after == i:
            put_byte(o, char)
            i += 1
            o += 1
            continue
        i = after
        put_word(marks_out + 8 * marks, np.uint64(o - out))
        put_word(marks_in + 8 * marks, np.uint64(i - source))
        marks += 1
    if low_out < 0:
        low_out = o - out
    if high_out < 0:
        high_out = o - out
    return o - out, marks, low_out, high_out, marks
