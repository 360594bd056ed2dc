"""An index that estimates which of many releases share records with a sample.

It holds a small part of all record keys. The keys themselves decide whether they belong to this part (FracMinHash), so
a key that is in the index for one release is in it for every other release that holds the key. The results are
estimates; the counts that are reported come from the whole sets.

Source: Irber et al. 2022, "Lightweight compositional analysis of metagenomes with FracMinHash".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.arrays.array_types import I64, U64
from data.tagsets.tag_bits import KEPT_BITS

MAX_TRIAGE_BITS = 10
"""Of the largest releases one key in 2**10 is kept."""
_DROPPED_BITS = np.uint64(64 - KEPT_BITS)
# room for a million releases
_OWNER_MASK = np.uint64((1 << 64 - KEPT_BITS) - 1)
# All keys of a release with fewer records are kept: a sample of a small release saves few bytes beside its sets.
_MAX_UNSAMPLED_RECORDS = 64
# log2 of the number of places in the filter before the index
_FILTER_BITS = 20


def triage_bits(records: int) -> int:
    """The number of bits b so that the index keeps one key in 2**b of a release with so many records.

    All keys of a small release are kept; of a larger one the keys of at least about 32 records.
    """
    return min(MAX_TRIAGE_BITS, (records // _MAX_UNSAMPLED_RECORDS).bit_length())


def select_triage_tags(tags: U64, bits: int) -> U64:
    """The tags, of 64 bits each, that the index keeps."""
    # chosen by bits that truncated tags drop, so that the tags of this part remain as exact as all others
    part: U64 = tags[(tags & np.uint64((1 << bits) - 1)) == 0]
    return part


class TriageIndex:
    """Every key of the index, with the releases that hold it."""

    def __init__(self, tags_by_release: Sequence[U64], bits: Sequence[int]) -> None:
        """Build the index.

        Args:
            tags_by_release: for each release the tags that `select_triage_tags` chose, truncated or not.
            bits: for each release the result of `triage_bits`.
        """
        sizes = [len(tags) for tags in tags_by_release]
        # the number of the release takes the place of the dropped bits: sorting numbers takes a tenth of the time of
        # sorting their indexes
        tags = np.concatenate([*tags_by_release, np.zeros(0, np.uint64)]) >> _DROPPED_BITS << _DROPPED_BITS
        both = np.sort(tags | np.repeat(np.arange(len(tags_by_release), dtype=np.uint64), sizes))
        self._tags, self._owners = both >> _DROPPED_BITS, (both & _OWNER_MASK).astype(np.int64)
        self._scale = np.array([1 << each for each in bits], np.int64)
        # which leading bits occur in the index at all: one look at this array rules out most keys of a sample
        self._prefixes = np.zeros(1 << _FILTER_BITS, bool)
        self._prefixes[(self._tags >> np.uint64(KEPT_BITS - _FILTER_BITS)).astype(np.int64)] = True

    def __len__(self) -> int:
        return len(self._tags)

    def estimate(self, tags: U64) -> I64:
        """Estimate for each release how many of these tags, shape (n,), it holds; shape (releases,)."""
        wanted = tags >> _DROPPED_BITS
        wanted = np.sort(wanted[self._prefixes[(wanted >> np.uint64(KEPT_BITS - _FILTER_BITS)).astype(np.int64)]])
        if not len(wanted) or not len(self._tags):
            return np.zeros(len(self._scale), np.int64)
        first = np.searchsorted(self._tags, wanted, "left")
        last = np.searchsorted(self._tags, wanted, "right")
        runs = last - first
        places = np.repeat(first - np.concatenate([[0], np.cumsum(runs)[:-1]]), runs) + np.arange(runs.sum())
        found: I64 = np.bincount(self._owners[places], minlength=len(self._scale)) * self._scale
        return found
