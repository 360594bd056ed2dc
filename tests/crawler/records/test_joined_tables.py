"""A table is compared with many earlier ones at little cost, and joined with the right one among them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from crawler.records.column_roles import plan_columns_of_rows
from crawler.records.joined_tables import MAX_TABLES, EarlierTables, JoinedTable
from crawler.records.row_batch import RowBatch
from data.arrays.packed import Packed
from tests.synth.people import people

PEOPLE = people(20, 8)
NAMES, NUMBERS = ["patient_id", "nom", "prenom"], ["patient_id", "telephone", "naissance"]


def rows(header: list[str], first_id: int) -> list[list[str]]:
    """The same eight people under ids from `first_id` on."""
    cells = {
        "nom": "{0.surname}",
        "prenom": "{0.first}",
        "telephone": "06121000{1:02d}",
        "naissance": "{0.dob:%d/%m/%Y}",
    }
    return [
        [str(first_id + number), *(cells[word].format(each, number) for word in header[1:])]
        for number, each in enumerate(PEOPLE)
    ]


def batch(found: list[list[str]]) -> RowBatch:
    return RowBatch(tuple(Packed.of_texts(column) for column in zip(*found, strict=True)), len(found))


def with_tables(count: int) -> EarlierTables:
    """So many tables with the names of people, each with ids of its own."""
    tables = EarlierTables()
    for number in range(count):
        found = rows(NAMES, 100 * number)
        tables.begin(NAMES, plan_columns_of_rows(NAMES, found))
        tables.keep(batch(found))
    return tables


def joined(tables: EarlierTables, first_id: int, count: int = 8) -> JoinedTable | None:
    found = rows(NUMBERS, first_id)[:count]
    return tables.join(NUMBERS, plan_columns_of_rows(NUMBERS, rows(NUMBERS, first_id)), batch(found))


def calls_of(function: Callable[[], object]) -> int:
    """How many functions are called, those of compiled modules included: unlike time, that is the same in every run."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("number", [0, 31, MAX_TABLES - 1])
def test_of_many_tables_the_one_with_the_same_ids_is_joined(number: int) -> None:
    found = joined(with_tables(MAX_TABLES), 100 * number)
    assert found is not None
    assert found.header == [*NUMBERS, "prenom", "nom"]
    whole = found.apply(batch(rows(NUMBERS, 100 * number)))
    assert [whole.cell(row, 4) for row in range(8)] == [each.surname for each in PEOPLE]


@pytest.mark.parametrize(("first_id", "count"), [(50, 8), (0, 4)], ids=["other ids", "too few rows"])
def test_a_table_without_ids_of_others_or_with_too_few_is_not_joined(first_id: int, count: int) -> None:
    assert joined(with_tables(3), first_id, count) is None


@pytest.mark.parametrize(
    ("first_id", "count", "most"), [(50, 8, 1_500), (0, 3, 150)], ids=["other ids", "too few rows"]
)
def test_a_small_table_costs_little_beside_as_many_others_as_are_held(first_id: int, count: int, most: int) -> None:
    """An archive of 20,000 tables compared each with 64 others anew, which took two thirds of the examiner's time."""
    tables = with_tables(MAX_TABLES)
    # what is kept of the earlier tables is made at the first comparison
    joined(tables, 50)
    found = rows(NUMBERS, first_id)
    plan, first = plan_columns_of_rows(NUMBERS, found), batch(found[:count])
    assert calls_of(lambda: tables.join(NUMBERS, plan, first)) < most
