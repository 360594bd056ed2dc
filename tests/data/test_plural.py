"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from data.plural import counted


@pytest.mark.parametrize(
    ("number", "nouns", "expected"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2000, ("row",), "2,000 rows"),
        (1, ("person", "people"), "1 person"),
        (2, ("canary", "canaries"), "2 canaries"),
    ],
)
def test_only_the_number_one_takes_the_singular(number, nouns, expected):
    assert counted(number, *nouns) == expected
