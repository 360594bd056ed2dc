"""Sorted, bucketed, memory-mapped sets of tags: build, save, open, look up, merge, difference."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]


class TagSet:
    """A set of 64-bit tags cut to their top 44 bits; 0 is never a member."""

    @classmethod
    def build(cls, tags: U64) -> Self:
        """From tags in any order, repeated or not, zeros ignored."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write the file whole or not at all, mode 0600."""
        raise NotImplementedError

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a saved set; raises StoreError for a damaged file."""
        raise NotImplementedError

    def verify(self) -> None:
        """Check the digest over everything; raises StoreError."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """Shape of `tags`: which are members. Threads may share a set."""
        raise NotImplementedError

    def to_array(self) -> U64:
        """Sorted cut tags, lower 20 bits zero; every one is found by `lookup`."""
        raise NotImplementedError

    def difference(self, other: TagSet) -> TagSet:
        """Members that `other` does not have."""
        raise NotImplementedError

    @classmethod
    def merge(cls, *sets: TagSet) -> Self:
        """The union."""
        raise NotImplementedError


def merge(*sets: TagSet) -> TagSet:
    """The union."""
    return TagSet.merge(*sets)
