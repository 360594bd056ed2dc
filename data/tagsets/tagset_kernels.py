"""Compiled look-ups in bucketed tag sets; `data.tagsets.tagset` explains the arrays."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32, U64, Bools
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import ZERO, byte, prefetch, put_word, signed, word

# how many tags are looked up at a time, so that the processor loads their memory in parallel
_LANES = 16
# how many members are compared before an estimated place and from it on
_AROUND = 6
# a bucket of at most this many members is compared whole
_COMPARED = 4


@inlined
def suffix_at(suffixes: int, index: int, width: int) -> int:
    """The bits of a member that follow its bucket number."""
    value = 0
    for place in range(suffixes + index * width, suffixes + index * width + width):
        value = (value << 8) | byte(place)
    return value


@inlined
def _in_bucket(sought: int, low: int, high: int, guess: int, suffixes: int, width: int) -> bool:
    """Whether a bucket has a member: a linear search that starts at an estimate of the member's place."""
    at = guess
    while at < high and suffix_at(suffixes, at, width) < sought:
        at += 1
    if at == guess:
        while at > low and suffix_at(suffixes, at - 1, width) >= sought:
            at -= 1
    return at < high and suffix_at(suffixes, at, width) == sought


@inlined
def _compare_near(sought: int, low: int, high: int, guess: int, suffixes: int) -> int:
    """Whether a bucket with three-byte suffixes has a member: 1, 0, or -1 if members near the guess do not decide."""
    # The sought bytes in memory order: a suffix is compared as the top three bytes of the word that ends with it.
    wanted = (sought & 0xFF) << 16 | (sought & 0xFF00) | sought >> 16
    equal = 0
    # A fixed number of comparisons: a loop whose end the processor cannot predict costs more than they do.
    if high - low <= _COMPARED:
        for step in range(_COMPARED):
            equal |= (signed(word(suffixes + 3 * (low + step) - 5) >> np.uint64(40)) == wanted) & (low + step < high)
        return equal
    first = max(low, min(guess - _AROUND, high - 2 * _AROUND))
    for step in range(2 * _AROUND):
        equal |= (signed(word(suffixes + 3 * (first + step) - 5) >> np.uint64(40)) == wanted) & (first + step < high)
    last = first + 2 * _AROUND
    if equal or (first == low and last >= high):
        return equal
    inside = (first == low or suffix_at(suffixes, first, 3) < sought) and (
        last >= high or suffix_at(suffixes, last - 1, 3) > sought
    )
    return 0 if inside else -1


@kernel
def _lookup_at(tags: int, count: int, bits: int, starts: U32, suffixes: U8, found: Bools) -> None:
    """Look up the `count` tags at an address and write the answers to `found`."""
    width = (44 - bits) >> 3
    suffix_bits = 44 - bits
    mask = (1 << suffix_bits) - 1
    at_starts, at_suffixes = address(starts), address(suffixes)
    lows, highs, guesses = np.empty(_LANES, np.int64), np.empty(_LANES, np.int64), np.empty(_LANES, np.int64)
    # `_compare_near` reads up to five bytes before the first suffix, where the starts lie in memory.
    narrow = width == 3
    # Memory is slow but serves many requests in parallel: the data of a few tags is prefetched before any is used.
    for group in range(0, count, _LANES):
        size = min(_LANES, count - group)
        for lane in range(size):
            prefetch(at_starts + 4 * signed(word(tags + 8 * (group + lane)) >> np.uint64(64 - bits)))
        for lane in range(size):
            tag = word(tags + 8 * (group + lane))
            borders = word(at_starts + 4 * signed(tag >> np.uint64(64 - bits)))
            low, high = signed(borders) & 0xFFFFFFFF, signed(borders >> np.uint64(32))
            # an estimate: members are spread evenly over a bucket
            guess = low + (((high - low) * (signed(tag >> np.uint64(20)) & mask)) >> suffix_bits)
            lows[lane], highs[lane], guesses[lane] = low, high, guess
            prefetch(at_suffixes + guess * width)
        for lane in range(size):
            tag = word(tags + 8 * (group + lane))
            sought = signed(tag >> np.uint64(20)) & mask
            known = _compare_near(sought, lows[lane], highs[lane], guesses[lane], at_suffixes) if narrow else -1
            if known < 0:
                known = int(_in_bucket(sought, lows[lane], highs[lane], guesses[lane], at_suffixes, width))
            found[group + lane] = known > 0 and tag != np.uint64(0)


