"""Compiled loops over Elias-Fano sets of tags; `data.tagsets.elias_fano` explains the arrays."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U16, U32, U64, Bools
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import popcount, prefetch, signed, trailing_zeros, word

GROUP_BITS = 4
"""log2 of the number of buckets in a group: the start of every 16th bucket, the first of its group, is stored."""
# how many tags are looked up at a time, so that the processor loads their memory in parallel
_LANES = 16
# how many members of a bucket are compared without a branch; one in twenty buckets holds more
_COMPARED = 4
# A set of `_LARGE` or more members spans more memory pages than the processor's address cache holds. There the tags of
# many rows are first sorted roughly, by their first `_PART_BITS` bits, and looked up in that order: 66 ns per tag
# instead of 99 at 15 million members, 51 instead of 86 at 3 million.
_LARGE, _PART_BITS, _LARGE_BLOCK, _SMALL_BLOCK = 1 << 19, 10, 1 << 20, 1 << 10
_ONE = np.uint64(1)


@inlined
def _lower_bits(lower: int, index: int, width: int) -> int:
    """The lower bits of one member; `width` is at most 57, because they are read as one word."""
    bit = index * width
    return signed(word(lower + (bit >> 3)) >> np.uint64(bit & 7)) & ((1 << width) - 1)


@kernel
def encode_members(truncated: U64, high_bits: int, kept_bits: int, upper: U8, lower: U8) -> None:
    """Write sorted distinct truncated tags into the two bit arrays, which must be zero-filled."""
    width = kept_bits - high_bits
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    for index in range(len(truncated)):
        bit = signed(truncated[index] >> np.uint64(width)) + index
        upper[bit >> 3] |= np.uint8(1 << (bit & 7))
        low = truncated[index] & mask
        at = index * width
        # write the value byte by byte, shifted to its place in the first byte
        rest = low << np.uint64(at & 7)
        place = at >> 3
        while rest:
            lower[place] |= np.uint8(rest & np.uint64(255))
            rest >>= np.uint64(8)
            place += 1


@kernel
def decode_members(count: int, high_bits: int, kept_bits: int, upper: U8, lower: U8) -> U64:
    """All truncated tags in order: the inverse of `encode_members`."""
    width = kept_bits - high_bits
    found = np.empty(count, np.uint64)
    at_lower = address(lower)
    index = 0
    for place in range(len(upper)):
        byte = upper[place]
        for bit in range(8):
            if byte >> bit & 1 and index < count:
                high = place * 8 + bit - index
                found[index] = np.uint64(high) << np.uint64(width) | np.uint64(_lower_bits(at_lower, index, width))
                index += 1
    return found[:index]


@inlined
def _select(zeros: int, number: int) -> int:
    """The index of the set bit with this number, counted from 0; 63 if fewer bits are set.

    A binary search over bit counts, without branches, because the processor could not predict which half is chosen.
    (The arithmetic shifts copy the sign bit from the left, beyond all bits that are examined.)
    """
    place = 0
    count = popcount(zeros & 0xFFFFFFFF)
    upper_half = int(number >= count)
    number -= count * upper_half
    zeros >>= 32 * upper_half
    place += 32 * upper_half
    count = popcount(zeros & 0xFFFF)
    upper_half = int(number >= count)
    number -= count * upper_half
    zeros >>= 16 * upper_half
    place += 16 * upper_half
    count = popcount(zeros & 0xFF)
    upper_half = int(number >= count)
    number -= count * upper_half
    zeros >>= 8 * upper_half
    place += 8 * upper_half
    count = popcount(zeros & 0xF)
    upper_half = int(number >= count)
    number -= count * upper_half
    zeros >>= 4 * upper_half
    place += 4 * upper_half
    count = popcount(zeros & 0x3)
    upper_half = int(number >= count)
    number -= count * upper_half
    zeros >>= 2 * upper_half
    place += 2 * upper_half
    place += int(number >= (zeros & 1))
    return place


@inlined
def _contains(tag: int, count: int, width: int, from_index: int, bits: int, upper: int, lower: int) -> bool:
    """Whether a tag is in its bucket; `from_index` members precede the group of buckets that the bucket is in."""
    high = tag >> width
    sought = tag & ((1 << width) - 1)
    bit = from_index + (high >> GROUP_BITS << GROUP_BITS)
    skip = high & ((1 << GROUP_BITS) - 1)
    # A one is a member, a zero ends a bucket (here inverted). One word usually covers the whole group.
    zeros = signed(~(word(upper + (bit >> 3)) >> np.uint64(bit & 7)))
    # The added bit stands for the zero that ends the bucket before the group.
    begin = _select(zeros << 1 | 1, skip)
    end = trailing_zeros(zeros >> begin) + begin
    if begin < 56 and end < 56:
        index = from_index + begin - skip
        inside = end - begin
        equal = False
        # A fixed number of comparisons: a loop whose end the processor cannot predict costs more than they do.
        for step in range(_COMPARED):
            equal |= (_lower_bits(lower, min(index + step, count), width) == sought) & (step < inside)
        if inside > _COMPARED and not equal:
            for step in range(_COMPARED, inside):
                equal |= _lower_bits(lower, index + step, width) == sought
        return equal
    return _contains_bitwise(sought, count, width, from_index, bit, skip, bits, upper, lower)


@inlined
def _contains_bitwise(
    sought: int, count: int, width: int, index: int, bit: int, skip: int, bits: int, upper: int, lower: int
) -> bool:
    """As `_contains`, but bit by bit, for a group of buckets that does not fit in one word and begins at `bit`."""
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
            if skip == 0 and index < count and _lower_bits(lower, index, width) == sought:
                return True
            index += 1
        elif skip == 0:
            return False
        else:
            skip -= 1
    return False


@inlined
def _start(group: int, coarse_bits: int, starts: int, offsets: int) -> int:
    """How many members precede a group of buckets."""
    if coarse_bits == 0:
        return signed(word(starts + 4 * group)) & 0xFFFFFFFF
    base = signed(word(starts + 4 * (group >> coarse_bits))) & 0xFFFFFFFF
    return base + (signed(word(offsets + 2 * group)) & 0xFFFF)


@inlined
def _collect_tags(
    tags: U64, column: int, found: Bools, begin: int, end: int, part_bits: int, left: U64, rows: I64
) -> int:
    """Write the tags that must be looked up to `left` and their rows to `rows`, sorted by their first `part_bits` bits.

    Tags that are 0 or already found are written after them, so that the loops need no branch.

    Returns:
        How many tags must be looked up.
    """
    size = 0
    if not part_bits:
        for row in range(begin, end):
            tag = tags[row, column]
            left[size], rows[size] = tag, row
            size += int(tag != np.uint64(0)) & int(not found[row, column])
        return size
    parts = 1 << part_bits
    shift = np.uint64(63 - part_bits)
    next_places = np.zeros(parts + 2, np.int64)
    for row in range(begin, end):
        tag = tags[row, column]
        skipped = int(tag == np.uint64(0)) | int(found[row, column])
        next_places[max(signed(tag >> _ONE >> shift), skipped * parts) + 1] += 1
    for part in range(parts + 1):
        next_places[part + 1] += next_places[part]
    size = int(next_places[parts])
    for row in range(begin, end):
        tag = tags[row, column]
        skipped = int(tag == np.uint64(0)) | int(found[row, column])
        part = max(signed(tag >> _ONE >> shift), skipped * parts)
        left[next_places[part]], rows[next_places[part]] = tag, row
        next_places[part] += 1
    return size


@kernel
def look_up_column_loop(
    tags: U64,
    column: int,
    count: int,
    high_bits: int,
    kept_bits: int,
    coarse_bits: int,
    starts: U32,
    offsets: U16,
    upper: U8,
    lower: U8,
    found: Bools,
) -> None:
    """Look up the tags of one column and mark the members in the same column of `found`; marked places are skipped.

    Args:
        tags: shape (n, columns), 64 bits each; 0 is in no set.
        column: column of `tags` and of `found`.
        count: number of members.
        high_bits: number of a tag's first bits that number the buckets.
        kept_bits: number of bits kept of a tag.
        coarse_bits: one group of buckets in 2**coarse_bits has its start in `starts`.
        starts: number of members that precede each of these groups.
        offsets: for each group, how many members it starts after the last entry of `starts`; not read if `coarse_bits`
            is 0.
        upper: bit array of buckets and their members: a one for each member, a zero at the end of each bucket.
        lower: bit array of the remaining bits of each member, with eight bytes of padding. The last four arrays lie one
            after the other in memory.
        found: shape (n, columns).
    """
    width = kept_bits - high_bits
    drop = np.uint64(64 - kept_bits)
    at_starts, at_offsets, at_upper, at_lower = address(starts), address(offsets), address(upper), address(lower)
    bits = 8 * len(upper)
    part_bits, block = (_PART_BITS, _LARGE_BLOCK) if count >= _LARGE else (0, _SMALL_BLOCK)
    block = max(1, min(block, len(tags)))
    left, rows = np.empty(block, np.uint64), np.empty(block, np.int64)
    first = np.empty(_LANES, np.int64)
    # The array to prefetch first: only one of `starts` and `offsets` is too large for the processor's cache.
    at_stored, stored_bytes = (at_offsets, 2) if coarse_bits else (at_starts, 4)
    for begin in range(0, len(tags), block):
        end = min(begin + block, len(tags))
        size = _collect_tags(tags, column, found, begin, end, part_bits, left, rows)
        # Memory is slow but serves many requests in parallel: the data of a few tags is prefetched before any is used.
        for group in range(0, size, _LANES):
            lanes = min(_LANES, size - group)
            for lane in range(lanes):
                prefetch(
                    at_stored + stored_bytes * (signed(left[group + lane] >> np.uint64(64 - high_bits)) >> GROUP_BITS)
                )
            for lane in range(lanes):
                high = signed(left[group + lane] >> np.uint64(64 - high_bits))
                buckets = high >> GROUP_BITS
                start = _start(buckets, coarse_bits, at_starts, at_offsets)
                first[lane] = start
                prefetch(at_upper + ((start + (buckets << GROUP_BITS)) >> 3))
                # an estimate: members are spread evenly over the buckets of a group
                inside = _start(buckets + 1, coarse_bits, at_starts, at_offsets) - start
                prefetch(at_lower + ((start + (inside * (high & ((1 << GROUP_BITS) - 1)) >> GROUP_BITS)) * width >> 3))
            for lane in range(lanes):
                tag = signed(left[group + lane] >> drop)
                found[rows[group + lane], column] = _contains(tag, count, width, first[lane], bits, at_upper, at_lower)
