"""Compiled loops over rows of record keys, for `data.releases.people`."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U64, Bools
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import byte, prefetch, put_byte, signed

# how many rows ahead the bits of tags are prefetched
_AHEAD = 32


@inlined
def _is_set(bitmap: int, place: int) -> int:
    return byte(bitmap + (place >> 3)) >> (place & 7) & 1


@kernel
def possible_repeats(keys: U64, column: int, place_bits: int, seen_once: U8, seen_twice: U8) -> I64:
    """The rows whose tag in a column may also be in another row: all of those, and a few others.

    Args:
        keys: shape (n, columns), 0 where a row has no such key.
        column: number of the column.
        place_bits: how many leading bits of a tag choose its place in the bitmaps.
        seen_once: bitmap of shape (2**place_bits / 8,), zeros; filled with the places that occur.
        seen_twice: likewise; filled with the places that occur again.
    """
    shift = np.uint64(64 - place_bits)
    at_seen_once, at_seen_twice = address(seen_once), address(seen_twice)
    for row in range(len(keys)):
        if row + _AHEAD < len(keys):
            prefetch(at_seen_once + (signed(keys[row + _AHEAD, column] >> shift) >> 3))
        if keys[row, column]:
            place = signed(keys[row, column] >> shift)
            at, bit = place >> 3, 1 << (place & 7)
            before = byte(at_seen_once + at)
            if before & bit:
                put_byte(at_seen_twice + at, byte(at_seen_twice + at) | bit)
            else:
                put_byte(at_seen_once + at, before | bit)
    found = np.empty(len(keys), np.int64)
    count = 0
    for row in range(len(keys)):
        if row + _AHEAD < len(keys):
            prefetch(at_seen_twice + (signed(keys[row + _AHEAD, column] >> shift) >> 3))
        found[count] = row
        count += _is_set(at_seen_twice, signed(keys[row, column] >> shift)) & int(keys[row, column] != np.uint64(0))
    return found[:count].copy()


@kernel
def any_per_person(people: I64, rows: Bools, found: Bools) -> None:
    """Mark in `found`, shape (people, columns), what is true in any row, shape (n, columns), of a person."""
    for row in range(len(people)):
        for column in range(rows.shape[1]):
            found[people[row], column] |= rows[row, column]
