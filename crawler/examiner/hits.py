"""Confirms candidates of a sample by their digests, and counts the hits for the members that contain them.

Candidates come from the byte pass (`crawler.matching.byte_pass`) and the record pass (`crawler.examiner.record_pass`).
"""

from __future__ import annotations

from collections.abc import Sequence

from crawler.examiner.sample import SampleMember
from crawler.matching.canary_numbers import CanaryNumbers
from crawler.matching.candidates import Candidates
from crawler.matching.watchlist_match import ConfirmedHits, confirm_hits
from data.arrays.array_types import I64
from data.hashing.tags import Kind

# Sealed evidence holds at most so many values that hit: it is proof, not a copy.
MAX_EXCERPTS = 50
# So many candidates of the byte pass may wait: 5 MB of a dump of nothing but canaries.
MAX_WAITING = 2**17


class HitConfirmer:
    """Confirms the hits of one sample.

    Attributes:
        numbers: of the canaries of the watch-list.
    """

    def __init__(self, numbers: CanaryNumbers, confirm_key: bytes) -> None:
        self.numbers, self._key = numbers, confirm_key
        self._excerpts: dict[tuple[int, bytes], None] = {}
        self._waiting: list[Candidates] = []
        self._waiting_for: tuple[SampleMember, ...] = ()

    @property
    def excerpts(self) -> list[dict[str, str]]:
        """Kinds and values of the first hits, for sealed evidence; each value once."""
        return [
            {"kind": Kind(kind).word, "value": value.decode("utf-8", "replace").replace("\x1f", " ")}
            for kind, value in self._excerpts
        ]

    def add_candidates(self, candidates: Candidates, members: Sequence[SampleMember]) -> None:
        """Take candidates of the byte pass; hits count for `members`: the member they are in last, after its containers.

        They wait until there are many, or for `confirm_waiting`: the rows of the same bytes confirm most of them first.
        """
        if not len(candidates):
            return
        if self._waiting and self._waiting_for[-1] is not members[-1]:
            self.confirm_waiting()
        self._waiting_for = tuple(members)
        self._waiting.append(candidates)
        if sum(map(len, self._waiting)) > MAX_WAITING:
            self.confirm_waiting()

    def confirm_waiting(self) -> None:
        """Confirm the candidates that wait; to be called before the hits of a member are counted."""
        if not self._waiting:
            return
        innermost = self._waiting_for[-1].collector
        candidates = innermost.without_confirmed(Candidates.concatenated(self._waiting))
        self._waiting = []
        confirmed = self._confirm(candidates)
        if len(confirmed):
            innermost.remember(candidates.tags[confirmed.candidates])
            for member in self._waiting_for:
                member.collector.add_bytes(confirmed)

    def confirm_rows(
        self, candidates: Candidates, members: Sequence[SampleMember], people: I64 | None = None
    ) -> ConfirmedHits:
        """Confirm candidates of rows, or of readings of people in text; hits count for `members`.

        Args:
            candidates: everything that is on the watch-list in some rows; nothing else may follow of these rows.
            members: the hits count for these.
            people: the person of each reading; None if `places` of the candidates are rows.
        """
        confirmed = self._confirm(candidates)
        if len(confirmed):
            rows = candidates.places[confirmed.candidates]
            rows = rows if people is None else people[rows]
            found = self.numbers.people_of_rows(confirmed.canaries, rows, confirmed.candidates)
            for member in members:
                member.collector.add_rows(confirmed, found)
            of_values = confirmed.candidates[confirmed.kinds < Kind.NAME_DOB]
            members[-1].collector.remember(candidates.tags[of_values])
        return confirmed

    def _confirm(self, candidates: Candidates) -> ConfirmedHits:
        confirmed = confirm_hits(self.numbers, self._key, candidates)
        for at, kind in zip(confirmed.candidates[:MAX_EXCERPTS].tolist(), confirmed.kinds.tolist(), strict=False):
            if len(self._excerpts) == MAX_EXCERPTS:
                break
            self._excerpts[kind, candidates.values.item(at)] = None
        return confirmed
