"""Compiled look-ups in tag sets; their plain twin is in `tagset`."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32, U64, Bools
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import ZERO, byte, prefetch, put_word, signed, word

# look-ups that are on their way to memory at once, and members that are looked at before and behind a guess
_AHEAD = 16
_AROUND = 6
# members of a bucket that are all looked at
_FEW = 4


@inlined
def _rest_at(rest: int, index: int, width: int) -> int:
    """The bits of a member behind its bucket's number."""
    value = 0
    for place in range(rest + index * width, rest + index * width + width):
        value = (value << 8) | byte(place)
    return value


@inlined
def _in_bucket(sought: int, low: int, high: int, guess: int, rest: int, width: int) -> bool:
    """Whether a bucket has a member, looked for from a guess of its place on."""
    at = guess
    while at < high and _rest_at(rest, at, width) < sought:
        at += 1
    if at == guess:
        while at > low and _rest_at(rest, at - 1, width) >= sought:
            at -= 1
    return at < high and _rest_at(rest, at, width) == sought


@inlined
def _near(sought: int, low: int, high: int, guess: int, rest: int) -> int:
    """Whether a bucket of members of three bytes has one: 1 or 0, or -1 where a look around the guess cannot say."""
    # the same bytes as they lie in memory: members are compared as the top of the word that ends with them
    wanted = (sought & 0xFF) << 16 | (sought & 0xFF00) | sought >> 16
    equal = 0
    # fixed numbers of steps: a loop whose end is not foreseen costs the processor more than all its comparisons
    if high - low <= _FEW:
        for step in range(_FEW):
            equal |= (signed(word(rest + 3 * (low + step) - 5) >> np.uint64(40)) == wanted) & (low + step < high)
        return equal
    first = max(low, min(guess - _AROUND, high - 2 * _AROUND))
    for step in range(2 * _AROUND):
        equal |= (signed(word(rest + 3 * (first + step) - 5) >> np.uint64(40)) == wanted) & (first + step < high)
    last = first + 2 * _AROUND
    if equal or (first == low and last >= high):
        return equal
    inside = (first == low or _rest_at(rest, first, 3) < sought) and (
        last >= high or _rest_at(rest, last - 1, 3) > sought
    )
    return 0 if inside else -1


@kernel
def _look_up(tags: int, count: int, bits: int, starts: U32, rest: U8, found: Bools) -> None:
    """`lookup` of `count` tags from an address on, into `found`."""
    width = (44 - bits) >> 3
    rest_bits = 44 - bits
    mask = (1 << rest_bits) - 1
    at_starts, at_rest = address(starts), address(rest)
    lows, highs, guesses = np.empty(_AHEAD, np.int64), np.empty(_AHEAD, np.int64), np.empty(_AHEAD, np.int64)
    # what stands before the members in memory is read with the first of them
    narrow = width == 3
    # memory is slow and can do many things at once: what a few tags need is asked for before any of it is used
    for group in range(0, count, _AHEAD):
        size = min(_AHEAD, count - group)
        for lane in range(size):
            prefetch(at_starts + 4 * signed(word(tags + 8 * (group + lane)) >> np.uint64(64 - bits)))
        for lane in range(size):
            tag = word(tags + 8 * (group + lane))
            borders = word(at_starts + 4 * signed(tag >> np.uint64(64 - bits)))
            low, high = signed(borders) & 0xFFFFFFFF, signed(borders >> np.uint64(32))
            # members are spread evenly over a bucket
            guess = low + (((high - low) * (signed(tag >> np.uint64(20)) & mask)) >> rest_bits)
            lows[lane], highs[lane], guesses[lane] = low, high, guess
            prefetch(at_rest + guess * width)
        for lane in range(size):
            tag = word(tags + 8 * (group + lane))
            sought = signed(tag >> np.uint64(20)) & mask
            known = _near(sought, lows[lane], highs[lane], guesses[lane], at_rest) if narrow else -1
            if known < 0:
                known = int(_in_bucket(sought, lows[lane], highs[lane], guesses[lane], at_rest, width))
            found[group + lane] = known > 0 and tag != np.uint64(0)


