"""How many bits of its tags a release stores: the fewest that still distinguish a foreign tag from its own.

The sets themselves are `data.tagsets.elias_fano`.
"""

from __future__ import annotations

from data.tagsets.tag_bits import KEPT_BITS, MIN_KEPT_BITS

KEY_BITS, VALUE_BITS = 22, 16
"""Bits stored beyond those that number as many buckets as a set has members, for record keys and for single values.

A foreign record key is taken for a member with a probability of 1.4e-7 to 2.8e-7, whatever the size of the set, at 24.5
to 25.7 bits per key. Single values need fewer bits: they only give shares, none smaller than a fiftieth.
"""
# The first releases, so many, are stored with the same number of bits as a single one. When their number doubles, the
# later half is stored with one bit more, and so on: the probabilities of false matches of all releases add up to at
# most 4.5e-6 for 16 releases, and to 2.3e-6 more with each doubling.
_RELEASES_PER_STEP = 16
# Where the number of bits increases: sets of 0.6 to 1.2 times a power of two keep the same number of bits. Any other
# place would take the same number of bytes; this one makes the largest probability of a false match as small as
# possible.
_NUMERATOR, _DENOMINATOR = 17, 10


def kept_bits_for(members: int, exactness_bits: int, earlier_releases: int) -> int:
    """How many bits of its tags the sets of a release keep.

    Args:
        members: number of members of the largest of these sets; all of them keep the same number of bits.
        exactness_bits: `KEY_BITS` or `VALUE_BITS`.
        earlier_releases: how many releases exist already.
    """
    late = (earlier_releases // _RELEASES_PER_STEP).bit_length()
    buckets = (members * _NUMERATOR // _DENOMINATOR).bit_length() - 1
    return min(KEPT_BITS, max(MIN_KEPT_BITS, buckets + exactness_bits + late))
