"""Compiled search for the entries of a segment; `data.watchlist.segment` explains the arrays."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32, U64, Bools
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import byte, prefetch, signed, word
from data.tagsets.tagset_kernels import suffix_at

# how many tags are searched at a time, so that the processor loads their memory in parallel
_LANES = 16
# size of one entry: digest (8 bytes), person (4 bytes), kind (1 byte)
_ENTRY = 13
# kinds from this number on are record keys
_FIRST_RECORD_KIND = 16


@inlined
def _bundle_at(firsts: U32, person: int) -> int:
    """The place of the bundle that a person belongs to: the last one whose first person is not greater."""
    low, high = 0, len(firsts)
    while high - low > 1:
        middle = (low + high) >> 1
        if np.int64(firsts[middle]) <= person:
            low = middle
        else:
            high = middle
    return low


@kernel
def find_matches(
    tags: U64,
    digests: U64,
    kinds: U8,
    is_records: bool,
    bits: int,
    starts: U32,
    suffixes: U8,
    entries: U8,
    firsts: U32,
    active: U8,
    numbers: U32,
    most: int,
    state: I64,
    values: I64,
    codes: U64,
    passed_over: Bools,
) -> None:
    """List the entries whose tag, kind and digest equal those of each value, until all are listed or there is no room.

    Args:
        tags: shape (n,).
        digests: shape (n,), the first eight bytes of each confirm digest, little-endian.
        kinds: shape (n,).
        is_records: whether these arrays hold record keys; values of the other sort are skipped.
        bits: as for `data.tagsets.tagset_kernels.lookup_loop`.
        starts: as there.
        suffixes: as there; several entries may have the same suffix.
        entries: shape (13 * entries + 8,).
        firsts: shape (bundles,), the first person of each bundle, ascending.
        active: shape (bundles,), 0 for retired bundles, whose entries do not count.
        numbers: shape (bundles,), the number of each bundle on the watch-list.
        most: a value with more entries than this gets none.
        state: the number of the value to begin with, and how many entries were listed before; updated.
        values: gets the number of the value of each entry, ascending.
        codes: gets the canary of each entry: number of its bundle << 32 | number of the canary within the bundle.
        passed_over: shape (n,), gets True for each value that has more than `most` entries.
    """
    width = (44 - bits) >> 3
    suffix_bits = 44 - bits
    mask = (1 << suffix_bits) - 1
    at_starts, at_suffixes, at_entries = address(starts), address(suffixes), address(entries)
    chosen, lows, highs = np.empty(_LANES, np.int64), np.empty(_LANES, np.int64), np.empty(_LANES, np.int64)
    item, out, count, room = state[0], state[1], len(tags), len(values)
    while item < count:
        filled = 0
        while filled < _LANES and item < count:
            if (kinds[item] >= _FIRST_RECORD_KIND) == is_records and tags[item] != np.uint64(0):
                chosen[filled] = item
                prefetch(at_starts + 4 * signed(tags[item] >> np.uint64(64 - bits)))
                filled += 1
            item += 1
        for lane in range(filled):
            tag = tags[chosen[lane]]
            borders = word(at_starts + 4 * signed(tag >> np.uint64(64 - bits)))
            low, high = signed(borders) & 0xFFFFFFFF, signed(borders >> np.uint64(32))
            lows[lane], highs[lane] = low, high
            guess = low + (((high - low) * (signed(tag >> np.uint64(20)) & mask)) >> suffix_bits)
            prefetch(at_suffixes + guess * width)
        for lane in range(filled):
            sought = signed(tags[chosen[lane]] >> np.uint64(20)) & mask
            low, high = lows[lane], highs[lane]
            while low < high:
                middle = (low + high) >> 1
                if suffix_at(at_suffixes, middle, width) < sought:
                    low = middle + 1
                else:
                    high = middle
            lows[lane] = low
            prefetch(at_entries + _ENTRY * low)
        for lane in range(filled):
            value = chosen[lane]
            sought = signed(tags[value] >> np.uint64(20)) & mask
            at, begin = lows[lane], out
            while at < highs[lane] and suffix_at(at_suffixes, at, width) == sought:
                place = at_entries + _ENTRY * at
                if word(place) == digests[value] and byte(place + 12) == kinds[value]:
                    person = signed(word(place + 8)) & 0xFFFFFFFF
                    bundle = _bundle_at(firsts, person)
                    if active[bundle] != 0:
                        if out - begin == most:
                            passed_over[value] = True
                            out = begin
                            break
                        if out == room:
                            state[0], state[1] = value, begin
                            return
                        values[out] = value
                        codes[out] = np.uint64(numbers[bundle]) << np.uint64(32) | np.uint64(
                            person - np.int64(firsts[bundle])
                        )
                        out += 1
                at += 1
    state[0], state[1] = item, out
