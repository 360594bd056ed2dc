"""Compiled loops over the first rows of a table: cells in order of columns, and the classes of bytes in each cell."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32
from data.arrays.jit import inlined, kernel
from data.arrays.packed_kernels import copy_cell


@inlined
def _signed(place: np.uint32) -> int:
    """A place as a signed number: numba converts mixed signed and unsigned arithmetic to floats."""
    return np.int64(place)  # type: ignore[return-value] # numba has one kind of integers


@kernel
def cells_by_column(blob: U8, starts: U32, ends: U32) -> tuple[U8, I64]:
    """Blob and offsets of all cells, column after column.

    Args:
        blob: holds the cells, in any order.
        starts: shape (rows, columns), where each cell begins in the blob.
        ends: shape (rows, columns), where it ends.
    """
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
def byte_classes_of_cells(blob: U8, offsets: I64, classes: U8) -> U8:
    """The classes of all bytes of each cell, as bits; shape (n,).

    Args:
        blob: n cells, one after another.
        offsets: shape (n + 1,), where each begins, and the end of the last.
        classes: shape (256,), the class bits of each byte value.
    """
    count = len(offsets) - 1
    found = np.zeros(count, np.uint8)
    for item in range(count):
        bits = np.uint8(0)
        for at in range(offsets[item], offsets[item + 1]):
            bits |= classes[blob[at]]
        found[item] = bits
    return found
