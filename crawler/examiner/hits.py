"""Confirms candidates of a sample by their digests, and counts the hits for the members that contain them.

Candidates come from the byte pass (`crawler.matching.byte_pass`) and the record pass (`crawler.examiner.record_pass`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crawler.examiner.sample import SampleMember
from crawler.matching.canary_numbers import CanaryNumbers
from crawler.matching.candidates import Candidates, UnreadCandidates
from crawler.matching.matched_lines import NOTHING, MatchedLine, Piece
from crawler.matching.watchlist_match import ConfirmedHits, DigestedCandidates, HitCollector, confirm_hits, find_hits
from data.arrays.array_types import I64, U8, U64, Bools
from data.hashing.tags import Kind

# Sealed evidence holds at most so many values that hit: it is proof, not a copy.
MAX_EXCERPTS = 50
# And so many of the lines in which they stand, each with a little of what is around it.
MAX_LINES = 20
# What stands in a row is kept beside its number, in the lowest bits.
_DATA_BITS = 8
# So many candidates of a member may wait to be looked up together: 25 bytes each, and as much again while they are.
MAX_WAITING = 2**19


_SEPARATORS = re.compile(rb"[\s;,|\"']+")


def no_line(place: int) -> None:
    """For candidates of which no line is at hand."""


@dataclass(slots=True)
class _Waiting:
    """Candidates that wait: of one member, whose hits count for it (the last one) and for its containers."""

    members: tuple[SampleMember, ...]
    in_rows: list[DigestedCandidates] = field(default_factory=list)
    # record keys but name+dob, which are looked up only where the others leave a question
    further_keys: list[UnreadCandidates] = field(default_factory=list)
    in_bytes: list[Candidates] = field(default_factory=list)
    count: int = 0


class HitConfirmer:
    """Confirms the hits of one sample.

    Where there are many, they are looked up in the watch-list together and in the order of their tags, because a list
    of millions of canaries is larger than the processor's caches. That is done in a thread of its own, beside the passes:
    in a dump of nothing but canaries it takes as long as reading the rows.

    Attributes:
        numbers: of the canaries of the watch-list.
    """

    def __init__(self, numbers: CanaryNumbers, confirm_key: bytes) -> None:
        self.numbers, self._key = numbers, confirm_key
        self._excerpts: dict[tuple[int, bytes], None] = {}
        self._lines: dict[tuple[str, bytes], MatchedLine] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._rows = 0
        # tags of values that too many canaries share, sorted
        self._passed_over: U64 = np.zeros(0, np.uint64)
        self._thread: ThreadPoolExecutor | None = None
        # what is being looked up in the thread; until it is done nothing else may use the collectors
        self._confirming: Future[None] | None = None

    @property
    def excerpts(self) -> list[dict[str, str]]:
        """Kinds and values of the first hits, for sealed evidence; each value once."""
        return [
            {"kind": Kind(kind).word, "value": value.decode("utf-8", "replace").replace("\x1f", " ")}
            for kind, value in self._excerpts
        ]

    @property
    def lines(self) -> list[dict[str, str]]:
        """The lines in which the first hits stand, for sealed evidence: `member`, `before`, `line`, `after`; each line once."""
        return [{"member": member, **line.to_json()} for (member, _), line in self._lines.items()]

    def add_candidates(self, candidates: Candidates, members: Sequence[SampleMember], piece: Piece = NOTHING) -> None:
        """Take candidates of the byte pass; their hits count once they do not wait any more.

        Args:
            candidates: of one member.
            members: its containers and itself, which is the last.
            piece: the bytes in which their places are.
        """
        if len(candidates):
            waiting = self._waiting_of(candidates, members, piece.line_at)
            waiting.in_bytes.append(candidates)
            self._limit(waiting)

    def add_rows(
        self,
        candidates: Candidates,
        data: U8,
        members: Sequence[SampleMember],
        line_of: Callable[[int], MatchedLine | None] = no_line,
        further: Sequence[UnreadCandidates] = (),
    ) -> None:
        """Take everything that is on the watch-list in some rows; its hits count once it does not wait any more.

        Args:
            candidates: of one member.
            data: what stands in each row, as bits of `data.model.HIT_DATA`; shape (n,) for n rows.
            members: its containers and itself, which is the last.
            line_of: gives a row by its number as a line of text.
            further: of the same rows, record keys but name+dob; no excerpts are taken of them.
        """
        if len(candidates) or further:
            waiting = self._waiting_of(candidates, members, line_of)
            is_further = candidates.kinds > Kind.NAME_DOB
            if is_further.any():
                some = candidates.take(np.flatnonzero(is_further))
                candidates = candidates.take(np.flatnonzero(~is_further))
                waiting.further_keys.append(self._of_sample(some.unread(), data))
            for each in further:
                waiting.further_keys.append(self._of_sample(each, data))
                waiting.count += len(each)
            places = self._of_sample(candidates.unread(), data).places
            waiting.in_rows.append(DigestedCandidates.of(self._key, candidates, places))
            self._limit(waiting)
        self._rows += len(data)

    def confirm_waiting(self, member: SampleMember) -> None:
        """Look up what waits of a member; to be called before its hits are counted.

        Raises:
            StoreError: the watch-list is damaged.
        """
        self._wait()
        waiting = self._waiting.pop(id(member), None)
        if waiting is not None:
            self._confirm(waiting)

    def close(self) -> None:
        """End the thread; hits that are still being looked up do not count."""
        if self._thread is not None:
            self._thread.shutdown()

    def _wait(self) -> None:
        """Wait until the thread looks nothing up, and raise what it raised."""
        confirming, self._confirming = self._confirming, None
        if confirming is not None:
            confirming.result()

    def _confirm(self, waiting: _Waiting) -> None:
        in_rows = DigestedCandidates.concatenated(waiting.in_rows)
        hits = self._find(in_rows)
        more = DigestedCandidates.concatenated([*self._with_a_question(waiting, in_rows, hits)])
        if len(more.tags):
            hits = hits.joined(self._find(more), len(in_rows.tags))
            in_rows = DigestedCandidates.concatenated([in_rows, more])
        places = in_rows.places[hits.candidates]
        rows = places >> _DATA_BITS
        people = self.numbers.hits_of_people(hits.canaries, rows - rows.min(initial=self._rows), hits.candidates)
        data = (places[people] & ((1 << _DATA_BITS) - 1)).astype(np.uint8)
        # most values are in a row too, whose hit is the same
        in_bytes = Candidates.concatenated(waiting.in_bytes).without(in_rows.tags[hits.candidates])
        of_bytes = self._find(DigestedCandidates.of(self._key, in_bytes, in_bytes.places))
        for each in waiting.members:
            each.collector.add_rows(hits, people, data)
            each.collector.add_bytes(of_bytes)

    def confirm_readings(
        self,
        candidates: Candidates,
        people: I64,
        data: U8,
        members: Sequence[SampleMember],
        line_of: Callable[[int], MatchedLine | None] = no_line,
    ) -> ConfirmedHits:
        """Confirm candidates of readings of people in text at once.

        Args:
            candidates: everything that is on the watch-list in some readings; their places are the readings.
            people: the person of each reading.
            data: what each reading holds, as bits of `data.model.HIT_DATA`.
            members: the hits count for these.
            line_of: gives the lines in which a person stands, by the person's number.
        """
        self._wait()
        confirmed = self._find(DigestedCandidates.of(self._key, candidates, candidates.places))
        if len(confirmed):
            self._keep_excerpts(candidates, confirmed)
            readings = candidates.places[confirmed.candidates]
            self._keep_lines(members[-1].name, people[readings[:MAX_EXCERPTS]].tolist(), line_of)
            found = self.numbers.hits_of_people(confirmed.canaries, people[readings], confirmed.candidates)
            for member in members:
                member.collector.add_rows(confirmed, found, data[readings[found]])
        return confirmed

    def state(self) -> dict[str, Any]:
        """What is known beside the hits of the members; nothing may wait."""
        return {
            "excerpts": [[kind, base64.b64encode(value).decode()] for kind, value in self._excerpts],
            "lines": [[member, line.state()] for (member, _), line in self._lines.items()],
            "passed_over": self._passed_over,
        }

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Add a `state`."""
        for kind, value in state["excerpts"]:
            if len(self._excerpts) < MAX_EXCERPTS:
                self._excerpts[kind, base64.b64decode(value)] = None
        for member, held in state["lines"]:
            line = MatchedLine.from_state(held)
            if len(self._lines) < MAX_LINES:
                self._lines.setdefault((member, _SEPARATORS.sub(b"", line.line)), line)
        self._passed_over = np.union1d(self._passed_over, state["passed_over"])

    def notes(self) -> list[str]:
        """A sentence about the values that too many canaries share, if there were any; it contains no value."""
        count = len(self._passed_over)
        if count == 1:
            return ["1 value that more than 64 enrolled people share was seen and is not used to recognise anybody"]
        if count:
            return [
                f"{count:,} values that more than 64 enrolled people share were seen and are not used to recognise anybody"
            ]
        return []

    def _find(self, candidates: DigestedCandidates) -> ConfirmedHits:
        hits = find_hits(self.numbers, candidates)
        if len(hits.passed_over):
            self._passed_over = np.union1d(self._passed_over, hits.passed_over)
        return hits

    @property
    def needs_excerpts(self) -> bool:
        """Whether sealed evidence has room for further values and lines."""
        return len(self._excerpts) < MAX_EXCERPTS

    def _of_sample(self, candidates: UnreadCandidates, data: U8) -> UnreadCandidates:
        """Candidates of some rows, with places that tell rows of the whole sample, and what stands in them."""
        return replace(candidates, places=(self._rows + candidates.places) << _DATA_BITS | data[candidates.places])

    def _with_a_question(
        self, waiting: _Waiting, in_rows: DigestedCandidates, hits: ConfirmedHits
    ) -> Iterator[DigestedCandidates]:
        """The further record keys of rows that must be looked up."""
        parts = waiting.further_keys
        if not parts:
            return
        places, kinds = np.concatenate([each.places for each in parts]), np.concatenate([each.kinds for each in parts])
        open_ = self._leave_a_question(places, kinds, in_rows, hits, waiting.members[-1].collector)
        borders = np.cumsum([len(each) for each in parts])[:-1]
        for each, chosen in zip(parts, np.split(open_, borders), strict=True):
            if chosen.any():
                further = each.take(np.flatnonzero(chosen))
                yield DigestedCandidates.of(self._key, further, further.places)

    def _leave_a_question(
        self, places: I64, kinds: U8, in_rows: DigestedCandidates, hits: ConfirmedHits, collector: HitCollector
    ) -> Bools:
        """Which further record keys, by their places and kinds, must be looked up; shape (n,).

        A record key consists of values that are looked up by themselves. So it adds nothing to a row that belongs to a
        canary by a value which that canary alone has, unless the kind of the key has not hit this client before.
        """
        if not len(places):
            return np.zeros(0, np.bool_)
        places, listed = places >> _DATA_BITS, in_rows.places >> _DATA_BITS
        base = int(places.min())
        owner_of = np.full(int(places.max()) - base + 1, -1, np.int64)
        is_own = np.bincount(hits.candidates, minlength=1)[hits.candidates] == 1
        rows, owners = listed[hits.candidates[is_own]] - base, self.numbers.clients_of(hits.canaries[is_own])
        inside = (rows >= 0) & (rows < len(owner_of))
        rows, owners = rows[inside], owners[inside]
        owner_of[rows] = owners
        # rows with values of several clients
        owner_of[rows[owner_of[rows] != owners]] = -1
        if len(hits.passed_over):
            rows = listed[np.isin(in_rows.tags, hits.passed_over)] - base
            owner_of[rows[(rows >= 0) & (rows < len(owner_of))]] = -1
        owners = owner_of[places - base]
        open_: Bools = (owners < 0) | ~collector.has_kind(owners, kinds)
        return open_

    def _waiting_of(
        self, candidates: Candidates, members: Sequence[SampleMember], line_of: Callable[[int], MatchedLine | None]
    ) -> _Waiting:
        """Where some candidates of a member wait; excerpts are taken of them first."""
        if self.needs_excerpts and len(candidates):
            confirmed = confirm_hits(self.numbers, self._key, candidates.first(MAX_EXCERPTS))
            self._keep_excerpts(candidates, confirmed)
            self._keep_lines(members[-1].name, candidates.places[confirmed.candidates].tolist(), line_of)
        waiting = self._waiting.setdefault(id(members[-1]), _Waiting(tuple(members)))
        waiting.count += len(candidates)
        return waiting

    def _limit(self, waiting: _Waiting) -> None:
        if waiting.count <= MAX_WAITING:
            return
        del self._waiting[id(waiting.members[-1])]
        # no more than one part of a sample is looked up while another one is collected
        self._wait()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="hits")
        self._confirming = self._thread.submit(self._confirm, waiting)

    def _keep_excerpts(self, candidates: Candidates, confirmed: ConfirmedHits) -> None:
        for at, kind in zip(confirmed.candidates[:MAX_EXCERPTS].tolist(), confirmed.kinds.tolist(), strict=False):
            if len(self._excerpts) == MAX_EXCERPTS:
                break
            self._excerpts[kind, candidates.values.item(at)] = None

    def _keep_lines(self, member: str, places: Sequence[int], line_of: Callable[[int], MatchedLine | None]) -> None:
        for place in dict.fromkeys(places):
            if len(self._lines) == MAX_LINES:
                break
            line = line_of(place)
            if line is not None:
                # a row is found as its cells and as bytes of the file, which differ in what separates them
                text = _SEPARATORS.sub(b"", line.line)
                # and a person of running text in several lines, of which one may have been found by a number in it
                if text and not any(name == member and text in known for name, known in self._lines):
                    self._lines[member, text] = line
