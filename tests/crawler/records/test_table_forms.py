"""How a table is rewritten is decided in a time that grows with its cells, whatever these hold."""

from __future__ import annotations

import time

import pytest

from crawler.records import table_forms
from crawler.records.date_forms import find_rewrite
from crawler.records.table_forms import find_forms
from crawler.records.table_sample import TableSample

SIZE = 60_000


@pytest.mark.parametrize(
    "cell",
    [
        "7 " * (SIZE // 2),
        "12@mail.example;" * (SIZE // 16),
        "1 janeiro x " * (SIZE // 12) + "x",
        '="' + " " * SIZE + '"x1',
        "1" + " " * SIZE + "x",
        "'1" + "' " * (SIZE // 2) + "x",
        "[" + " " * SIZE + "1 x",
    ],
    ids=["digits", "addresses", "months", "a formula", "white space", "apostrophes", "brackets"],
)
def test_a_cell_takes_no_time_with_the_square_of_its_length(cell: str) -> None:
    """Of processor time. A line of 2,000 addresses, which has too many columns for a table, held the examiner for hours."""
    rows = [["nom", "valeur"], [cell, cell], [cell, cell]]
    began = time.thread_time()
    find_forms(["nom", "valeur"], TableSample.of(rows))
    assert time.thread_time() - began < 5


@pytest.mark.parametrize(
    ("cell", "is_date"),
    [
        ("28. Januar 2001", True), ("28 de enero de 2001", True), ("1 x Januar", False), ("Januar 2001", False),
        ("28Januar2001", True), ("28 Januarius 2001", False), ("", False),
    ],
)  # fmt: skip
def test_the_name_of_a_month_counts_between_digits_and_as_a_whole_word(cell: str, is_date: bool) -> None:
    assert (find_rewrite([cell], "") is not None) == is_date


@pytest.mark.parametrize(
    ("cell", "rest"),
    [
        ("1975-03-12]", "1975-03-12"), ("'x' ],\n", "'x'"), ("x });", "x }"), ("x);", "x"), ("x", None), ("x],,", None),
        ("x] ,", None), ("]", ""), ("", None),
    ],
)  # fmt: skip
def test_a_closing_bracket_ends_a_row(cell: str, rest: str | None) -> None:
    assert table_forms._before_closing(cell) == rest
