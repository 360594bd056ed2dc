"""Which of many releases are worth a look beside a sample: one index over a small share of all their keys.

The share is chosen by the keys themselves (FracMinHash), so that a key that is in the index of one release is in that
of every other which holds it. What is found here is an estimate; counts of record are made on whole sets.

Source: Irber et al. 2022, "Lightweight compositional analysis of metagenomes with FracMinHash".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.arrays.array_types import I64, U64
from data.tagsets.tagset import KEPT_BITS

MOST_BITS = 10
"""At most one key in 2**10 is kept."""
_DROPPED = np.uint64(64 - KEPT_BITS)
# a million releases
_OWNER = np.uint64((1 << 64 - KEPT_BITS) - 1)
# A release of fewer records is kept whole: the share of a small one would else take as many bytes as its sets.
_WHOLE = 64


def share_bits(records: int) -> int:
    """One key in 2**bits is kept of a release of so many records: all of a small one, 32 records' and more of others."""
    return min(MOST_BITS, (records // _WHOLE).bit_length())


def share_of(tags: U64, bits: int) -> U64:
    """The part of tags, 64 bits each, that the index keeps."""
    # by bits that the cut drops: within the share nothing is lost of its exactness
    part: U64 = tags[(tags & np.uint64((1 << bits) - 1)) == 0]
    return part


class Triage:
    """The index: every kept key and the releases that hold it."""

    def __init__(self, kept: Sequence[U64], bits: Sequence[int]) -> None:
        """`kept`: per release the tags of its share, cut or not; `bits`: as `share_bits` says, one for each."""
        sizes = [len(tags) for tags in kept]
        # the owner stands where the cut left room: sorting numbers takes a tenth of the time of sorting their places
        tags = np.concatenate([*kept, np.zeros(0, np.uint64)]) >> _DROPPED << _DROPPED
        both = np.sort(tags | np.repeat(np.arange(len(kept), dtype=np.uint64), sizes))
        self._tags, self._owners = both >> _DROPPED, (both & _OWNER).astype(np.int64)
        self._scale = np.array([1 << each for each in bits], np.int64)
        # which of the leading bits occur at all: most keys of a sample are done with after one look
        self._front = np.zeros(1 << 20, bool)
        self._front[(self._tags >> np.uint64(KEPT_BITS - 20)).astype(np.int64)] = True

    def __len__(self) -> int:
        return len(self._tags)

    def estimate(self, tags: U64) -> I64:
        """Per release, shape (releases,), how many of these tags, shape (n,), it holds: an estimate."""
        cut = tags >> _DROPPED
        cut = np.sort(cut[self._front[(cut >> np.uint64(KEPT_BITS - 20)).astype(np.int64)]])
        if not len(cut) or not len(self._tags):
            return np.zeros(len(self._scale), np.int64)
        first = np.searchsorted(self._tags, cut, "left")
        last = np.searchsorted(self._tags, cut, "right")
        runs = last - first
        places = np.repeat(first - np.concatenate([[0], np.cumsum(runs)[:-1]]), runs) + np.arange(runs.sum())
        found: I64 = np.bincount(self._owners[places], minlength=len(self._scale)) * self._scale
        return found
