"""The people of a sample by their record keys: which keys each person has, and which of them a release holds (pure)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crawler.lineage.compared_sample import ComparedSample, SampledPart
from data.arrays.array_types import I64, Bools
from data.releases.known_releases import KnownReleases
from data.releases.people import any_per_person, group_people, rows_with_key


@dataclass(frozen=True, slots=True)
class Weights:
    """The number of people that one known and one new person of those at hand stands for."""

    known: float = 1.0
    new: float = 1.0

    @classmethod
    def of(cls, part: SampledPart | None, known: int, new: int) -> Weights:
        """The weights if so many known and unmatched people are at hand; `part` is None if these are all people."""
        if part is None:
            return cls()
        if part.holds_all_new:
            return cls(max(1.0, (part.people - new) / known) if known else 1.0)
        share = part.people / (known + new)
        return cls(share, share)

    def people(self, chosen: Bools, known: Bools) -> int:
        """The number of people that the `chosen` of those at hand stand for; shape (people,) both."""
        count = int(chosen.sum())
        if self.known == self.new:
            return round(count * self.known)
        seen = int((chosen & known).sum())
        return round(seen * self.known + (count - seen) * self.new)

    def table(self, table: I64) -> I64:
        """Numbers of people by patterns, scaled to the whole sample."""
        if self == Weights():
            return table
        scaled: I64 = np.rint(table * self.known).astype(np.int64)
        scaled[:, 0] = np.rint(table[:, 0] * self.new)
        return scaled


@dataclass(frozen=True, slots=True, eq=False)
class PersonKeys:
    """The keys of each person at hand.

    Attributes:
        people: shape (n,), the person of each row.
        count: number of people at hand.
        held_rows: shape (n, 6), which keys of each row any release holds.
        present: shape (count, 6), the kinds of key that each person has.
        held: shape (count, 6), those of them that any release holds.
        known: shape (count,), who has a held key.
        weights: how many people each one stands for.
    """

    people: I64
    count: int
    held_rows: Bools
    present: Bools
    held: Bools
    known: Bools
    weights: Weights

    @classmethod
    def of(cls, sample: ComparedSample, releases: KnownReleases) -> PersonKeys:
        """Group the rows of a sample by person, and look up their keys."""
        people = group_people(sample.keys)
        count = int(people.max()) + 1
        held_rows = releases.find_known_keys(sample.keys) if sample.held is None else sample.held
        present = per_person(people, count, sample.keys != 0)
        held = per_person(people, count, held_rows)
        known = rows_with_key(held)
        known_count = int(known.sum())
        weights = Weights.of(sample.part, known_count, count - known_count)
        return cls(people, count, held_rows, present, held, known, weights)

    def known_people(self) -> int:
        """Known people of the whole sample."""
        return round(int(self.known.sum()) * self.weights.known)

    def total_people(self) -> int:
        """All people of the whole sample."""
        return self.known_people() + round((self.count - int(self.known.sum())) * self.weights.new)


def per_person(people: I64, count: int, rows: Bools) -> Bools:
    """Whether any row of each person is true; shape (count, 6)."""
    if count == len(people) and not (people[1:] < people[:-1]).any():
        return rows
    return any_per_person(people, rows)
