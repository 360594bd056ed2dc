"""Compiled loops over the bitmap of a Bloom filter; `data.tagsets.bloom_filter` says what it is for."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U64, Bools
from data.arrays.jit import address, kernel
from data.arrays.raw_memory import prefetch, signed, word

# how many rows ahead the words of the bitmap are prefetched
_AHEAD = 32
_IN_WORD, _ONE = np.uint64(63), np.uint64(1)


@kernel
def add_to_bitmap(tags: U64, size_bits: int, bitmap: U64) -> None:
    """Set two bits of one word for every tag, as the filter in `data.tagsets.tagset_kernels` does.

    The first `size_bits + 6` bits of the tag choose the word and both bits.
    """
    shift = np.uint64(70 - size_bits)
    one, other = np.uint64(64 - size_bits), np.uint64(58 - size_bits)
    for tag in tags:
        bitmap[signed(tag >> shift)] |= _ONE << (tag >> one & _IN_WORD) | _ONE << (tag >> other & _IN_WORD)


@kernel
def candidate_rows_loop(tags: U64, column: int, found: Bools, size_bits: int, bitmap: U64) -> I64:
    """The rows whose tag in `column` is not 0, has both its bits set, and is not marked in `found` yet."""
    rows = np.empty(len(tags), np.int64)
    at_bitmap = address(bitmap)
    shift = np.uint64(70 - size_bits)
    one, other = np.uint64(64 - size_bits), np.uint64(58 - size_bits)
    count = 0
    for row in range(len(tags)):
        if row + _AHEAD < len(tags):
            prefetch(at_bitmap + (signed(tags[row + _AHEAD, column] >> shift) << 3))
        tag = tags[row, column]
        held = word(at_bitmap + (signed(tag >> shift) << 3))
        # Branch-free: every row is written, and the count grows only if the row passes, so that the processor has no
        # jump to predict.
        rows[count] = row
        passes = signed(held >> (tag >> one & _IN_WORD) & held >> (tag >> other & _IN_WORD) & _ONE)
        count += passes & int(tag != np.uint64(0)) & int(not found[row, column])
    return rows[:count].copy()
