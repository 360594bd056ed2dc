"""What stands in the rows about people of a client: the kinds of value, and who is under 18."""

from __future__ import annotations

from datetime import date

import pytest

from crawler.examiner.row_data import are_minors
from data.arrays.packed import Packed

BIRTHS = [b"081130", b"081201", b"261130", b"261201", b"000101", b"751231", b"", b"990101"]


@pytest.mark.parametrize(
    ("today", "minors"),
    [
        # born on 30 November 2008 is of age on 30 November 2026; a day later in 1926 cannot be told from 2026
        (date(2026, 11, 30), [b"081201", b"261130"]),
        (date(2026, 11, 29), [b"081130", b"081201"]),
        # across the turn of a century
        (date(2108, 12, 1), [b"081130", b"081201", b"000101", b"990101"]),
    ],
)
def test_birth_dates_of_people_under_18(today, minors):
    found = are_minors(Packed.of(BIRTHS), today)
    assert [birth for birth, is_minor in zip(BIRTHS, found.tolist(), strict=True) if is_minor] == minors
    assert are_minors(Packed.of([]), today).tolist() == []
