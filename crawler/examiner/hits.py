"""Confirms candidates of a sample by their digests, and counts the hits for the members that contain them.

Candidates come from the byte pass (`crawler.matching.byte_pass`) and the record pass (`crawler.examiner.record_pass`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crawler.examiner.sample import SampleMember
from crawler.matching.canary_numbers import CanaryNumbers
from crawler.matching.candidates import Candidates
from crawler.matching.watchlist_match import ConfirmedHits, DigestedCandidates, confirm_hits, find_hits
from data.arrays.array_types import I64
from data.hashing.tags import Kind

# Sealed evidence holds at most so many values that hit: it is proof, not a copy.
MAX_EXCERPTS = 50
# So many candidates of a member may wait to be looked up together: 33 bytes each, and as much again while they are.
MAX_WAITING = 2**19


@dataclass(slots=True)
class _Waiting:
    """Candidates that wait: of one member, whose hits count for it (the last one) and for its containers."""

    members: tuple[SampleMember, ...]
    in_rows: list[DigestedCandidates] = field(default_factory=list)
    in_bytes: list[Candidates] = field(default_factory=list)
    count: int = 0


class HitConfirmer:
    """Confirms the hits of one sample.

    Where there are many, they are looked up in the watch-list together and in the order of their tags, because a list
    of millions of canaries is larger than the processor's caches.

    Attributes:
        numbers: of the canaries of the watch-list.
    """

    def __init__(self, numbers: CanaryNumbers, confirm_key: bytes) -> None:
        self.numbers, self._key = numbers, confirm_key
        self._excerpts: dict[tuple[int, bytes], None] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._rows = 0

    @property
    def excerpts(self) -> list[dict[str, str]]:
        """Kinds and values of the first hits, for sealed evidence; each value once."""
        return [
            {"kind": Kind(kind).word, "value": value.decode("utf-8", "replace").replace("\x1f", " ")}
            for kind, value in self._excerpts
        ]

    def add_candidates(self, candidates: Candidates, members: Sequence[SampleMember]) -> None:
        """Take candidates of the byte pass; their hits count once they do not wait any more.

        Args:
            candidates: of one member.
            members: its containers and itself, which is the last.
        """
        if len(candidates):
            waiting = self._waiting_of(candidates, members)
            waiting.in_bytes.append(candidates)
            self._limit(waiting)

    def add_rows(self, candidates: Candidates, rows: int, members: Sequence[SampleMember]) -> None:
        """Take everything that is on the watch-list in some rows; its hits count once it does not wait any more.

        Args:
            candidates: of one member.
            rows: how many rows these are.
            members: its containers and itself, which is the last.
        """
        if len(candidates):
            waiting = self._waiting_of(candidates, members)
            waiting.in_rows.append(DigestedCandidates.of(self._key, candidates, self._rows + candidates.places))
            self._limit(waiting)
        self._rows += rows

    def confirm_waiting(self, member: SampleMember) -> None:
        """Look up what waits of a member; to be called before its hits are counted."""
        waiting = self._waiting.pop(id(member), None)
        if waiting is None:
            return
        in_rows = DigestedCandidates.concatenated(waiting.in_rows)
        hits = find_hits(self.numbers, in_rows)
        rows = in_rows.places[hits.candidates]
        people = self.numbers.people_of_rows(hits.canaries, rows - rows.min(initial=self._rows), hits.candidates)
        # most values are in a row too, whose hit is the same
        in_bytes = Candidates.concatenated(waiting.in_bytes).without(in_rows.tags[hits.candidates])
        of_bytes = confirm_hits(self.numbers, self._key, in_bytes)
        for each in waiting.members:
            each.collector.add_rows(hits, people)
            each.collector.add_bytes(of_bytes)

    def confirm_readings(self, candidates: Candidates, people: I64, members: Sequence[SampleMember]) -> ConfirmedHits:
        """Confirm candidates of readings of people in text at once.

        Args:
            candidates: everything that is on the watch-list in some readings; their places are the readings.
            people: the person of each reading.
            members: the hits count for these.
        """
        confirmed = confirm_hits(self.numbers, self._key, candidates)
        if len(confirmed):
            self._keep_excerpts(candidates, confirmed)
            readings = candidates.places[confirmed.candidates]
            found = self.numbers.people_of_rows(confirmed.canaries, people[readings], confirmed.candidates)
            for member in members:
                member.collector.add_rows(confirmed, found)
        return confirmed

    def _waiting_of(self, candidates: Candidates, members: Sequence[SampleMember]) -> _Waiting:
        """Where some candidates of a member wait; excerpts are taken of them first."""
        if len(self._excerpts) < MAX_EXCERPTS:
            self._keep_excerpts(candidates, confirm_hits(self.numbers, self._key, candidates.first(MAX_EXCERPTS)))
        waiting = self._waiting.setdefault(id(members[-1]), _Waiting(tuple(members)))
        waiting.count += len(candidates)
        return waiting

    def _limit(self, waiting: _Waiting) -> None:
        if waiting.count > MAX_WAITING:
            self.confirm_waiting(waiting.members[-1])

    def _keep_excerpts(self, candidates: Candidates, confirmed: ConfirmedHits) -> None:
        for at, kind in zip(confirmed.candidates[:MAX_EXCERPTS].tolist(), confirmed.kinds.tolist(), strict=False):
            if len(self._excerpts) == MAX_EXCERPTS:
                break
            self._excerpts[kind, candidates.values.item(at)] = None
