from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.lineage.chance_matches import COINCIDENCE, MEASURED_PEOPLE, ChanceRate, chance_match_rates, merge_rate
from crawler.lineage.probability import poisson_tail
from data.hashing.tags import Kind


@dataclass
class ReleaseWithCounts:
    """A release that has only the counts which the rates are computed from."""

    people: int = 300_000
    alike: dict[Kind, tuple[int, int, int]] = field(default_factory=dict)
    cut: dict[Kind, float] = field(default_factory=dict)

    def false_positive_rate(self, kind: Kind) -> float:
        return self.cut.get(kind, 0.0)

    def shared_key_counts(self, kind: Kind) -> tuple[int, int, int]:
        return self.alike.get(kind, (0, 0, 1))


@given(st.sampled_from([1.0, 1.5, 4.0, 30.0, 900.0]), st.floats(0.01, 50), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_the_tail_of_an_uncertain_rate_is_that_of_the_negative_binomial(shape: float, mean: float, least: int) -> None:
    share = mean / (mean + shape)
    below = sum(
        math.exp(
            math.lgamma(k + shape) - math.lgamma(shape) - math.lgamma(k + 1)
            + shape * math.log1p(-share) + k * math.log(share)
        )
        for k in range(least)
    )  # fmt: skip
    assert ChanceRate(mean, shape).probability_at_least(least) == pytest.approx(1 - below, rel=1e-2, abs=1e-6)


def test_the_tail_of_a_certain_rate_is_that_of_poisson() -> None:
    assert ChanceRate(3.0).probability_at_least(10) == poisson_tail(3.0, 10)


def test_the_upper_bound_is_exceeded_about_once_in_a_thousand() -> None:
    dice = np.random.default_rng(3)
    for chance in (ChanceRate(0.0005), ChanceRate(2.0), ChanceRate(80.0), ChanceRate(80.0, 40.0)):
        means = np.full(200_000, chance.mean)
        if math.isfinite(chance.shape):
            means = dice.gamma(chance.shape, chance.mean / chance.shape, 200_000)
        assert np.mean(dice.poisson(means) > chance.upper_bound()) < 2.5e-3


def test_rates_of_several_causes_and_of_more_people_add_up() -> None:
    both = ChanceRate(2.0, 4.0) + ChanceRate(1.0)
    assert (both.mean, both.shape) == (3.0, 9.0)
    assert ChanceRate(1e-3, 7.0).among(2000) == ChanceRate(2.0, 7.0)
    assert ChanceRate(0.0) + ChanceRate(0.0) == ChanceRate(0.0)


def test_five_namesakes_of_many_unrelated_people_prove_nothing_if_their_rate_is_barely_known() -> None:
    # no namesake among 65,536 tried: five among 100,000 are possible, though 1e-6 times 100,000 is a tenth of one
    rate = chance_match_rates([Kind.NAME_DOB], 300_000, [ReleaseWithCounts()], {Kind.NAME_DOB: (0, 65_536)}).of_kind(
        Kind.NAME_DOB
    )
    assert rate.among(100_000).probability_at_least(5) > 1e-3
    assert rate.among(100_000).probability_at_least(50) < 1e-6


def test_the_rate_of_namesakes_grows_with_the_known_people_and_that_of_families_does_not() -> None:
    kinds = [Kind.NAME_DOB, Kind.PHONE_FIRST]
    small, large = (
        chance_match_rates(kinds, people, [ReleaseWithCounts(people)], {}) for people in (1_500_000, MEASURED_PEOPLE)
    )
    assert large.of_kind(Kind.NAME_DOB).mean == pytest.approx(10 * small.of_kind(Kind.NAME_DOB).mean)
    assert (
        large.of_kind(Kind.PHONE_FIRST) == small.of_kind(Kind.PHONE_FIRST) == ChanceRate(COINCIDENCE[Kind.PHONE_FIRST])
    )


def test_known_numbers_under_other_names_raise_the_rate_of_chance() -> None:
    kinds = [Kind.PHONE_FIRST, Kind.EMAIL_FIRST]
    plain = chance_match_rates(kinds, 300_000, [ReleaseWithCounts()], {})
    invented = chance_match_rates(kinds, 300_000, [ReleaseWithCounts()], dict.fromkeys(kinds, (65, 16384)))
    share = 65 / 16_384
    assert invented.of_kind(Kind.PHONE_FIRST).mean == pytest.approx(
        plain.of_kind(Kind.PHONE_FIRST).mean + share, rel=1e-3
    )
    assert invented.highest_of_kind(Kind.PHONE_FIRST).mean == pytest.approx(
        plain.highest_of_kind(Kind.PHONE_FIRST).mean + share
    )
    # few numbers of the third kind were tried and none matched: first names agree equally often there
    third = chance_match_rates(
        [Kind.NIR_FIRST], 300_000, [ReleaseWithCounts()], {Kind.PHONE_FIRST: (65, 16_384), Kind.NIR_FIRST: (0, 500)}
    )
    assert third.of_kind(Kind.NIR_FIRST).mean > share / 4
    # a relative shares both keys at once, keys of mixed fields match independently
    assert invented.of_kinds_together(kinds).mean == pytest.approx(COINCIDENCE[Kind.EMAIL_FIRST] + share**2, rel=1e-3)


def test_the_rate_at_which_people_share_a_key_is_counted_on_the_known_people() -> None:
    known = ReleaseWithCounts(alike={Kind.PHONE_FIRST: (700, 240_000, 1), Kind.NAME_DOB: (36, 300_000, 1)})
    assert merge_rate(Kind.PHONE_FIRST, 10, [known]).mean == pytest.approx(700 / 240_000, rel=0.02)
    assert chance_match_rates([Kind.PHONE_FIRST], 10, [known], {}).highest_of_kind(
        Kind.PHONE_FIRST
    ).mean == pytest.approx(1400 / 240_000, rel=0.02)
    # pairs of namesakes grow with the square of a group: a group of a third has a third of the rate
    known = ReleaseWithCounts(alike={Kind.NAME_DOB: (3600, 3_000_000, 1)})
    assert merge_rate(Kind.NAME_DOB, 1_000_000, [known]).mean == pytest.approx(3600 / 3_000_000 / 3, rel=0.01)
    # counted on one key in four
    known = ReleaseWithCounts(alike={Kind.NAME_DOB: (900, 750_000, 4)})
    assert merge_rate(Kind.NAME_DOB, 1_000_000, [known]).mean == pytest.approx(3600 / 3_000_000 / 3, rel=0.02)


def test_truncated_tags_raise_the_rate_of_chance_matches() -> None:
    one, other = ReleaseWithCounts(cut={Kind.NIR_DOB: 1e-3}), ReleaseWithCounts(cut={Kind.NIR_DOB: 2e-3})
    exact = chance_match_rates([Kind.NIR_DOB], 10_000, [ReleaseWithCounts()], {}).of_kind(Kind.NIR_DOB)
    cut = chance_match_rates([Kind.NIR_DOB], 10_000, [one, other], {}).of_kind(Kind.NIR_DOB)
    assert math.isclose(cut.mean, exact.mean + 3e-3)
