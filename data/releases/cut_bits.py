"""How many bits of its tags a release keeps: as few as tell a stranger's from its own. The sets are `data.tagsets.elias_fano`."""

from __future__ import annotations

from data.tagsets.elias_fano import MIN_KEPT_BITS
from data.tagsets.tagset import KEPT_BITS

KEY_BITS, VALUE_BITS = 22, 16
"""Bits behind those that number as many buckets as a set has members. Of record keys: a stranger's is taken for one of
the set's with a probability of 1.4e-7 to 2.8e-7, whatever its size, at 24.5 to 25.7 bits a key. Single values need less:
they tell shares, of no less than a fiftieth."""
# So many releases keep no more bits than one would that is alone. Of twice as many the later half keeps one bit more,
# and so on: the chances of all add up to at most 4.5e-6 for 16, and 2.3e-6 more with each doubling.
_ALIKE = 16
# Where the number of bits steps up: sets of 0.6 to 1.2 times a power of two are cut alike, which takes the same bytes
# as another place would, and makes the greatest chance least.
_NUMERATOR, _DENOMINATOR = 17, 10


def cut_bits(members: int, behind: int, earlier: int) -> int:
    """How many bits of its tags the sets of a release keep.

    Args:
        members: of the largest of these sets; the others are cut alike.
        behind: `KEY_BITS` or `VALUE_BITS`.
        earlier: how many releases there are already.
    """
    late = (earlier // _ALIKE).bit_length()
    buckets = (members * _NUMERATOR // _DENOMINATOR).bit_length() - 1
    return min(KEPT_BITS, max(MIN_KEPT_BITS, buckets + behind + late))
