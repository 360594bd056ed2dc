"""A Bloom filter over the members of many tag sets.

With one memory access it rules out most tags that are in none of the sets; the tags that pass must still be looked up.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import read_only

# log2 of the bitmap's size in bits. The filter uses this many leading bits of a tag, plus six more; every tag set keeps
# at least 32 bits.
_MIN_SIZE_BITS, _MAX_SIZE_BITS = 7, 26
# 8 to 16 bits of bitmap per member: one tag in 20 to 60 that is in no set passes.
_BITS_PER_MEMBER = 8
MAX_MEMBERS = (1 << _MAX_SIZE_BITS) // _BITS_PER_MEMBER
"""The number of members, of all sets together, above which more tags pass wrongly. The bitmap then takes 8 MB."""


class BloomFilter:
    """A Bloom filter over the members of some tag sets. Immutable; threads may share it."""

    def __init__(self, members: Iterable[U64], count: int) -> None:
        """Build the filter.

        Args:
            members: one array of tags for each set, shape (n,), 64 bits of which at least the first 32 are kept.
            count: number of members of all sets together.
        """
        from data.tagsets import bloom_kernels

        self._size_bits = min(_MAX_SIZE_BITS, max(_MIN_SIZE_BITS, (_BITS_PER_MEMBER * count).bit_length()))
        self._bitmap = np.zeros(1 << self._size_bits - 6, np.uint64)
        for tags in members:
            bloom_kernels.add_to_bitmap(read_only(tags, np.uint64), self._size_bits, self._bitmap)

    def candidate_rows(self, tags: U64, column: int, found: Bools) -> I64:
        """The rows whose tag in `column` may be a member, except those that `found` already marks.

        Args:
            tags: shape (n, columns).
            column: of `tags` and of `found`.
            found: shape (n, columns).
        """
        from data.tagsets import bloom_kernels

        tags = read_only(tags, np.uint64)
        return bloom_kernels.candidate_rows_loop(tags, column, found, self._size_bits, self._bitmap)
