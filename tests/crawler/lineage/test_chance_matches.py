from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.lineage.chance_matches import COINCIDENCE, MEASURED_PEOPLE, Chance, meetings, merging
from crawler.lineage.probability import poisson_tail
from data.hashing.tags import Kind


@dataclass
class Known:
    """A release of which only counts are asked."""

    people: int = 300_000
    alike: dict[Kind, tuple[int, int, int]] = field(default_factory=dict)
    cut: dict[Kind, float] = field(default_factory=dict)

    def false_positive_rate(self, kind: Kind) -> float:
        return self.cut.get(kind, 0.0)

    def shared_key_counts(self, kind: Kind) -> tuple[int, int, int]:
        return self.alike.get(kind, (0, 0, 1))


@given(st.sampled_from([1.0, 1.5, 4.0, 30.0, 900.0]), st.floats(0.01, 50), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_an_uncertain_rate_is_judged_by_the_negative_binomial(shape: float, mean: float, least: int) -> None:
    share = mean / (mean + shape)
    below = sum(
        math.exp(
            math.lgamma(k + shape) - math.lgamma(shape) - math.lgamma(k + 1)
            + shape * math.log1p(-share) + k * math.log(share)
        )
        for k in range(least)
    )  # fmt: skip
    assert Chance(mean, shape).tail(least) == pytest.approx(1 - below, rel=1e-2, abs=1e-6)


def test_a_certain_rate_is_judged_by_poisson() -> None:
    assert Chance(3.0).tail(10) == poisson_tail(3.0, 10)


def test_what_chance_does_at_most_is_exceeded_less_often_than_once_in_a_thousand() -> None:
    dice = np.random.default_rng(3)
    for chance in (Chance(0.0005), Chance(2.0), Chance(80.0), Chance(80.0, 40.0)):
        means = np.full(200_000, chance.mean)
        if math.isfinite(chance.shape):
            means = dice.gamma(chance.shape, chance.mean / chance.shape, 200_000)
        assert np.mean(dice.poisson(means) > chance.most()) < 2.5e-3


def test_chances_of_several_reasons_and_of_more_people_add_up() -> None:
    both = Chance(2.0, 4.0) + Chance(1.0)
    assert (both.mean, both.shape) == (3.0, 9.0)
    assert Chance(1e-3, 7.0).of(2000) == Chance(2.0, 7.0)
    assert Chance(0.0) + Chance(0.0) == Chance(0.0)


def test_five_namesakes_of_many_strangers_prove_nothing_where_their_rate_is_barely_known() -> None:
    # no namesake among 65,536 tried: five among 100,000 are no miracle, though 1e-6 times 100,000 is a tenth of one
    rate = meetings([Kind.NAME_DOB], 300_000, [Known()], {Kind.NAME_DOB: (0, 65_536)}).one(Kind.NAME_DOB)
    assert rate.of(100_000).tail(5) > 1e-3
    assert rate.of(100_000).tail(50) < 1e-6


def test_namesakes_grow_with_what_is_known_and_families_do_not() -> None:
    kinds = [Kind.NAME_DOB, Kind.PHONE_FIRST]
    small, large = (meetings(kinds, people, [Known(people)], {}) for people in (1_500_000, MEASURED_PEOPLE))
    assert large.one(Kind.NAME_DOB).mean == pytest.approx(10 * small.one(Kind.NAME_DOB).mean)
    assert large.one(Kind.PHONE_FIRST) == small.one(Kind.PHONE_FIRST) == Chance(COINCIDENCE[Kind.PHONE_FIRST])


def test_known_numbers_under_other_names_raise_the_rate_of_chance() -> None:
    kinds = [Kind.PHONE_FIRST, Kind.EMAIL_FIRST]
    plain = meetings(kinds, 300_000, [Known()], {})
    invented = meetings(kinds, 300_000, [Known()], dict.fromkeys(kinds, (65, 16384)))
    share = 65 / 16_384
    assert invented.one(Kind.PHONE_FIRST).mean == pytest.approx(plain.one(Kind.PHONE_FIRST).mean + share, rel=1e-3)
    assert invented.most_of_one(Kind.PHONE_FIRST).mean == pytest.approx(
        plain.most_of_one(Kind.PHONE_FIRST).mean + share
    )
    # no number of the third kind was met in few trials: first names agree no less often there
    third = meetings([Kind.NIR_FIRST], 300_000, [Known()], {Kind.PHONE_FIRST: (65, 16_384), Kind.NIR_FIRST: (0, 500)})
    assert third.one(Kind.NIR_FIRST).mean > share / 4
    # a relative shares both at once, two halves of strangers agree each for itself
    assert invented.together(kinds).mean == pytest.approx(COINCIDENCE[Kind.EMAIL_FIRST] + share**2, rel=1e-3)


def test_the_rate_at_which_people_share_a_key_is_that_of_the_known_ones() -> None:
    known = Known(alike={Kind.PHONE_FIRST: (700, 240_000, 1), Kind.NAME_DOB: (36, 300_000, 1)})
    assert merging(Kind.PHONE_FIRST, 10, [known]).mean == pytest.approx(700 / 240_000, rel=0.02)
    assert meetings([Kind.PHONE_FIRST], 10, [known], {}).most_of_one(Kind.PHONE_FIRST).mean == pytest.approx(
        1400 / 240_000, rel=0.02
    )
    # namesakes go with the square of a crowd: a third of it has a third of the rate
    known = Known(alike={Kind.NAME_DOB: (3600, 3_000_000, 1)})
    assert merging(Kind.NAME_DOB, 1_000_000, [known]).mean == pytest.approx(3600 / 3_000_000 / 3, rel=0.01)
    # counted on one key in four
    known = Known(alike={Kind.NAME_DOB: (900, 750_000, 4)})
    assert merging(Kind.NAME_DOB, 1_000_000, [known]).mean == pytest.approx(3600 / 3_000_000 / 3, rel=0.02)


def test_keys_that_were_cut_short_are_met_by_chance() -> None:
    one, other = Known(cut={Kind.NIR_DOB: 1e-3}), Known(cut={Kind.NIR_DOB: 2e-3})
    exact = meetings([Kind.NIR_DOB], 10_000, [Known()], {}).one(Kind.NIR_DOB)
    cut = meetings([Kind.NIR_DOB], 10_000, [one, other], {}).one(Kind.NIR_DOB)
    assert math.isclose(cut.mean, exact.mean + 3e-3)
