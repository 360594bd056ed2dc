"""A bitmap that tells most strangers of many tag sets from their members in one look; the sets themselves tell the rest."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import read_only

# A place is chosen by so many bits and six more of a tag, of which every set keeps 32 at least.
_LEAST_BITS, _MOST_BITS = 7, 26
# 8 to 16 bits a member: one stranger in 20 to 60 passes.
_BITS_A_MEMBER = 8
MOST = (1 << _MOST_BITS) // _BITS_A_MEMBER
"""Members of all sets together, above which more strangers would pass: then it has 8 MB."""


class Sieve:
    """Of some sets of tags. Immutable; threads may share it."""

    def __init__(self, members: Iterable[U64], count: int) -> None:
        """Of sets: the members of each, shape (n,), 64 bits of which 32 or more are kept, and how many they are together."""
        from data.tagsets import bloom_kernels

        self._bits = min(_MOST_BITS, max(_LEAST_BITS, (_BITS_A_MEMBER * count).bit_length()))
        self._bitmap = np.zeros(1 << self._bits - 6, np.uint64)
        for tags in members:
            bloom_kernels.fill(read_only(tags, np.uint64), self._bits, self._bitmap)

    def passing(self, tags: U64, column: int, found: Bools) -> I64:
        """The rows of a column of tags, shape (n, columns), that may be members and that are not found yet."""
        from data.tagsets import bloom_kernels

        return bloom_kernels.passing(read_only(tags, np.uint64), column, found, self._bits, self._bitmap)
