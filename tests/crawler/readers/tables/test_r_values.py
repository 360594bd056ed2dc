"""Data frames of R with more than can be sent as one table."""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import read


def test_half_a_character_in_a_column_too_many_is_replaced() -> None:
    limits = Limits(max_columns=2)
    found = read(rb'data.frame(a = c("Roux"), b = c("Anna"), c = c("\ud800 x"))', limits)
    assert found.format == "r_values"
    assert found.rows == [["Roux", "Anna"]]
    assert "columns" in found.problems
    assert b" x" in found.text
