"""Compiled loops that decode the transfer encodings of mail: base64 and quoted-printable.

Arguments and results are those of `crawler.matching.fold_bytes.fold_bytes`, without the tables. The result has one
number more: how many places the loop decoded; 0 means that the view has nothing new.
"""

from __future__ import annotations

import numpy as np

from crawler.matching.decode_escapes import hex_value
from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import byte, put_byte, put_word


@kernel
def quoted_printable(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int
) -> tuple[int, int, int, int, int]:
    """Decode quoted-printable: soft line breaks, and those =XX that mail programs write; `tel=06…` stays as it is."""
    i, o, marks = source, out, 0
    limit, low, high = source + n, source + low, source + high
    low_out = high_out = -1
    while i < limit:
        if low_out < 0 and i >= low:
            low_out = o - out
        if high_out < 0 and i >= high:
            high_out = o - out
        char = byte(i)
        after = i
        if char == 61:
            value, size = hex_value(i + 1, limit, 2)
            if i + 1 < limit and byte(i + 1) == 10:
                after = i + 2
            elif i + 2 < limit and byte(i + 1) == 13 and byte(i + 2) == 10:
                after = i + 3
            elif (
                size == 2 and (value >= 0x7F or value == 9 or value == 0x20 or (value >= 0x2B and value <= 0x2F))
            ) or (size == 2 and (value == 0x3D or value == 0x40 or value == 0x5F)):
                put_byte(o, value)
                after = i + 3
        if after == i:
            put_byte(o, char)
            i += 1
            o += 1
            continue
        if byte(after - 1) != 10:
            o += 1
        i = after
        put_word(marks_out + 8 * marks, np.uint64(o - out))
        put_word(marks_in + 8 * marks, np.uint64(i - source))
        marks += 1
    if low_out < 0:
        low_out = o - out
    if high_out < 0:
        high_out = o - out
    return o - out, marks, low_out, high_out, marks


@inlined
def _base64_bits(char: int) -> int:
    """The six bits of a base64 character, of either alphabet, or -1."""
    bits = -1
    if char >= 65 and char <= 90:
        bits = char - 65
    elif char >= 97 and char <= 122:
        bits = char - 71
    elif char >= 48 and char <= 57:
        bits = char + 4
    elif char == 43 or char == 45:
        bits = 62
    elif char == 47 or char == 95:
        bits = 63
    return bits


_BASE64_MIN, _BASE64_LINE = 20, 56


@kernel
def base64(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int, phase: int
) -> tuple[int, int, int, int, int]:
    """Decode runs of base64, and leave out everything else; lines of 56 characters or more continue in the next line.

    If the view begins in the middle of a run, it is not known where a group of four characters begins. Therefore the
    first `phase` characters of that run are skipped, 0 to 3; with a phase of 1 to 3 only that run is decoded.
    """
    i, o, marks, changed = source, out, 0, 0
    limit, low, high = source + n, source + low, source + high
    low_out = high_out = -1
    first = True
    while i < limit and (first or phase == 0):
        start = i
        line = i
        while i < limit:
            if _base64_bits(byte(i)) >= 0:
                i += 1
                continue
            gap = i + 1 if byte(i) == 13 else i
            if i - line < _BASE64_LINE or gap + 1 >= limit or byte(gap) != 10 or _base64_bits(byte(gap + 1)) < 0:
                break
            i = line = gap + 1
        end = i
        if end - start >= _BASE64_MIN and not (first and phase > 0 and end - start < _BASE64_LINE):
            changed += 1
            held = bits = 0
            i = start + phase if first else start
            put_word(marks_out + 8 * marks, np.uint64(o - out))
            put_word(marks_in + 8 * marks, np.uint64(i - source))
            marks += 1
            while i < end:
                if low_out < 0 and i >= low:
                    low_out = o - out
                if high_out < 0 and i >= high:
                    high_out = o - out
                value = _base64_bits(byte(i))
                i += 1
                if value < 0:
                    continue
                held = (held << 6 | value) & 0xFFF
                bits += 6
                if bits >= 8:
                    bits -= 8
                    put_byte(o, held >> bits)
                    o += 1
                    if bits == 0:
                        put_word(marks_out + 8 * marks, np.uint64(o - out))
                        put_word(marks_in + 8 * marks, np.uint64(i - source))
                        marks += 1
            put_byte(o, 10)
            o += 1
            put_word(marks_out + 8 * marks, np.uint64(o - out))
            put_word(marks_in + 8 * marks, np.uint64(i - source))
            marks += 1
        first = False
        i = max(i, end + 1)
    if low_out < 0:
        low_out = o - out
    if high_out < 0:
        high_out = o - out
    return o - out, marks, low_out, high_out, changed
