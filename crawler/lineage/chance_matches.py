"""How often new people match a known record key, or each other's keys, by chance (pure).

A rate that was counted on few people is itself uncertain. Each rate is therefore a distribution, and probabilities are
taken over the whole of it: five namesakes prove nothing if the rate of namesakes is known only to a factor of three.
What the rates mean for a verdict is decided by `crawler.lineage.verdict`.
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

# The share of new people who match a key of a baseline of MEASURED_PEOPLE by chance (namesakes born on the same day,
# families with one telephone). These are upper bounds: they were measured with people held out at random, whose
# relatives stayed in the baseline.
MEASURED_PEOPLE = 15_000_000
COINCIDENCE: Mapping[Kind, float] = {
    Kind.NAME_DOB: 1.2e-3,
    Kind.NIR_FIRST: 3e-4,
    Kind.NIR_DOB: 1.6e-5,
    Kind.EMAIL_FIRST: 4.2e-4,
    Kind.PHONE_FIRST: 7.8e-4,
    # 3.8e-6 without twins. 3 in 100 people are a twin, a fifth of them share a telephone, and few twins are in
    # different releases.
    Kind.PHONE_DOB: 2e-4,
}
# Namesakes grow with the baseline. Families, who share telephones and mailboxes, do not. Below this share of
# MEASURED_PEOPLE the rates fall no further (a guess on the safe side: it leads to more `undecided` verdicts).
SMALLEST_SCALE = 0.01
OF_FAMILIES = frozenset({Kind.EMAIL_FIRST, Kind.PHONE_FIRST, Kind.PHONE_DOB})
# An upper bound is exceeded less often than once in a thousand: this many standard deviations above the mean, and 0
# if the mean is below NONE_BELOW.
SIGMAS, NONE_BELOW = 3.3, 1e-3
_GRID = 256

MixedKeyCounts = Mapping[Kind, tuple[int, int]]
"""Keys put together from the fields of two different people: per kind how many are known, and how many were tried."""


class ReleaseCounts(Protocol):
    """The counts of a release that the rates are computed from."""

    people: int

    def false_positive_rate(self, kind: Kind) -> float:
        """Probability that a key which the release does not hold looks like one that it holds."""
        ...

    def shared_key_counts(self, kind: Kind) -> tuple[int, int, int]:
        """See `data.releases.people.count_shared_keys`."""
        ...


@dataclass(frozen=True, slots=True)
class ChanceRate:
    """The mean number of chance matches, of one person or of many, with its uncertainty: a gamma distribution.

    Attributes:
        mean: expected number of matches.
        shape: how well the mean is known, given as the number of counted cases that would tell as much; infinite if
            the mean is taken as exact.
    """

    mean: float
    shape: float = math.inf

    def __add__(self, other: ChanceRate) -> ChanceRate:
        """The rate of two independent causes, or of two groups of people together."""
        mean = self.mean + other.mean
        spread = self.mean**2 / self.shape + other.mean**2 / other.shape
        return ChanceRate(mean, mean**2 / spread if spread else math.inf)

    def among(self, people: int) -> ChanceRate:
        """The rate of a group of people, if this is the rate of one person."""
        return ChanceRate(self.mean * people, self.shape)

    def probability_at_least(self, least: int) -> float:
        """The probability of `least` matches or more."""
        if self.shape > 1e4:
            return poisson_tail(self.mean, least)
        factors, weights = _gamma_grid(self.shape)
        return float(weights @ poisson_tails(self.mean * factors, least))

    def upper_bound(self) -> int:
        """The number of matches that is exceeded less often than once in a thousand."""
        if self.mean < NONE_BELOW:
            return 0
        return math.ceil(self.mean + SIGMAS * math.sqrt(self.mean + self.mean**2 / self.shape))


@lru_cache(maxsize=256)
def _gamma_grid(shape: float) -> tuple[F64, F64]:
    """A grid of values of a gamma variable, as multiples of its mean, with their weights; shape (_GRID,) each."""
    reach = 8 / math.sqrt(shape) + 30 / shape
    factors = np.geomspace(math.exp(-min(reach, 30)), 1 + reach, _GRID)
    weights = np.exp(shape * (np.log(factors) - factors + 1))
    weights /= weights.sum()
    return factors, weights


NEVER = ChanceRate(0.0)


@dataclass(frozen=True, slots=True)
class ChanceMatchRates:
    """How often a new person matches a known key by chance, per kind of key.

    Attributes:
        coincidence: matches by namesakes and families, as measured, and by truncated tags.
        relatives: the same if families were split between sample and releases at random, as the known people show it.
            This is the highest possible rate.
        mixed: matches of keys put together from fields of different people, as when known numbers stand beside other
            names.
    """

    coincidence: Mapping[Kind, ChanceRate]
    relatives: Mapping[Kind, ChanceRate]
    mixed: Mapping[Kind, ChanceRate]

    def of_kind(self, kind: Kind) -> ChanceRate:
        """The rate for one key of this kind."""
        return self.coincidence[kind] + self.mixed.get(kind, NEVER)

    def highest_of_kind(self, kind: Kind) -> ChanceRate:
        """The rate for one key of this kind if relatives may be anywhere."""
        return self.relatives.get(kind, self.coincidence[kind]) + self.mixed.get(kind, NEVER)

    def of_kinds_together(self, kinds: Iterable[Kind]) -> ChanceRate:
        """The rate of matching keys of all these kinds at once.

        A relative shares all of them together; keys of mixed fields match independently of each other.
        """
        kinds = list(kinds)
        relative = min((self.coincidence[kind] for kind in kinds), key=lambda rate: rate.mean)
        mixed = [self.mixed.get(kind, NEVER) for kind in kinds]
        mean = math.prod(rate.mean for rate in mixed)
        return relative + ChanceRate(mean, min(rate.shape for rate in mixed))

    @property
    def highest(self) -> ChanceRate:
        """The rate of the kind of key that is matched most often."""
        return max(map(self.of_kind, self.coincidence), key=lambda rate: rate.mean)


def chance_match_rates(
    kinds: Iterable[Kind], people: int, releases: Iterable[ReleaseCounts], tried: MixedKeyCounts
) -> ChanceMatchRates:
    """How often new people match keys that releases hold.

    Args:
        kinds: the kinds of key that the sample has.
        people: the number of people in all the releases.
        releases: the releases that the sample is compared with.
        tried: keys of mixed fields of the sample's unmatched people.
    """
    releases = list(releases)
    scale = max(people / MEASURED_PEOPLE, SMALLEST_SCALE)
    with_first_name = [counts for kind, counts in tried.items() if kind is not Kind.NAME_DOB]
    agreed = sum(known for known, _ in with_first_name) / max(1, sum(looked_up for _, looked_up in with_first_name))
    coincidence: dict[Kind, ChanceRate] = {}
    relatives: dict[Kind, ChanceRate] = {}
    mixed: dict[Kind, ChanceRate] = {}
    for kind in kinds:
        known, looked_up = tried.get(kind, (0, 0))
        if kind is Kind.NAME_DOB:
            # names of other people may be twice as common or half: the expected rate counts as one case, and the keys
            # that were tried count in full
            before = _pair_rate(kind, releases).among(round(scale * MEASURED_PEOPLE))
            rate = ChanceRate((1 + known) / (1 / before.mean + looked_up), 1 + known)
            # twins with the same first name are namesakes as well
            relatives[kind] = max(before, rate, key=lambda each: each.mean)
        else:
            rate = ChanceRate(COINCIDENCE[kind] * (max(1.0, scale) if kind in OF_FAMILIES else scale))
            if agreed and looked_up:
                # first names agree equally often whatever the number beside them: the common rate counts as one case
                mixed[kind] = ChanceRate((1 + known) / (1 / agreed + looked_up), 1 + known)
        coincidence[kind] = rate + ChanceRate(sum(release.false_positive_rate(kind) for release in releases))
        if kind in OF_FAMILIES:
            relatives[kind] = _sharing_rate(kind, releases)
    return ChanceMatchRates(coincidence, relatives, mixed)


def _sharing_rate(kind: Kind, releases: Iterable[ReleaseCounts]) -> ChanceRate:
    """How often a person of the releases has a key that another person has as well."""
    counts = [release.shared_key_counts(kind) for release in releases]
    more, bearers = sum(count[0] for count in counts), sum(count[1] for count in counts)
    # `more` counts people above the number of keys: two people who share a key are one more than their keys
    return ChanceRate(2 * (1 + more) / (1 / COINCIDENCE[kind] + bearers), 1 + more)


def merge_rate(kind: Kind, people: int, releases: Iterable[ReleaseCounts]) -> ChanceRate:
    """How often one of so many people has the same key of a kind as an earlier one of them."""
    releases = list(releases)
    if kind in OF_FAMILIES:
        both = _sharing_rate(kind, releases)
        return ChanceRate(both.mean / 2, both.shape)
    rate = _pair_rate(kind, releases)
    return ChanceRate(rate.mean * people / 2, rate.shape)


def _pair_rate(kind: Kind, releases: Iterable[ReleaseCounts]) -> ChanceRate:
    """How often two unrelated people have the same key of a kind."""
    more, pairs = 1.0, MEASURED_PEOPLE / COINCIDENCE[kind]
    for release in releases:
        alike, bearers, one_in = release.shared_key_counts(kind)
        more += alike
        pairs += bearers**2 / 2 * one_in
    return ChanceRate(more / pairs, more)
