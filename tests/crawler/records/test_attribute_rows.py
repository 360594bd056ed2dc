"""Tables with one attribute a row: the rows of one id are one person."""

from __future__ import annotations

import itertools

import pytest

from crawler.records import attribute_rows
from crawler.records.attribute_rows import AttributeRows, find_attribute_columns
from crawler.records.row_batch import RowBatch
from crawler.records.table_sample import TableSample

PEOPLE = [("Dupont", "Jean", "12/03/1975"), ("Martin", "Zoé", "28/01/2001"), ("Petit", "Léa", "11/12/1969")]
WORDPRESS = ["umeta_id", "user_id", "meta_key", "meta_value"]
ROWS = [
    [str(3 * number + at), str(number), key, value]
    for number, person in enumerate(PEOPLE)
    for at, (key, value) in enumerate(zip(("last_name", "billing_first_name", "date_naissance"), person, strict=True))
]


def joined(header: list[str] | None, rows: list[list[str]]) -> list[dict[str, str]]:
    columns = find_attribute_columns(header, TableSample.of(rows))
    assert columns is not None
    table = AttributeRows(columns, header, len(rows[0]))
    for part in itertools.batched(rows, 2) if hasattr(itertools, "batched") else [rows[:3], rows[3:]]:
        table.add(RowBatch.of(list(part)))
    names, batch = table.take()
    return [{name: batch.cell(row, at) for at, name in enumerate(names)} for row in range(len(batch))]


@pytest.mark.parametrize("order", ["by person", "by attribute"])
def test_the_rows_of_one_id_are_one_row(order: str) -> None:
    rows = ROWS if order == "by person" else sorted(ROWS, key=lambda row: row[2])
    found = joined(WORDPRESS, rows)
    people = {(row["last_name"], row["first_name"], row["date_naissance"]) for row in found}
    assert people == set(PEOPLE)


def test_without_an_id_a_repeated_attribute_begins_the_next_person():
    rows = [[key, value] for person in PEOPLE for key, value in zip(("Nom", "Prénom", "DDN"), person, strict=True)]
    found = joined(None, rows)
    assert [(row["Nom"], row["Prénom"], row["DDN"]) for row in found] == PEOPLE


def test_a_second_value_of_an_attribute_is_kept():
    rows = [*ROWS, ["99", "0", "last_name", "Durand"]]
    found = joined(WORDPRESS, rows)
    assert any("Durand" in row.values() for row in found)


def test_other_tables_are_left_alone():
    people = [["1", "Dupont", "Jean", "12/03/1975"], ["2", "Martin", "Zoé", "28/01/2001"], ["3", "Petit", "Léa", "x"]]
    assert find_attribute_columns(["id", "nom", "prenom", "ddn"], TableSample.of(people)) is None
    # Telmo and Insa begin as words for telephones and numbers do, and families have one surname
    families = [
        [f"Dupont{at // 3}", first, f"{at % 28 + 1:02d}/03/1975"]
        for at, first in enumerate(["Telmo", "Insa", *"ABCDEFGHIJKLM"])
    ]
    assert find_attribute_columns(None, TableSample.of(families)) is None
    often = [[name, ("Telmo", "Insa", "Zoé")[at % 3], day] for at, (name, _, day) in enumerate(families)]
    assert find_attribute_columns(["nom", "prenom", "ddn"], TableSample.of(often)) is None
    settings = [[str(at), "7", key, "1"] for at, key in enumerate(("color", "size", "theme", "lang"))]
    assert find_attribute_columns(WORDPRESS, TableSample.of(settings)) is None


def test_an_id_whose_rows_stand_far_apart_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute_rows, "MAX_CELLS", 6)
    columns = find_attribute_columns(WORDPRESS, TableSample.of(ROWS))
    assert columns is not None
    table = AttributeRows(columns, WORDPRESS, 4)
    table.add(RowBatch.of(ROWS))
    assert table.is_full
    table.take()
    table.add(RowBatch.of(ROWS[:1]))
    assert table.split == 1


@pytest.mark.slow
def test_no_number_of_values_or_attributes_is_too_large():
    many = [["0", "0", "last_name", f"n{at}"] for at in range(3000)]
    others = [["0", "0", f"attribute {at}", f"v{at}"] for at in range(3000)]
    columns = find_attribute_columns(WORDPRESS, TableSample.of(ROWS))
    assert columns is not None
    table = AttributeRows(columns, WORDPRESS, 4)
    table.add(RowBatch.of([*ROWS, *many, *others]))
    header, batch = table.take()
    assert len(header) <= attribute_rows.MAX_ATTRIBUTES + 2
    cells = {batch.cell(row, at) for row in range(len(batch)) for at in range(len(header))}
    assert {row[3] for row in (*many, *others)} <= cells
