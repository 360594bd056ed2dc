"""Bounds for shares of which a draw was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crawler.lineage.probability import share_out


def above(share: float, least: int, tried: int) -> float:
    return sum(math.comb(tried, k) * share**k * (1 - share) ** (tried - k) for k in range(least, tried + 1))


@pytest.mark.parametrize(("sighted", "tagged"), [(1, 1), (3, 10), (0, 40), (40, 40), (29, 40), (1, 200), (150, 200)])
def test_bounds_are_where_the_tails_of_the_binomial_are(sighted, tagged):
    low, high = share_out(sighted, tagged)
    assert low == 0 if not sighted else above(low, sighted, tagged) == pytest.approx(0.025, rel=1e-9)
    assert high == 1 if sighted == tagged else 1 - above(high, sighted + 1, tagged) == pytest.approx(0.025, rel=1e-9)


def test_bounds_of_fifteen_million_canaries_are_narrow_and_hold_the_share():
    low, high = share_out(7_000_000, 15_000_000)
    assert low < 7 / 15 < high
    assert high - low < 0.001


@pytest.mark.parametrize("out", [5, 300, 1990])
def test_the_truth_is_inside_for_clients_of_few_records(out):
    drawn = np.random.default_rng(7).hypergeometric(out, 2000 - out, 100, size=2000)
    inside = [low <= out / 2000 <= high for low, high in (share_out(int(k), 100) for k in drawn)]
    assert sum(inside) / len(inside) >= 0.95
