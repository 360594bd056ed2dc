"""Confirms what the watch-list suspects of a sample, and counts what is certain for all members that it stands in.

What is suspected comes from the byte pass (`crawler.matching.byte_pass`) and the record pass (`crawler.examiner.record_pass`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crawler.examiner.sample import Member
from crawler.matching.byte_scanner import Candidate
from crawler.matching.watchlist_match import ConfirmedHits, confirm_hits
from data.arrays.array_types import I64, U8
from data.arrays.packed import Packed
from data.case.watchlist import Watchlist
from data.hashing.case_keys import Keys
from data.hashing.tags import Kind

# Sealed evidence holds at most this much of what hit: proof, not a copy.
MAX_EXCERPTS = 50


class Hits:
    """The hits of one sample.

    Attributes:
        excerpts: kinds and values of the first of them, for sealed evidence.
    """

    def __init__(self, watchlist: Watchlist, keys: Keys) -> None:
        self._watchlist, self._keys = watchlist, keys
        self.excerpts: list[dict[str, str]] = []

    def in_bytes(self, found: Sequence[Candidate], members: Sequence[Member]) -> None:
        """Confirm candidates of the byte pass; a hit counts for the member it is in and for all that hold it."""
        if not found:
            return
        values = list(dict.fromkeys((candidate.kind, candidate.value) for candidate in found))
        packed = Packed.of([value for _, value in values])
        confirmed = self._confirm(np.fromiter((kind for kind, _ in values), np.uint8, len(values)), packed)
        for member in members:
            member.collector.add_bytes(confirmed)

    def in_columns(
        self, inputs: Sequence[tuple[Kind, Packed]], numbers: I64, members: Sequence[Member]
    ) -> tuple[U8, I64]:
        """Confirm normal forms that stand in columns.

        Args:
            inputs: kinds and columns of n items each.
            numbers: shape (n,), the row or person that each item of a column is of.
            members: for which hits count.

        Returns:
            Kinds of what is certain, and places in the columns, both shape (m,).
        """
        count = len(numbers)
        kinds = np.repeat(np.array([kind for kind, _ in inputs], np.uint8), count)
        confirmed = self._confirm(kinds, Packed.concatenated([column for _, column in inputs]))
        places = confirmed.values % count
        for member in members:
            member.collector.add_rows(confirmed, numbers[places])
        return confirmed.kinds, places

    def _confirm(self, kinds: U8, values: Packed) -> ConfirmedHits:
        confirmed = confirm_hits(self._watchlist, self._keys, kinds, values)
        for at, kind in zip(confirmed.values[:MAX_EXCERPTS].tolist(), confirmed.kinds.tolist(), strict=False):
            if len(self.excerpts) < MAX_EXCERPTS:
                value = values.item(at).decode("utf-8", "replace").replace("\x1f", " ")
                self.excerpts.append({"kind": Kind(kind).word, "value": value})
        return confirmed
