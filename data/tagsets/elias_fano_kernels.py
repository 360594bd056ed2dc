"""Compiled loops over Elias-Fano sets of tags; what the arrays mean is said by `data.tagsets.elias_fano`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, U8, U16, U32, U64, Bools
from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import bits_of, low_bit, prefetch, signed, word

STEP_BITS = 4
"""Every 16th bucket, the first of a group, has its start noted."""
_AHEAD = 16
# members of a bucket that are looked at at once; one in twenty buckets holds more
_FEW = 4
# A set of more members lies in more pages of memory than a processor finds at once: there the tags of many rows are
# looked up in their order, roughly: 66 ns a tag instead of 99 at 15 million members, 51 instead of 86 at 3 million.
_LARGE, _PART_BITS, _LARGE_BLOCK, _SMALL_BLOCK = 1 << 19, 10, 1 << 20, 1 << 10
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
def fill(cut: U64, high_bits: int, cut_bits: int, upper: U8, lower: U8) -> None:
    """Write sorted distinct members into the two arrays, which come as zeros."""
    width = cut_bits - high_bits
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    for index in range(len(cut)):
        bit = signed(cut[index] >> np.uint64(width)) + index
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
def _place_of(zeros: int, number: int) -> int:
    """Where the bit of this number, counted from 0, lies among those that are set; 63 where there are fewer.

    By halves and counts of their bits, without a jump: which half it is no processor foresees. (The sign that comes in
    from the left stands behind all that is asked for.)
    """
    place = 0
    count = bits_of(zeros & 0xFFFFFFFF)
    further = int(number >= count)
    number -= count * further
    zeros >>= 32 * further
    place += 32 * further
    count = bits_of(zeros & 0xFFFF)
    further = int(number >= count)
    number -= count * further
    zeros >>= 16 * further
    place += 16 * further
    count = bits_of(zeros & 0xFF)
    further = int(number >= count)
    number -= count * further
    zeros >>= 8 * further
    place += 8 * further
    count = bits_of(zeros & 0xF)
    further = int(number >= count)
    number -= count * further
    zeros >>= 4 * further
    place += 4 * further
    count = bits_of(zeros & 0x3)
    further = int(number >= count)
    number -= count * further
    zeros >>= 2 * further
    place += 2 * further
    place += int(number >= (zeros & 1))
    return place


@inlined
def _has(tag: int, count: int, width: int, from_index: int, bits: int, upper: int, lower: int) -> bool:
    """Whether the bucket of a tag has its lower bits; `from_index` members stand before its group of buckets."""
    high = tag >> width
    sought = tag & ((1 << width) - 1)
    bit = from_index + (high >> STEP_BITS << STEP_BITS)
    skip = high & ((1 << STEP_BITS) - 1)
    # zeros end buckets, ones are members; mostly one word tells all
    zeros = signed(~(word(upper + (bit >> 3)) >> np.uint64(bit & 7)))
    # with a zero that ends what stands before the first bucket of the group
    begin = _place_of(zeros << 1 | 1, skip)
    end = low_bit(zeros >> begin) + begin
    if begin < 56 and end < 56:
        index = from_index + begin - skip
        inside = end - begin
        equal = False
        # a fixed number of members: a loop whose end is not foreseen costs more than these comparisons
        for step in range(_FEW):
            equal |= (_low(lower, min(index + step, count), width) == sought) & (step < inside)
        if inside > _FEW and not equal:
            for step in range(_FEW, inside):
                equal |= _low(lower, index + step, width) == sought
        return equal
    return _has_far(sought, count, width, from_index, bit, skip, bits, upper, lower)


@inlined
def _has_far(
    sought: int, count: int, width: int, index: int, bit: int, skip: int, bits: int, upper: int, lower: int
) -> bool:
    """As `_has`, bit by bit, where a group of buckets does not lie in one word; `bit` is where it begins."""
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


@inlined
def _start(group: int, coarse_bits: int, starts: int, further: int) -> int:
    """How many members stand before a group of buckets."""
    if coarse_bits == 0:
        return signed(word(starts + 4 * group)) & 0xFFFFFFFF
    base = signed(word(starts + 4 * (group >> coarse_bits))) & 0xFFFFFFFF
    return base + (signed(word(further + 2 * group)) & 0xFFFF)


@inlined
def _gather(tags: U64, column: int, found: Bools, begin: int, end: int, part_bits: int, left: U64, places: I64) -> int:
    """Put the tags of some rows that are to be looked up into `left`, by their first bits, and their rows into `places`.

    Returns how many there are. What is not looked up stands behind them: nothing jumps on which it is.
    """
    size = 0
    if not part_bits:
        for row in range(begin, end):
            tag = tags[row, column]
            left[size], places[size] = tag, row
            size += int(tag != np.uint64(0)) & int(not found[row, column])
        return size
    parts = 1 << part_bits
    shift = np.uint64(63 - part_bits)
    following = np.zeros(parts + 2, np.int64)
    for row in range(begin, end):
        tag = tags[row, column]
        skipped = int(tag == np.uint64(0)) | int(found[row, column])
        following[max(signed(tag >> _ONE >> shift), skipped * parts) + 1] += 1
    for part in range(parts + 1):
        following[part + 1] += following[part]
    size = int(following[parts])
    for row in range(begin, end):
        tag = tags[row, column]
        skipped = int(tag == np.uint64(0)) | int(found[row, column])
        part = max(signed(tag >> _ONE >> shift), skipped * parts)
        left[following[part]], places[following[part]] = tag, row
        following[part] += 1
    return size


@kernel
def look_into(
    tags: U64,
    column: int,
    count: int,
    high_bits: int,
    cut_bits: int,
    coarse_bits: int,
    starts: U32,
    further: U16,
    upper: U8,
    lower: U8,
    found: Bools,
) -> None:
    """Set those places of a column of `found` whose tags a set has and that are not set yet.

    Args:
        tags: shape (n, columns), 64 bits each; 0 is in no set.
        column: of both arrays.
        count: of members.
        high_bits: that number the buckets.
        cut_bits: of a member.
        coarse_bits: one group of buckets in 2**coarse_bits has its start in `starts`.
        starts: of these.
        further: how much later each group starts; not read where `coarse_bits` is 0.
        upper: buckets and their members as bits.
        lower: the rest of each member, eight bytes at the end. These four lie one behind the other in memory.
        found: shape (n, columns).
    """
    width = cut_bits - high_bits
    drop = np.uint64(64 - cut_bits)
    at_starts, at_further, at_upper, at_lower = _address(starts), _address(further), _address(upper), _address(lower)
    bits = 8 * len(upper)
    part_bits, block = (_PART_BITS, _LARGE_BLOCK) if count >= _LARGE else (0, _SMALL_BLOCK)
    block = max(1, min(block, len(tags)))
    left, places = np.empty(block, np.uint64), np.empty(block, np.int64)
    first = np.empty(_AHEAD, np.int64)
    # what is asked for first: of the two arrays one is too large for a processor to keep
    at_noted, noted_bytes = (at_further, 2) if coarse_bits else (at_starts, 4)
    for begin in range(0, len(tags), block):
        end = min(begin + block, len(tags))
        size = _gather(tags, column, found, begin, end, part_bits, left, places)
        # memory is slow and can do many things at once: what a few tags need is asked for before any of it is used
        for group in range(0, size, _AHEAD):
            lanes = min(_AHEAD, size - group)
            for lane in range(lanes):
                prefetch(
                    at_noted + noted_bytes * (signed(left[group + lane] >> np.uint64(64 - high_bits)) >> STEP_BITS)
                )
            for lane in range(lanes):
                high = signed(left[group + lane] >> np.uint64(64 - high_bits))
                buckets = high >> STEP_BITS
                start = _start(buckets, coarse_bits, at_starts, at_further)
                first[lane] = start
                prefetch(at_upper + ((start + (buckets << STEP_BITS)) >> 3))
                # members are spread evenly over the buckets of a group
                inside = _start(buckets + 1, coarse_bits, at_starts, at_further) - start
                prefetch(at_lower + ((start + (inside * (high & ((1 << STEP_BITS) - 1)) >> STEP_BITS)) * width >> 3))
            for lane in range(lanes):
                tag = signed(left[group + lane] >> drop)
                found[places[group + lane], column] = _has(tag, count, width, first[lane], bits, at_upper, at_lower)
