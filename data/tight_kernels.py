"""Compiled loops over Elias-Fano sets of tags; what the arrays mean is said by `data.tightset`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.kernels import inlined, kernel
from data.memory import low_bit, prefetch, signed, word

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

STEP_BITS = 4
"""Every 16th bucket has its start noted."""
_AHEAD = 16
_ONE = np.uint64(1)


@inlined
def _address(array: NDArray[Any]) -> int:
    return np.int64(array.ctypes.data)  # type: ignore[return-value] # numba has one kind of integers


@inlined
def _low(lower: int, index: int, width: int) -> int:
    """The lower bits of one member; up to 57 bits may be read at once."""
    bit = index * width
    return signed(word(lower + (bit >> 3)) >> np.uint64(bit & 7)) & ((1 << width) - 1)


@kernel
def fill(cut: U64, high_bits: int, cut_bits: int, starts: U32, upper: U8, lower: U8) -> None:
    """Write sorted distinct members into the three arrays, which come as zeros."""
    width = cut_bits - high_bits
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    bucket = 0
    for index in range(len(cut)):
        high = signed(cut[index] >> np.uint64(width))
        while bucket <= high >> STEP_BITS:
            starts[bucket] = index
            bucket += 1
        bit = high + index
        upper[bit >> 3] |= np.uint8(1 << (bit & 7))
        low = cut[index] & mask
        at = index * width
        # the value and what is in front of it in its first byte, byte by byte
        rest = low << np.uint64(at & 7)
        place = at >> 3
        while rest:
            lower[place] |= np.uint8(rest & np.uint64(255))
            rest >>= np.uint64(8)
            place += 1
    while bucket < len(starts):
        starts[bucket] = len(cut)
        bucket += 1


@kernel
def members(count: int, high_bits: int, cut_bits: int, upper: U8, lower: U8) -> U64:
    """The inverse of `fill`: all members in order."""
    width = cut_bits - high_bits
    found = np.empty(count, np.uint64)
    at_lower = _address(lower)
    index = 0
    for place in range(len(upper)):
        byte = upper[place]
        for bit in range(8):
            if byte >> bit & 1 and index < count:
                high = place * 8 + bit - index
                found[index] = np.uint64(high) << np.uint64(width) | np.uint64(_low(at_lower, index, width))
                index += 1
    return found[:index]


@inlined
def _has(tag: int, count: int, width: int, from_index: int, bits: int, upper: int, lower: int) -> bool:
    """Whether the bucket of a tag has its lower bits; `from_index` members stand before its group of buckets."""
    high = tag >> width
    sought = tag & ((1 << width) - 1)
    bit = from_index + (high >> STEP_BITS << STEP_BITS)
    skip = high & ((1 << STEP_BITS) - 1)
    index = from_index
    # zeros end buckets, ones are members; mostly one word tells all
    part = word(upper + (bit >> 3)) >> np.uint64(bit & 7)
    zeros = signed(~part)
    begin = 0
    if skip:
        for _ in range(skip - 1):
            zeros &= zeros - 1
        begin = low_bit(zeros) + 1
        zeros &= zeros - 1
    end = low_bit(zeros)
    if end < 64 - (bit & 7):
        index += begin - skip
        for _ in range(end - begin):
            if index < count and _low(lower, index, width) == sought:
                return True
            index += 1
        return False
    part = word(upper + (bit >> 3)) >> np.uint64(bit & 7)
    left = 64 - (bit & 7)
    while bit < bits:
        if left == 0:
            part, left = word(upper + (bit >> 3)), 64
        is_member = part & _ONE
        part >>= _ONE
        left -= 1
        bit += 1
        if is_member == _ONE:
            if skip == 0 and index < count and _low(lower, index, width) == sought:
                return True
            index += 1
        elif skip == 0:
            return False
        else:
            skip -= 1
    return False


@kernel
def lookup(
    tags: U64, count: int, high_bits: int, cut_bits: int, starts: U32, upper: U8, lower: U8
) -> NDArray[np.bool_]:
    """Which tags, 64 bits each, a set has, shape (n,); 0 is in no set."""
    found = np.empty(len(tags), np.bool_)
    width = cut_bits - high_bits
    drop = np.uint64(64 - cut_bits)
    at_starts, at_upper, at_lower = _address(starts), _address(upper), _address(lower)
    bits = 8 * (len(upper) - 8)
    first = np.empty(_AHEAD, np.int64)
    # memory is slow and can do many things at once: what a few tags need is asked for before any of it is used
    for group in range(0, len(tags), _AHEAD):
        size = min(_AHEAD, len(tags) - group)
        for lane in range(size):
            prefetch(at_starts + 4 * (signed(tags[group + lane] >> np.uint64(64 - high_bits)) >> STEP_BITS))
        for lane in range(size):
            high = signed(tags[group + lane] >> np.uint64(64 - high_bits))
            start = int(starts[high >> STEP_BITS])
            first[lane] = start
            prefetch(at_upper + ((start + (high >> STEP_BITS << STEP_BITS)) >> 3))
            # members are spread evenly over the buckets of a group
            ahead = (int(starts[(high >> STEP_BITS) + 1]) - start) * (high & ((1 << STEP_BITS) - 1)) >> STEP_BITS
            prefetch(at_lower + ((start + ahead) * width >> 3))
        for lane in range(size):
            tag = tags[group + lane]
            found[group + lane] = tag != np.uint64(0) and _has(
                signed(tag >> drop), count, width, first[lane], bits, at_upper, at_lower
            )
    return found
