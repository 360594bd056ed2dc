"""How many canaries are needed for a release of a given size to be noticed (pure)."""

from __future__ import annotations

from math import comb, exp, lgamma


def chance(total: int, release: int, tagged: int) -> float:
    """The probability that a random release of `release` among `total` records holds at least one of `tagged`.

    1 - C(total - tagged, release) / C(total, release), by logarithms; exact for small numbers.
    """
    if tagged <= 0 or release <= 0:
        return 0.0
    if tagged + release > total:
        return 1.0
    if total <= 1000:
        return 1 - comb(total - tagged, release) / comb(total, release)
    none = (
        lgamma(total - tagged + 1)
        - lgamma(total - tagged - release + 1)
        - lgamma(total + 1)
        + lgamma(total - release + 1)
    )
    return max(0.0, 1 - exp(min(0.0, none)))


def needed(total: int, release: int, confidence: float) -> int:
    """The smallest number of tagged records that gives the confidence; `total` where all are needed."""
    low, high = 0, total
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(total, release, middle) >= confidence else (middle + 1, high)
    return low
