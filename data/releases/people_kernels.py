"""Compiled loops over rows of record keys; what they are for is said by `data.releases.people`."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U64, Bools
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import byte, prefetch, put_byte, signed

# how far ahead the bits of tags are asked for
_AHEAD = 32


@inlined
def _is_set(bitmap: int, place: int) -> int:
    return byte(bitmap + (place >> 3)) >> (place & 7) & 1


@kernel
def suspects(keys: U64, column: int, place_bits: int, once: U8, twice: U8) -> I64:
    """Rows whose tag in a column may stand in another row as well: all that do, and a few more.

    Args:
        keys: shape (n, columns), 0 for absent.
        column: of it.
        place_bits: leading bits of a tag that choose its place in the bitmaps.
        once: shape (2**place_bits / 8,), zeros.
        twice: likewise.
    """
    shift = np.uint64(64 - place_bits)
    at_once, at_twice = address(once), address(twice)
    for row in range(len(keys)):
        if row + _AHEAD < len(keys):
            prefetch(at_once + (signed(keys[row + _AHEAD, column] >> shift) >> 3))
        if keys[row, column]:
            place = signed(keys[row, column] >> shift)
            at, bit = place >> 3, 1 << (place & 7)
            before = byte(at_once + at)
            if before & bit:
                put_byte(at_twice + at, byte(at_twice + at) | bit)
            else:
                put_byte(at_once + at, before | bit)
    found = np.empty(len(keys), np.int64)
    count = 0
    for row in range(len(keys)):
        if row + _AHEAD < len(keys):
            prefetch(at_twice + (signed(keys[row + _AHEAD, column] >> shift) >> 3))
        found[count] = row
        count += _is_set(at_twice, signed(keys[row, column] >> shift)) & int(keys[row, column] != np.uint64(0))
    return found[:count].copy()


@kernel
def any_per_person(people: I64, rows: Bools, found: Bools) -> None:
    """Set in `found`, shape (people, columns), what is true in any row, shape (n, columns), of a person."""
    for row in range(len(people)):
        for column in range(rows.shape[1]):
            found[people[row], column] |= rows[row, column]
