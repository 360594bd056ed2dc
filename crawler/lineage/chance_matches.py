"""How often new people meet a known key, or each other's, by chance (pure). What it means for a verdict is `crawler.lineage.lineage`.

A rate that was counted on few people is itself uncertain. So each is a distribution, and what chance may do is asked of
the whole of it: five namesakes prove nothing where the rate of namesakes is known to a factor of three.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from crawler.lineage.probability import poisson_tail, poisson_tails
from data.arrays.array_types import F64
from data.hashing.tags import Kind

# Share of new people who meet a key of a baseline of MEASURED_PEOPLE by chance (namesakes of one day, families with
# one telephone). Measured with persons held out at random, whose relatives stayed behind: upper bounds.
MEASURED_PEOPLE = 15_000_000
COINCIDENCE: Mapping[Kind, float] = {
    Kind.NAME_DOB: 1.2e-3,
    Kind.NIR_FIRST: 3e-4,
    Kind.NIR_DOB: 1.6e-5,
    Kind.EMAIL_FIRST: 4.2e-4,
    Kind.PHONE_FIRST: 7.8e-4,
    # 3.8e-6 without twins; 3 in 100 people are one, a fifth of them share a telephone, and few are in different releases
    Kind.PHONE_DOB: 2e-4,
}
# Namesakes grow with the baseline; families, who share telephones and mailboxes, do not. Below this share of
# MEASURED_PEOPLE the rates fall no further (a guess on the safe side: it makes us abstain more often).
SMALLEST_SCALE = 0.01
OF_FAMILIES = frozenset({Kind.EMAIL_FIRST, Kind.PHONE_FIRST, Kind.PHONE_DOB})
# The most that chance does is exceeded less often than once in a thousand: standard deviations, and the mean below
# which not even one is expected.
SIGMAS, NONE_BELOW = 3.3, 1e-3
_GRID = 256

Tried = Mapping[Kind, tuple[int, int]]
"""Per kind how many keys made of halves of different people are known, and how many were looked up."""


class Counted(Protocol):
    """A release as far as chance is concerned."""

    people: int

    def false_positive_rate(self, kind: Kind) -> float:
        """Probability that a key which it does not hold looks like one that it does."""
        ...

    def shared_key_counts(self, kind: Kind) -> tuple[int, int, int]:
        """See `data.releases.people.count_shared_keys`."""
        ...


@dataclass(frozen=True, slots=True)
class Chance:
    """How many cases chance makes of one person, or of many, as far as it is known: a gamma distribution of the mean.

    Attributes:
        mean: of cases.
        shape: how well it is known, as if so many cases had been counted; infinite where it is taken as it stands.
    """

    mean: float
    shape: float = math.inf

    def __add__(self, other: Chance) -> Chance:
        """Of two independent reasons, or of other people as well."""
        mean = self.mean + other.mean
        spread = self.mean**2 / self.shape + other.mean**2 / other.shape
        return Chance(mean, mean**2 / spread if spread else math.inf)

    def of(self, people: int) -> Chance:
        """Among so many people."""
        return Chance(self.mean * people, self.shape)

    def tail(self, least: int) -> float:
        """Probability of `least` cases or more."""
        if self.shape > 1e4:
            return poisson_tail(self.mean, least)
        factors, weights = _spread(self.shape)
        return float(weights @ poisson_tails(self.mean * factors, least))

    def most(self) -> int:
        """So many cases are exceeded less often than once in a thousand."""
        if self.mean < NONE_BELOW:
            return 0
        return math.ceil(self.mean + SIGMAS * math.sqrt(self.mean + self.mean**2 / self.shape))


@lru_cache(maxsize=256)
def _spread(shape: float) -> tuple[F64, F64]:
    """Multiples of its mean that a gamma variable takes, with their weights."""
    reach = 8 / math.sqrt(shape) + 30 / shape
    factors = np.geomspace(math.exp(-min(reach, 30)), 1 + reach, _GRID)
    weights = np.exp(shape * (np.log(factors) - factors + 1))
    weights /= weights.sum()
    return factors, weights


NEVER = Chance(0.0)


@dataclass(frozen=True, slots=True)
class Meetings:
    """How often a new person meets a known key by chance, per kind of key.

    Attributes:
        coincidence: namesakes and families, as measured, and the cut of the tags.
        relatives: the same, were families torn apart by lot, as the known people show it: the most that can be.
        halves: keys put together from different people, as known numbers under other names are.
    """

    coincidence: Mapping[Kind, Chance]
    relatives: Mapping[Kind, Chance]
    halves: Mapping[Kind, Chance]

    def one(self, kind: Kind) -> Chance:
        """A key of this kind."""
        return self.coincidence[kind] + self.halves.get(kind, NEVER)

    def most_of_one(self, kind: Kind) -> Chance:
        """A key of this kind, relatives being anywhere."""
        return self.relatives.get(kind, self.coincidence[kind]) + self.halves.get(kind, NEVER)

    def together(self, kinds: Iterable[Kind]) -> Chance:
        """Keys of all these kinds at once: a relative has them together, halves agree each for itself."""
        kinds = list(kinds)
        once = min((self.coincidence[kind] for kind in kinds), key=lambda each: each.mean)
        halves = [self.halves.get(kind, NEVER) for kind in kinds]
        mean = math.prod(half.mean for half in halves)
        return once + Chance(mean, min(half.shape for half in halves))

    @property
    def worst(self) -> Chance:
        """Of all kinds the one that is met most often."""
        return max(map(self.one, self.coincidence), key=lambda each: each.mean)


def meetings(kinds: Iterable[Kind], people: int, releases: Iterable[Counted], tried: Tried) -> Meetings:
    """How often new people meet keys that releases hold.

    Args:
        kinds: of the sample's keys.
        people: in all of the releases.
        releases: those that the sample is set beside.
        tried: of the sample's unmatched people.
    """
    releases = list(releases)
    scale = max(people / MEASURED_PEOPLE, SMALLEST_SCALE)
    of_halves = [counts for kind, counts in tried.items() if kind is not Kind.NAME_DOB]
    agreed = sum(known for known, _ in of_halves) / max(1, sum(looked_up for _, looked_up in of_halves))
    coincidence: dict[Kind, Chance] = {}
    relatives: dict[Kind, Chance] = {}
    halves: dict[Kind, Chance] = {}
    for kind in kinds:
        known, looked_up = tried.get(kind, (0, 0))
        if kind is Kind.NAME_DOB:
            # names of other people may be twice as common or half: the rate is worth one case, what is seen at hand all
            before = _pair_rate(kind, releases).of(round(scale * MEASURED_PEOPLE))
            rate = Chance((1 + known) / (1 / before.mean + looked_up), 1 + known)
            # twins of one first name are namesakes as well
            relatives[kind] = max(before, rate, key=lambda each: each.mean)
        else:
            rate = Chance(COINCIDENCE[kind] * (max(1.0, scale) if kind in OF_FAMILIES else scale))
            if agreed and looked_up:
                # first names agree as often whatever the number: that is worth one case
                halves[kind] = Chance((1 + known) / (1 / agreed + looked_up), 1 + known)
        coincidence[kind] = rate + Chance(sum(release.false_positive_rate(kind) for release in releases))
        if kind in OF_FAMILIES:
            relatives[kind] = _sharing(kind, releases)
    return Meetings(coincidence, relatives, halves)


def _sharing(kind: Kind, releases: Iterable[Counted]) -> Chance:
    """How often a person has a key that another one has as well, as the known people show."""
    counts = [release.shared_key_counts(kind) for release in releases]
    more, bearers = sum(count[0] for count in counts), sum(count[1] for count in counts)
    # two who share are one more than their keys
    return Chance(2 * (1 + more) / (1 / COINCIDENCE[kind] + bearers), 1 + more)


def merging(kind: Kind, people: int, releases: Iterable[Counted]) -> Chance:
    """How often one of so many people has the same key of a kind as an earlier one."""
    releases = list(releases)
    if kind in OF_FAMILIES:
        both = _sharing(kind, releases)
        return Chance(both.mean / 2, both.shape)
    rate = _pair_rate(kind, releases)
    return Chance(rate.mean * people / 2, rate.shape)


def _pair_rate(kind: Kind, releases: Iterable[Counted]) -> Chance:
    """How often two people who are no relatives have the same key."""
    more, pairs = 1.0, MEASURED_PEOPLE / COINCIDENCE[kind]
    for release in releases:
        alike, bearers, one_in = release.shared_key_counts(kind)
        more += alike
        pairs += bearers**2 / 2 * one_in
    return Chance(more / pairs, more)
