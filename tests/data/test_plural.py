"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from data.plural import counted


@pytest.mark.parametrize(
    ("number", "nouns", "said"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2000, ("row",), "2,000 rows"),
        (1, ("person", "people"), "1 person"),
        (2, ("canary", "canaries"), "2 canaries"),
    ],
)
def test_one_is_one_and_all_else_many(number, nouns, said):
    assert counted(number, *nouns) == said
