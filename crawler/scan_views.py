"""Other readings of raw bytes: UTF-16, escapes of JSON, SQL, XML and URLs, inline markup, quoted-printable; compiled loops.

A view is bytes again, with marks that lead back to the bytes it was read from. Finding values in it is `scan_kernels.py`.

Every loop has one shape: `view(source, n, low, high, out, marks_out, marks_in)` writes to `out` and to the marks (as in
`scan_kernels.fold_bytes`) and gives back: bytes written, marks written, the places of low and high in `out`, and how many
places it read in another way than they stand there. 0 means: nothing new to see.
"""

from __future__ import annotations

from html.entities import html5

import numpy as np
from numpy.typing import NDArray

from crawler.scan_kernels import load64, store64
from data.kernels import inlined, kernel

U64 = NDArray[np.uint64]

_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_ENTITY_MAX = 32
_ENTITY_BITS = 13


def _hash(name: bytes) -> int:
    value = int(_FNV_OFFSET)
    for byte in name:
        value = (value ^ byte) * int(_FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _entities() -> U64:
    """Open addressing over HTML 5's names: the upper 43 bits of the name's hash, the code point in the lower 21; 0 is free."""
    table = np.zeros(1 << _ENTITY_BITS, np.uint64)
    for name, text in html5.items():
        if not name.endswith(";") or len(text) != 1:
            continue
        value = _hash(name[:-1].encode())
        place = value & (1 << _ENTITY_BITS) - 1
        while table[place]:
            place = place + 1 & (1 << _ENTITY_BITS) - 1
        table[place] = value & ~0x1FFFFF | ord(text)
    return table


ENTITIES = _entities()


@inlined
def _hex(byte):  # type: ignore[no-untyped-def]  # numba infers
    """The value of a hexadecimal digit, or -1."""
    value = -1
    if byte >= 48 and byte <= 57:
        value = np.int64(byte) - 48
    elif (byte | 0x20) >= 97 and (byte | 0x20) <= 102:
        value = np.int64(byte | 0x20) - 87
    return value


@kernel
def _hex_run(source, at, end, most):  # type: ignore[no-untyped-def]  # numba infers
    """Value and number of the hexadecimal digits at `at`, at most `most`."""
    value = size = 0
    while size < most and at + size < end:
        digit = _hex(source[at + size])
        if digit < 0:
            break
        value = value * 16 + digit
        size += 1
    return value, size


@kernel
def _put(point, out, o):  # type: ignore[no-untyped-def]  # numba infers
    """Write a code point as UTF-8; what is none becomes U+FFFD. Gives the place behind it."""
    if point < 0x80:
        out[o] = point
        return o + 1
    if point < 0x800:
        out[o] = 0xC0 | point >> 6
        out[o + 1] = 0x80 | (point & 0x3F)
        return o + 2
    if (point >= 0xD800 and point < 0xE000) or point > 0x10FFFF:
        point = 0xFFFD
    if point < 0x10000:
        out[o] = 0xE0 | point >> 12
        out[o + 1] = 0x80 | (point >> 6 & 0x3F)
        out[o + 2] = 0x80 | (point & 0x3F)
        return o + 3
    out[o] = 0xF0 | point >> 18
    out[o + 1] = 0x80 | (point >> 12 & 0x3F)
    out[o + 2] = 0x80 | (point >> 6 & 0x3F)
    out[o + 3] = 0x80 | (point & 0x3F)
    return o + 4


@inlined
def _plausible(unit):  # type: ignore[no-untyped-def]  # numba infers
    """UTF-16 units above U+00FF that stand in Latin text: letters, marks, dashes, quotes, spaces, full width."""
    return (
        (unit >= 0x100 and unit < 0x370)
        or (unit >= 0x1E00 and unit < 0x1F00)
        or (unit >= 0x2000 and unit < 0x2120)
        or (unit >= 0xFB00 and unit < 0xFB07)
        or unit >= 0xFEFF
    )


@kernel
def utf16(source, n, low, high, out, marks_out, marks_in):  # type: ignore[no-untyped-def]  # numba infers
    """UTF-16 of either byte order and alignment, found by its NULs; what stands around it is kept as it is."""
    i = o = marks = changed = 0
    low_out = high_out = -1
    mode = 0
    while i < n:
        if low_out < 0 and i >= low:
            low_out = o
        if high_out < 0 and i >= high:
            high_out = o
        first = np.int64(source[i])
        second = np.int64(source[i + 1]) if i + 1 < n else np.int64(-1)
        unit = -1
        if first != 0 and second == 0:
            mode = 1
            unit = first
        elif first == 0 and second > 0:
            mode = 2
            unit = second
        elif mode == 1 and second > 0 and _plausible(second << 8 | first):
            unit = second << 8 | first
        elif mode == 2 and second > 0 and _plausible(first << 8 | second):
            unit = first << 8 | second
        if unit >= 0:
            o = _put(unit, out, o)
            i += 2
            changed += 1
        else:
            mode = 0
            out[o] = first
            o += 1
            i += 1
        marks_out[marks] = o
        marks_in[marks] = i
        marks += 1
    if low_out < 0:
        low_out = o
    if high_out < 0:
        high_out = o
    return o, marks, low_out, high_out, changed


@kernel
def _backslash(source, i, n, out, o):  # type: ignore[no-untyped-def]  # numba infers
    """Read the escape at `i`: places behind it in source and out; the first is `i` if it is none."""
    byte = source[i + 1]
    if byte == 117 or byte == 85:  # u, U
        start = i + 2
        braced = start < n and source[start] == 123
        start += braced
        value, size = _hex_run(source, start, n, 6 if braced else (4 if byte == 117 else 8))
        if braced:
            if size and start + size < n and source[start + size] == 125:
                return start + size + 1, _put(value, out, o)
            return i, o
        if size < (4 if byte == 117 else 8):
            return i, o
        end = start + size
        if value >= 0xD800 and value < 0xDC00 and end + 1 < n and source[end] == 92 and source[end + 1] == 117:
            other, more = _hex_run(source, end + 2, n, 4)
            if more == 4 and other >= 0xDC00 and other < 0xE000:
                return end + 6, _put(0x10000 + ((value - 0xD800) << 10) + other - 0xDC00, out, o)
        return end, _put(value, out, o)
    if byte == 120 or byte == 88:  # x, X: a byte
        value, size = _hex_run(source, i + 2, n, 2)
        if size == 2:
            out[o] = value
            return i + 4, o + 1
        return i, o
    if byte >= 48 and byte <= 51 and i + 3 < n:
        if source[i + 2] >= 48 and source[i + 2] <= 55 and source[i + 3] >= 48 and source[i + 3] <= 55:
            out[o] = (np.int64(byte) - 48) * 64 + (np.int64(source[i + 2]) - 48) * 8 + np.int64(source[i + 3]) - 48
            return i + 4, o + 1
    if byte == 110 or byte == 114 or byte == 116 or byte == 98 or byte == 102 or byte == 118 or byte == 48 or byte == 90:
        # n r t b f v 0 Z: white space or a control character, in any case an end
        out[o] = 10
        return i + 2, o + 1
    if byte > 32 and byte < 127 and not (byte >= 48 and byte <= 57) and not ((byte | 32) >= 97 and (byte | 32) <= 122):
        # \/ \' \" \\ \- and what else is quoted
        out[o] = byte
        return i + 2, o + 1
    return i, o


@kernel
def _entity(source, i, n, entities, out, o):  # type: ignore[no-untyped-def]  # numba infers
    """Read the character reference at `i`: places behind it in source and out; the first is `i` if it is none."""
    if source[i + 1] == 35:
        value = size = 0
        at = i + 2
        if at < n and source[at] | 0x20 == 120:
            at += 1
            value, size = _hex_run(source, at, n, 6)
        else:
            while size < 7 and at + size < n and source[at + size] >= 48 and source[at + size] <= 57:
                value = value * 10 + np.int64(source[at + size]) - 48
                size += 1
        if size == 0:
            return i, o
        at += size
        if at < n and source[at] == 59:
            at += 1
        return at, _put(value, out, o)
    value = _FNV_OFFSET
    at = i + 1
    while at < n and at - i <= _ENTITY_MAX and source[at] != 59:
        byte = source[at]
        if not ((byte >= 48 and byte <= 57) or ((byte | 0x20) >= 97 and (byte | 0x20) <= 122)):
            return i, o
        value = (value ^ np.uint64(byte)) * _FNV_PRIME
        at += 1
    if at >= n or source[at] != 59 or at == i + 1:
        return i, o
    mask = np.uint64(len(entities) - 1)
    place = value & mask
    while entities[place] != 0:
        if (entities[place] ^ value) >> np.uint64(21) == 0:
            return at + 1, _put(np.int64(entities[place] & np.uint64(0x1FFFFF)), out, o)
        place = (place + np.uint64(1)) & mask
    return i, o


@kernel
def escapes(source, n, low, high, entities, out, marks_out, marks_in):  # type: ignore[no-untyped-def]
    """One round of unescaping: backslashes of JSON, SQL and programs, character references, percent signs, doubled quotes."""
    i = o = marks = changed = 0
    low_out = high_out = -1
    while i < n:
        if low_out < 0 and i >= low:
            low_out = o
        if high_out < 0 and i >= high:
            high_out = o
        byte = source[i]
        after, o_after = i, o
        if byte == 92 and i + 1 < n:
            after, o_after = _backslash(source, i, n, out, o)
        elif byte == 38 and i + 1 < n:
            after, o_after = _entity(source, i, n, entities, out, o)
        elif byte == 37:
            value, size = _hex_run(source, i + 1, n, 2)
            if size == 2:
                out[o] = value
                after, o_after = i + 3, o + 1
            elif i + 1 < n and source[i + 1] == 117:
                value, size = _hex_run(source, i + 2, n, 4)
                if size == 4:
                    after, o_after = i + 6, _put(value, out, o)
        elif byte == 39 and i + 1 < n and source[i + 1] == 39:
            out[o] = 39
            after, o_after = i + 2, o + 1
        if after == i:
            out[o] = byte
            i += 1
            o += 1
            continue
        i, o = after, o_after
        changed += 1
        marks_out[marks] = o
        marks_in[marks] = i
        marks += 1
    if low_out < 0:
        low_out = o
    if high_out < 0:
        high_out = o
    return o, marks, low_out, high_out, changed
