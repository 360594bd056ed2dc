"""Confidence bounds for a share of which a random draw is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crawler.lineage.probability import share_bounds


def above(share: float, least: int, tried: int) -> float:
    return sum(math.comb(tried, k) * share**k * (1 - share) ** (tried - k) for k in range(least, tried + 1))


@pytest.mark.parametrize(("sighted", "tagged"), [(1, 1), (3, 10), (0, 40), (40, 40), (29, 40), (1, 200), (150, 200)])
def test_outside_the_bounds_the_binomial_tails_have_the_remaining_probability(sighted, tagged):
    low, high = share_bounds(sighted, tagged)
    assert low == 0 if not sighted else above(low, sighted, tagged) == pytest.approx(0.025, rel=1e-9)
    assert high == 1 if sighted == tagged else 1 - above(high, sighted + 1, tagged) == pytest.approx(0.025, rel=1e-9)


def test_bounds_of_fifteen_million_canaries_are_narrow_and_hold_the_share():
    low, high = share_bounds(7_000_000, 15_000_000)
    assert low < 7 / 15 < high
    assert high - low < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("out", [5, 300, 1990])
def test_the_bounds_hold_the_true_share_for_clients_with_few_records(out):
    drawn = np.random.default_rng(7).hypergeometric(out, 2000 - out, 100, size=2000)
    inside = [low <= out / 2000 <= high for low, high in (share_bounds(int(k), 100) for k in drawn)]
    assert sum(inside) / len(inside) >= 0.95


def test_the_bounds_of_counts_that_come_again_are_not_computed_again():
    share_bounds.cache_clear()
    assert share_bounds(3, 17, 0.95) == share_bounds(3, 17, 0.95) != share_bounds(3, 17, 0.99)
    assert share_bounds.cache_info().misses == 2
