"""Matches values of a sample with the watch-list: which canaries of which clients the sample holds. Pure."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import numpy as np

from crawler.matching.canary_numbers import CanaryNumbers, MarkedCanaries
from crawler.matching.candidates import Candidates
from data.arrays.array_types import I64, U8, U64, Bools
from data.case.canary_bitmaps import bitmaps_of_codes
from data.hashing.tags import Kind, confirm_digests
from data.model import Hit

# marks of canaries: hit by rows, hit by bytes, and the person that a row is about
_IN_ROWS, _IN_BYTES, _IS_PERSON = 1, 2, 4
_KINDS = max(Kind) + 1
# the last bits of a tag that number its place among 262,144 confirmed ones: those of 4 MB of nothing but canaries
_RECENT = np.uint64(2**18 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class ConfirmedHits:
    """Hits whose confirm digest agrees.

    Attributes:
        candidates: shape (m,), the candidate that each is.
        canaries: shape (m,), the number of its canary (`crawler.matching.canary_numbers`).
        kinds: shape (m,), its kind.
    """

    candidates: I64
    canaries: I64
    kinds: U8

    def __len__(self) -> int:
        return len(self.candidates)


def confirm_hits(numbers: CanaryNumbers, confirm_key: bytes, candidates: Candidates) -> ConfirmedHits:
    """The candidates that are canaries: their tag is on the watch-list and their confirm digest agrees."""
    if not len(candidates):
        return ConfirmedHits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
    digests = confirm_digests(confirm_key, candidates.kinds, candidates.values)
    # in the order of the tags, which is that of the watch-list: a search then stays within few pages of it
    order = np.argsort(candidates.tags)
    found, codes = numbers.owners.resolve(candidates.tags[order], digests[order], candidates.kinds[order])
    found = order[found]
    return ConfirmedHits(found, numbers.of_codes(codes), candidates.kinds[found])


class HitCollector:
    """Collects the confirmed hits of one sample or member, and counts them by client."""

    def __init__(self, numbers: CanaryNumbers, post_key: bytes) -> None:
        """Begin a sample or member; `post_key` is the key of its fingerprint."""
        self._numbers, self._post_key = numbers, post_key
        self._marked = MarkedCanaries()
        # which kinds of value hit, by client; made at the first hit
        self._kinds: Bools | None = None
        # tags of values that were confirmed lately, each at the place that its last bits give; made at the first one
        self._confirmed: U64 | None = None

    @property
    def has_hits(self) -> bool:
        """Whether there is any hit."""
        return bool(self._marked)

    def without_confirmed(self, candidates: Candidates) -> Candidates:
        """The candidates without those whose hits this collector already has: both passes find most values."""
        if self._confirmed is None or not len(candidates):
            return candidates
        seen = self._confirmed[candidates.tags & _RECENT] == candidates.tags
        return candidates.take(np.flatnonzero(~seen)) if seen.any() else candidates

    def remember(self, tags: U64) -> None:
        """Keep the tags of confirmed values for `without_confirmed`, if only the last ones."""
        if self._confirmed is None:
            self._confirmed = np.zeros(int(_RECENT) + 1, np.uint64)
        self._confirmed[tags & _RECENT] = tags

    def add_bytes(self, confirmed: ConfirmedHits) -> None:
        """Add hits of the byte pass."""
        self._add(confirmed, _IN_BYTES)

    def add_rows(self, confirmed: ConfirmedHits, people: I64) -> None:
        """Add hits of the record pass.

        Args:
            confirmed: the hits.
            people: the canaries that the rows belong to, as `CanaryNumbers.people_of_rows` gives them.
        """
        self._add(confirmed, _IN_ROWS)
        if len(people):
            self._marked.add(people, _IS_PERSON, len(self._numbers))

    def _add(self, confirmed: ConfirmedHits, mark: int) -> None:
        if not len(confirmed):
            return
        self._marked.add(confirmed.canaries, mark, len(self._numbers))
        if self._kinds is None:
            self._kinds = np.zeros((len(self._numbers.clients), _KINDS), np.bool_)
        self._kinds[self._numbers.clients_of(confirmed.canaries), confirmed.kinds] = True

    def hits(self) -> list[Hit]:
        """The hits of each client, in order of client.

        `records` counts people who were hit, and is never more than `canaries`: the canaries that rows or people in
        text belong to, each once in however many rows they are, and the canaries that only the byte pass found.
        """
        if self._kinds is None:
            return []
        numbers, marks = self._marked.sorted()
        canaries = self._numbers.count_by_client(numbers)
        is_record = (marks & _IS_PERSON != 0) | (marks & _IN_ROWS == 0)
        records = self._numbers.count_by_client(numbers[is_record])
        return [
            Hit(
                self._numbers.clients[at],
                int(canaries[at]),
                int(records[at]),
                tuple(Kind(kind).word for kind in np.flatnonzero(self._kinds[at]).tolist()),
            )
            for at in np.flatnonzero(canaries).tolist()
        ]

    def sighted(self) -> dict[str, bytes]:
        """The canaries that hit, as bitmaps by bundle (`data.case.canary_bitmaps`)."""
        return bitmaps_of_codes(self._numbers.codes(self._marked.sorted()[0]), self._numbers.bundle_of)

    def fingerprint(self) -> str:
        """A keyed hex digest of the canaries that hit, '' without hits; the same for the same dump in another format."""
        if not self.has_hits:
            return ""
        codes = np.sort(self._numbers.codes(self._marked.sorted()[0]))
        return hmac.new(self._post_key, b"fingerprint\0" + codes.tobytes(), hashlib.sha256).hexdigest()[:32]
