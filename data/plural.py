"""Numbers with their nouns, and shares, as people read them: 1 record, 2,000 records, 38.4%."""

from __future__ import annotations

import math


def counted(number: int, one: str, many: str = "") -> str:
    """`1 record`, `2,000 records`; `many` is the plural if it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(share: float, digits: int = 1) -> str:
    """`38.4%` of a share, 0..1, rounded down: it is 100% only if nothing is left out."""
    scale = 10**digits
    # a share that is exact in decimal digits may lie a little below that as a float
    return f"{math.floor(share * 100 * scale + 1e-7) / scale:.{digits}f}%"
