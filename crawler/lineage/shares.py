"""Exact bounds for a share of which a draw was seen (pure): canaries that are out, people of a teaser that are new."""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def share_out(sighted: int, tagged: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided bounds for a share, as for that of records that are out when `sighted` of `tagged` canaries are.

    How many records the client has is not known, so the draw counts as one from a large whole. From a small one it
    says more (its tails are lighter), so the bounds hold there as well: they are too wide, never too narrow.

    Args:
        sighted: 0 to `tagged`. tagged: at least 1.
        tagged: likewise.
        confidence: that the truth lies between the bounds, at least.

    Source: Clopper and Pearson 1934; Hoeffding 1963, section 6, on draws without replacement.
    """
    if not 0 <= sighted <= tagged or tagged < 1:
        raise ValueError("of the tagged canaries, at least one, some or all or none are sighted")
    risk = (1 - confidence) / 2
    low = _quantile(risk, sighted, tagged - sighted + 1) if sighted else 0.0
    high = _quantile(1 - risk, sighted + 1, tagged - sighted) if sighted < tagged else 1.0
    return low, high


def _quantile(wanted: float, a: int, b: int) -> float:
    """Where the beta distribution reaches a probability."""
    low, high = 0.0, 1.0
    # 60 halvings: exact to the last digit that a float holds near any share that matters
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta(middle, a, b) < wanted else (low, middle)
    return (low + high) / 2


def _beta(x: float, a: int, b: int) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22), evaluated as Lentz does."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    # it takes about sqrt(max(a, b)) steps: 4,000 for 15 million canaries
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 + term * d, 1 + term / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1) < 1e-12:
            return front * value
    raise ArithmeticError("the bounds of a share could not be computed")
