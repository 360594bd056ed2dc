"""Matches values of a sample with the watch-list: which canaries of which clients the sample holds. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from crawler.matching.canary_numbers import CanaryNumbers, MarkedCanaries
from crawler.matching.candidates import Candidates, order_by_tag
from data.arrays.array_types import I64, U8, U64, Bools
from data.case.canary_bitmaps import bitmaps_of_codes
from data.hashing.tags import Kind, confirm_digests
from data.model import HIT_DATA, Hit

# marks of canaries: hit by rows, hit by bytes, and the person that a row is about
_IN_ROWS, _IN_BYTES, _IS_PERSON = 1, 2, 4
_KINDS = max(Kind) + 1


@dataclass(frozen=True, slots=True, eq=False)
class ConfirmedHits:
    """Hits whose confirm digest agrees.

    Attributes:
        candidates: shape (m,), the candidate that each is.
        canaries: shape (m,), the number of its canary (`crawler.matching.canary_numbers`).
        kinds: shape (m,), its kind.
        passed_over: shape (k,), tags of candidates that too many canaries share to be evidence for any of them; a tag
            may occur several times.
    """

    candidates: I64
    canaries: I64
    kinds: U8
    passed_over: U64

    def __len__(self) -> int:
        return len(self.candidates)

    def joined(self, others: ConfirmedHits, before: int) -> ConfirmedHits:
        """These hits and others, whose candidates follow `before` candidates."""
        return ConfirmedHits(
            np.concatenate([self.candidates, before + others.candidates]),
            np.concatenate([self.canaries, others.canaries]),
            np.concatenate([self.kinds, others.kinds]),
            np.concatenate([self.passed_over, others.passed_over]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class DigestedCandidates:
    """Candidates whose values were replaced with their confirm digests.

    Attributes:
        kinds: shape (n,). tags: shape (n,).
        digests: shape (n,), the first eight bytes of each confirm digest, which are those that a watch-list keeps.
        places: shape (n,), where each was found, in the caller's own numbers.
    """

    kinds: U8
    tags: U64
    digests: U64
    places: I64

    @classmethod
    def of(cls, confirm_key: bytes, candidates: Candidates, places: I64) -> DigestedCandidates:
        """The candidates with their digests, and with other places."""
        digests = confirm_digests(confirm_key, candidates.kinds, candidates.values).view("<u8")[:, 0].copy()
        return cls(candidates.kinds, candidates.tags, digests, places)

    @classmethod
    def concatenated(cls, parts: Sequence[DigestedCandidates]) -> DigestedCandidates:
        """The candidates of several parts, one part after the other."""
        if not parts:
            return cls.of(bytes(32), Candidates.none(), np.zeros(0, np.int64))
        return cls(
            np.concatenate([part.kinds for part in parts]),
            np.concatenate([part.tags for part in parts]),
            np.concatenate([part.digests for part in parts]),
            np.concatenate([part.places for part in parts]),
        )


def find_hits(numbers: CanaryNumbers, candidates: DigestedCandidates) -> ConfirmedHits:
    """The candidates that are canaries: tag, kind and confirm digest are those of an entry of the watch-list."""
    if not len(candidates.tags):
        return ConfirmedHits(
            np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.uint64)
        )
    # in the order of the tags, which is that of the watch-list: a search then stays near the one before it
    order = order_by_tag(candidates.tags)
    tags, kinds = candidates.tags[order], candidates.kinds[order]
    passed_over = np.zeros(len(tags), np.bool_)
    digests = candidates.digests[order].view(np.uint8).reshape(-1, 8)
    found, codes = numbers.owners.resolve(tags, digests, kinds, passed_over=passed_over)
    # the same filler may stand in many rows
    told = tags[passed_over]
    return ConfirmedHits(order[found], numbers.of_codes(codes), kinds[found], told[np.diff(told, prepend=0) != 0])


def confirm_hits(numbers: CanaryNumbers, confirm_key: bytes, candidates: Candidates) -> ConfirmedHits:
    """The candidates that are canaries: their tag is on the watch-list and their confirm digest agrees."""
    return find_hits(numbers, DigestedCandidates.of(confirm_key, candidates, candidates.places))


# few combinations of kinds hit the clients of one sample
@lru_cache(maxsize=1024)
def _words(kinds: bytes) -> tuple[str, ...]:
    """The words of the kinds that are set, of a byte for each kind."""
    return tuple(Kind(kind).word for kind, is_set in enumerate(kinds) if is_set)


class HitCollector:
    """Collects the confirmed hits of one sample or member, and counts them by client."""

    def __init__(self, numbers: CanaryNumbers, post_key: bytes) -> None:
        """Begin a sample or member; `post_key` is the key of its fingerprint."""
        self._numbers, self._post_key = numbers, post_key
        self._marked = MarkedCanaries()
        # what stands in the rows of those that rows are about
        self._data = MarkedCanaries()
        # which kinds of value hit, by client; made at the first hit
        self._kinds: Bools | None = None

    @property
    def has_hits(self) -> bool:
        """Whether there is any hit."""
        return bool(self._marked)

    @property
    def has_planted_hits(self) -> bool:
        """Whether a planted canary hit, an invented person who exists nowhere but at a client."""
        return self.has_hits and self._numbers.any_planted(self._marked.sorted()[0])

    def has_kind(self, clients: I64, kinds: U8) -> Bools:
        """Whether a kind of value has hit a client before, for n clients (their places) and kinds; shape (n,)."""
        return np.zeros(len(clients), np.bool_) if self._kinds is None else self._kinds[clients, kinds]

    def add_bytes(self, confirmed: ConfirmedHits) -> None:
        """Add hits of the byte pass."""
        self._add(confirmed, _IN_BYTES)

    def add_rows(self, confirmed: ConfirmedHits, people: I64, data: U8) -> None:
        """Add hits of the record pass.

        Args:
            confirmed: the hits.
            people: the hits whose canaries the rows are about, as `CanaryNumbers.hits_of_people` gives them; shape (m,).
            data: what stands in the rows of these, as bits of `data.model.HIT_DATA`; shape (m,).
        """
        self._add(confirmed, _IN_ROWS)
        if len(people):
            canaries = confirmed.canaries[people]
            self._marked.add(canaries, _IS_PERSON, len(self._numbers))
            self._data.add(canaries, data, len(self._numbers))

    def _add(self, confirmed: ConfirmedHits, mark: int) -> None:
        if not len(confirmed):
            return
        self._marked.add(confirmed.canaries, mark, len(self._numbers))
        if self._kinds is None:
            self._kinds = np.zeros((len(self._numbers.clients), _KINDS), np.bool_)
        self._kinds[self._numbers.clients_of(confirmed.canaries), confirmed.kinds] = True

    def state(self) -> dict[str, Any]:
        """All hits, by the numbers of the canaries of this watch-list."""
        kinds = np.zeros((0, _KINDS), np.bool_) if self._kinds is None else self._kinds
        return {"marked": self._marked.state(), "data": self._data.state(), "kinds": kinds}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Add the hits of a `state`, which was made with the same watch-list."""
        self._marked.add_state(state["marked"], len(self._numbers))
        self._data.add_state(state["data"], len(self._numbers))
        if len(state["kinds"]):
            self._kinds = state["kinds"].copy() if self._kinds is None else self._kinds | state["kinds"]

    def hits(self) -> list[Hit]:
        """The hits of each client, in order of client.

        `records` counts people who were hit, and is never more than `canaries`: the canaries that rows or people in
        text belong to, each once in however many rows they are, and the canaries that only the byte pass found.
        """
        if self._kinds is None:
            return []
        canaries = self._numbers.count_by_client(self._marked.sorted()[0])
        records = self._numbers.count_by_client(self._people())
        data, has_data = self._count_data()
        return [
            Hit(
                self._numbers.clients[at],
                int(canaries[at]),
                int(records[at]),
                _words(self._kinds[at].tobytes()),
                {name: int(counts[at]) for name, counts in data.items() if counts[at]} if has_data[at] else None,
            )
            for at in np.flatnonzero(canaries).tolist()
        ]

    def count_people(self) -> int:
        """How many people were hit, of all clients: the sum of the `records` of `hits`."""
        return len(self._people())

    def _people(self) -> I64:
        """The rising numbers of the canaries that count as people."""
        numbers, marks = self._marked.sorted()
        people: I64 = numbers[(marks & _IS_PERSON != 0) | (marks & _IN_ROWS == 0)]
        return people

    def _count_data(self) -> tuple[dict[str, I64], Bools]:
        """Of `HIT_DATA`, how many people of each client have it in their rows; and which clients have such people."""
        numbers, marks = self._data.sorted()
        return {
            name: self._numbers.count_by_client(numbers[marks & (1 << place) != 0])
            for place, name in enumerate(HIT_DATA)
        }, self._numbers.count_by_client(numbers) > 0

    def sighted(self) -> dict[str, bytes]:
        """The canaries that hit, as bitmaps by bundle (`data.case.canary_bitmaps`)."""
        return bitmaps_of_codes(self._numbers.codes(self._marked.sorted()[0]), self._numbers.bundle_of)

    def fingerprint(self) -> str:
        """A keyed hex digest of the canaries that hit, '' without hits; the same for the same dump in another format."""
        if not self.has_hits:
            return ""
        codes = np.sort(self._numbers.codes(self._marked.sorted()[0]))
        return hmac.new(self._post_key, b"fingerprint\0" + codes.tobytes(), hashlib.sha256).hexdigest()[:32]
