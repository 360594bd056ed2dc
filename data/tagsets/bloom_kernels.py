"""Compiled loops over a bitmap of tags; what it is for is said by `data.tagsets.bloom_filter`."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U64, Bools
from data.arrays.jit import address, kernel
from data.arrays.raw_memory import prefetch, signed, word

# how far ahead the words of tags are asked for
_AHEAD = 32
_IN_WORD, _ONE = np.uint64(63), np.uint64(1)


@kernel
def fill(tags: U64, bits: int, bitmap: U64) -> None:
    """Set two bits of a word for every tag, all of which its first `bits + 6` bits tell; as in `data.tagsets.tagset_kernels`."""
    shift = np.uint64(70 - bits)
    one, other = np.uint64(64 - bits), np.uint64(58 - bits)
    for tag in tags:
        bitmap[signed(tag >> shift)] |= _ONE << (tag >> one & _IN_WORD) | _ONE << (tag >> other & _IN_WORD)


@kernel
def passing(tags: U64, column: int, found: Bools, bits: int, bitmap: U64) -> I64:
    """Rows of a column whose tags have both their bits, that are not 0, and that are not found yet."""
    rows = np.empty(len(tags), np.int64)
    at_bitmap = address(bitmap)
    shift = np.uint64(70 - bits)
    one, other = np.uint64(64 - bits), np.uint64(58 - bits)
    count = 0
    for row in range(len(tags)):
        if row + _AHEAD < len(tags):
            prefetch(at_bitmap + (signed(tags[row + _AHEAD, column] >> shift) << 3))
        tag = tags[row, column]
        held = word(at_bitmap + (signed(tag >> shift) << 3))
        # written always and counted where its bits are set: nothing has to be foreseen
        rows[count] = row
        passes = signed(held >> (tag >> one & _IN_WORD) & held >> (tag >> other & _IN_WORD) & _ONE)
        count += passes & int(tag != np.uint64(0)) & int(not found[row, column])
    return rows[:count].copy()
