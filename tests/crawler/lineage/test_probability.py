from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.lineage.probability import poisson_tail, poisson_tails


@pytest.mark.parametrize(
    ("least", "mean", "expected"),
    [(0, 0.0, 1.0), (1, 0.0, 0.0), (1, 1e-4, 1e-4), (1, 1e-2, 0.00995), (10, 3.0, 1.1025e-3), (30, 3.0, 4.6e-20),
     (999, 760.0, 2.3e-16), (950, 990.0, 0.9),
     (10_000, 9_990.0, 0.462), (11_000, 9_990.0, 0.0), (10**7, 1.0, 0.0)],
)  # fmt: skip
def test_the_poisson_tail_has_the_known_values(least: int, mean: float, expected: float) -> None:
    assert poisson_tail(mean, least) == pytest.approx(expected, rel=0.01, abs=1e-15)


@example([5e-324], 2)
@given(st.lists(st.floats(0, 200), min_size=1, max_size=8), st.integers(0, 300))
@pytest.mark.slow
def test_the_poisson_tail_is_the_sum_of_its_terms(means: list[float], least: int) -> None:
    for mean, found in zip(means, poisson_tails(np.array(means), least), strict=True):
        terms = [k * math.log(mean) - mean - math.lgamma(k + 1) if mean > 0 else -math.inf for k in range(least, 700)]
        expected = 1.0 if least == 0 else math.fsum(math.exp(term) for term in terms)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-20)
