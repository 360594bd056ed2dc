"""Calculates how many canaries are needed so that a release of a given size is noticed."""

from __future__ import annotations

from math import comb, exp, lgamma


def detection_probability(total: int, release: int, tagged: int) -> float:
    """The probability that a random release of `release` out of `total` records contains at least one of `tagged`.

    It is 1 - C(total - tagged, release) / C(total, release), computed exactly for small totals and else with
    logarithms.
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


def canaries_needed(total: int, release: int, confidence: float) -> int:
    """The smallest number of tagged records, at most `total`, with which a release is noticed with this confidence."""
    low, high = 0, total
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if detection_probability(total, release, middle) >= confidence else (middle + 1, high)
    return low
