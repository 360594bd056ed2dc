"""Compiled loops over the first rows of a table: all cells put column after column, and what is in each of them."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32
from data.arrays.jit import inlined, kernel
from data.arrays.packed_kernels import copy_cell


@inlined
def _signed(place: np.uint32) -> int:
    """A place as a signed number: numba makes floats of the two kinds together."""
    return np.int64(place)  # type: ignore[return-value] # numba has one kind of integers


@kernel
def columns_of(blob: U8, starts: U32, ends: U32) -> tuple[U8, I64]:
    """Blob and offsets of all cells (rows, columns) that lie from `starts` to `ends` in a blob, column after column."""
    rows, columns = starts.shape
    offsets = np.zeros(rows * columns + 1, np.int64)
    for column in range(columns):
        for row in range(rows):
            item = column * rows + row
            offsets[item + 1] = offsets[item] + _signed(ends[row, column]) - _signed(starts[row, column])
    out = np.empty(offsets[rows * columns], np.uint8)
    for column in range(columns):
        for row in range(rows):
            at = offsets[column * rows + row]
            copy_cell(blob, _signed(starts[row, column]), _signed(ends[row, column]), out, at)
    return out, offsets


@kernel
def marks_of(blob: U8, offsets: I64, classes: U8) -> U8:
    """Of each item the classes that its bytes are of, together; `classes` has one for each byte."""
    count = len(offsets) - 1
    marks = np.zeros(count, np.uint8)
    for item in range(count):
        mark = np.uint8(0)
        for at in range(offsets[item], offsets[item + 1]):
            mark |= classes[blob[at]]
        marks[item] = mark
    return marks
