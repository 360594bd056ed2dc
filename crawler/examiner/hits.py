"""Confirms candidates of a sample by their digests, and counts the hits for the members that contain them.

Candidates come from the byte pass (`crawler.matching.byte_pass`) and the record pass (`crawler.examiner.record_pass`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crawler.examiner.sample import SampleMember
from crawler.matching.byte_scanner import Candidate
from crawler.matching.watchlist_match import ConfirmedHits, confirm_hits
from data.arrays.array_types import I64, U8
from data.arrays.packed import Packed
from data.case.watchlist import Watchlist
from data.hashing.case_keys import Keys
from data.hashing.tags import Kind

# Sealed evidence holds at most so many values that hit: it is proof, not a copy.
MAX_EXCERPTS = 50


class HitConfirmer:
    """Confirms the hits of one sample.

    Attributes:
        excerpts: kinds and values of the first hits, for sealed evidence.
    """

    def __init__(self, watchlist: Watchlist, keys: Keys) -> None:
        self._watchlist, self._keys = watchlist, keys
        self.excerpts: list[dict[str, str]] = []

    def confirm_candidates(self, candidates: Sequence[Candidate], members: Sequence[SampleMember]) -> None:
        """Confirm candidates of the byte pass; hits count for `members`: the member they are in, and its containers."""
        if not candidates:
            return
        values = list(dict.fromkeys((candidate.kind, candidate.value) for candidate in candidates))
        packed = Packed.of([value for _, value in values])
        confirmed = self._confirm(np.fromiter((kind for kind, _ in values), np.uint8, len(values)), packed)
        for member in members:
            member.collector.add_bytes(confirmed)

    def confirm_columns(
        self, inputs: Sequence[tuple[Kind, Packed]], numbers: I64, members: Sequence[SampleMember]
    ) -> tuple[U8, I64]:
        """Confirm columns of normal forms.

        Args:
            inputs: kinds, and columns of n items each.
            numbers: shape (n,), the row or person of each item of a column.
            members: the hits count for these.

        Returns:
            The kind of each hit, and its place in its column; shape (m,) both.
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
