"""Compiled loops that copy cells: from table rows into one column, and from two columns into one."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import put_word, word


@inlined
def copy_cell(source: U8, start: int, end: int, target: U8, at: int) -> int:
    """Copy `source[start:end]` to `target[at:]`; returns where the next cell goes."""
    place = start
    if end - start <= 32 and start + 32 <= len(source) and at + 32 <= len(target):
        # Fixed-size copies instead of a loop, whose end the processor could not predict. The next cell overwrites the
        # excess bytes.
        read, written = address(source) + start, address(target) + at
        put_word(written, word(read))
        put_word(written + 8, word(read + 8))
        if end - start > 16:
            put_word(written + 16, word(read + 16))
            put_word(written + 24, word(read + 24))
        return at + end - start
    while place < end:
        target[at + place - start] = source[place]
        place += 1
    return at + end - start


@inlined
def _less(a: U8, at_a: int, end_a: int, b: U8, at_b: int, end_b: int) -> bool:
    shorter = min(end_a - at_a, end_b - at_b)
    for i in range(shorter):
        if a[at_a + i] != b[at_b + i]:
            return bool(a[at_a + i] < b[at_b + i])
    return end_a - at_a < end_b - at_b


@inlined
def _as_signed(offset: np.uint32) -> int:
    """An offset as a signed number: numba converts mixed signed and unsigned arithmetic to floats."""
    return np.int64(offset)  # type: ignore[return-value] # numba has a single integer type


@kernel
def gather_column(blob: U8, starts: U32, ends: U32, column: int) -> tuple[U8, I64]:
    """Blob and offsets of one column; `starts` and `ends`, shape (rows, columns), locate its cells in `blob`."""
    count = len(starts)
    offsets = np.zeros(count + 1, np.int64)
    for row in range(count):
        offsets[row + 1] = offsets[row] + _as_signed(ends[row, column]) - _as_signed(starts[row, column])
    out = np.empty(offsets[count], np.uint8)
    for row in range(count):
        copy_cell(blob, _as_signed(starts[row, column]), _as_signed(ends[row, column]), out, offsets[row])
    return out, offsets


@kernel
def take_items(blob: U8, offsets: I64, items: I64) -> tuple[U8, I64]:
    """Blob and offsets of the items with these numbers, in this order."""
    cuts = np.zeros(len(items) + 1, np.int64)
    for at in range(len(items)):
        cuts[at + 1] = cuts[at] + offsets[items[at] + 1] - offsets[items[at]]
    made = np.empty(cuts[len(items)], np.uint8)
    for at in range(len(items)):
        copy_cell(blob, offsets[items[at]], offsets[items[at] + 1], made, cuts[at])
    return made, cuts


@kernel
def join_columns(a: U8, a_offsets: I64, b: U8, b_offsets: I64, ordered: bool) -> tuple[U8, I64]:
    """Blob and offsets of each `a` + 0x1F + `b`, empty if either is empty; `ordered` puts the smaller item first."""
    count = len(a_offsets) - 1
    offsets = np.zeros(count + 1, np.int64)
    for item in range(count):
        length_a = a_offsets[item + 1] - a_offsets[item]
        length_b = b_offsets[item + 1] - b_offsets[item]
        offsets[item + 1] = offsets[item] + (length_a + length_b + 1 if length_a and length_b else 0)
    blob = np.empty(offsets[count], np.uint8)
    for item in range(count):
        if offsets[item + 1] == offsets[item]:
            continue
        at_a, end_a, at_b, end_b = a_offsets[item], a_offsets[item + 1], b_offsets[item], b_offsets[item + 1]
        if ordered and _less(b, at_b, end_b, a, at_a, end_a):
            out = copy_cell(b, at_b, end_b, blob, offsets[item])
            copy_cell(a, at_a, end_a, blob, out + 1)
        else:
            out = copy_cell(a, at_a, end_a, blob, offsets[item])
            copy_cell(b, at_b, end_b, blob, out + 1)
        blob[out] = 0x1F
    return blob, offsets