@kernel
def lookup_loop(tags: U64, bits: int, starts: U32, suffixes: U8) -> Bools:
    """Which tags a set has, shape (n,).

    Args:
        tags: shape (n,), 64 bits each; 0 is in no set.
        bits: number of bits that number the buckets.
        starts: shape (2**bits + 1,): the index of each bucket's first member; the last entry is the number of members.
        suffixes: shape (members * width,): the bits of each member that follow its bucket number, big-endian, in
            `width` = (44 - bits) / 8 bytes.
    """
    found = np.empty(len(tags), np.bool_)
    _lookup_at(address(tags), len(tags), bits, starts, suffixes, found)
    return found


@kernel
def fill_bloom_filter(bits: int, starts: U32, suffixes: U8, filter_bits: int, bloom_filter: U8) -> None:
    """Set two bits of one word for every member; the first `filter_bits + 6` bits of the member choose word and bits.

    The other arguments are as for `lookup_loop`. Both bits are in one word, so that the second bit costs no second
    memory access; it halves the number of foreign tags that pass.
    """
    width = (44 - bits) >> 3
    at_suffixes, at_filter = address(suffixes), address(bloom_filter)
    for bucket in range(len(starts) - 1):
        for member in range(starts[bucket], starts[bucket + 1]):
            chosen = (bucket << (44 - bits) | suffix_at(at_suffixes, member, width)) >> (38 - filter_bits)
            at = at_filter + (chosen >> 12 << 3)
            one, other = np.uint64(chosen >> 6 & 63), np.uint64(chosen & 63)
            put_word(at, word(at) | np.uint64(1) << one | np.uint64(1) << other)


# how many tags pass through the Bloom filter before the tags that passed are looked up
_BLOCK = 2048
_IN_WORD, _ONE = np.uint64(63), np.uint64(1)
# how many tags ahead the words of the Bloom filter are prefetched
_FILTER_AHEAD = 32


@kernel
def filtered_lookup_loop(tags: U64, bits: int, starts: U32, suffixes: U8, filter_bits: int, bloom_filter: U8) -> Bools:
    """As `lookup_loop`, with a Bloom filter, whose two bits rule out nearly all tags of a dump: few are members."""
    found = np.zeros(len(tags), np.bool_)
    left, places = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.int64)
    _filtered_lookup(tags, bits, starts, suffixes, filter_bits, bloom_filter, left, places, found)
    return found


@kernel
def _filtered_lookup(
    tags: U64,
    bits: int,
    starts: U32,
    suffixes: U8,
    filter_bits: int,
    bloom_filter: U8,
    left: U64,
    places: I64,
    found: Bools,
) -> None:
    """The body of `filtered_lookup_loop`; the caller keeps the buffers `left` and `places` alive."""
    hits = np.empty(_BLOCK, np.bool_)
    at_tags, at_left, at_places, at_filter = address(tags), address(left), address(places), address(bloom_filter)
    shift = np.uint64(70 - filter_bits)
    one, other = np.uint64(64 - filter_bits), np.uint64(58 - filter_bits)
    for group in range(0, len(tags), _BLOCK):
        size = min(_BLOCK, len(tags) - group)
        ahead = at_tags + 8 * group
        for lane in range(min(size, _FILTER_AHEAD)):
            prefetch(at_filter + (signed(word(ahead + 8 * lane) >> shift) << 3))
        count = ZERO
        for lane in range(size):
            if lane + _FILTER_AHEAD < size:
                prefetch(at_filter + (signed(word(ahead + 8 * (lane + _FILTER_AHEAD)) >> shift) << 3))
            tag = word(ahead + 8 * lane)
            held = word(at_filter + (signed(tag >> shift) << 3))
            # Branch-free: every tag is written, and the count grows only if the tag passes.
            put_word(at_left + 8 * count, tag)
            put_word(at_places + 8 * count, np.uint64(group + lane))
            count += signed(held >> (tag >> one & _IN_WORD) & held >> (tag >> other & _IN_WORD) & _ONE)
        _lookup_at(at_left, count, bits, starts, suffixes, hits)
        for lane in range(count):
            found[places[lane]] = hits[lane]