@kernel
def lookup(tags: U64, bits: int, starts: U32, rest: U8) -> Bools:
    """Which tags a set has, shape (n,).

    Args:
        tags: 64 bits each; 0 is in no set.
        bits: of the bucket number.
        starts: shape (2**bits + 1,), of the buckets in `rest`.
        rest: shape (members * width,), the next bits of every member, big-endian, `width` = (44 - bits) / 8 bytes.
    """
    found = np.empty(len(tags), np.bool_)
    _look_up(address(tags), len(tags), bits, starts, rest, found)
    return found


@kernel
def fill_sieve(bits: int, starts: U32, rest: U8, sieve_bits: int, sieve: U8) -> None:
    """Set two bits of a word for every member, all of which its first `sieve_bits + 6` bits tell; the set as for `lookup`.

    A member's word is one place in memory: the second bit costs no second look, and halves the strangers that pass.
    """
    width = (44 - bits) >> 3
    at_rest, at_sieve = address(rest), address(sieve)
    for bucket in range(len(starts) - 1):
        for member in range(starts[bucket], starts[bucket + 1]):
            chosen = (bucket << (44 - bits) | _rest_at(at_rest, member, width)) >> (38 - sieve_bits)
            at = at_sieve + (chosen >> 12 << 3)
            one, other = np.uint64(chosen >> 6 & 63), np.uint64(chosen & 63)
            put_word(at, word(at) | np.uint64(1) << one | np.uint64(1) << other)


# tags that are sifted before those that are left are looked up
_SIFTED = 2048
_IN_WORD, _ONE = np.uint64(63), np.uint64(1)
# how far ahead the bits of tags are asked for
_BITS_AHEAD = 32


@kernel
def sifted_lookup(tags: U64, bits: int, starts: U32, rest: U8, sieve_bits: int, sieve: U8) -> Bools:
    """As `lookup`, of a set with a sieve: nearly all tags of a dump are strangers, which two bits of a word tell."""
    found = np.zeros(len(tags), np.bool_)
    left, places = np.empty(_SIFTED, np.uint64), np.empty(_SIFTED, np.int64)
    _sift(tags, bits, starts, rest, sieve_bits, sieve, left, places, found)
    return found


@kernel
def _sift(
    tags: U64,
    bits: int,
    starts: U32,
    rest: U8,
    sieve_bits: int,
    sieve: U8,
    left: U64,
    places: I64,
    found: Bools,
) -> None:
    """`sifted_lookup`, with room that the caller keeps alive."""
    hits = np.empty(_SIFTED, np.bool_)
    at_tags, at_left, at_places, at_sieve = address(tags), address(left), address(places), address(sieve)
    shift = np.uint64(70 - sieve_bits)
    one, other = np.uint64(64 - sieve_bits), np.uint64(58 - sieve_bits)
    for group in range(0, len(tags), _SIFTED):
        size = min(_SIFTED, len(tags) - group)
        ahead = at_tags + 8 * group
        for lane in range(min(size, _BITS_AHEAD)):
            prefetch(at_sieve + (signed(word(ahead + 8 * lane) >> shift) << 3))
        count = ZERO
        for lane in range(size):
            if lane + _BITS_AHEAD < size:
                prefetch(at_sieve + (signed(word(ahead + 8 * (lane + _BITS_AHEAD)) >> shift) << 3))
            tag = word(ahead + 8 * lane)
            bits_of = word(at_sieve + (signed(tag >> shift) << 3))
            # written always and counted where its bits are set: nothing has to be foreseen
            put_word(at_left + 8 * count, tag)
            put_word(at_places + 8 * count, np.uint64(group + lane))
            count += signed(bits_of >> (tag >> one & _IN_WORD) & bits_of >> (tag >> other & _IN_WORD) & _ONE)
        _look_up(at_left, count, bits, starts, rest, hits)
        for lane in range(count):
            found[places[lane]] = hits[lane]
