"""What a table sample computes for whole columns equals what plain Python computes for each cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.records.column_roles import begins_with_header, plan_columns_of_rows
from crawler.records.table_sample import MAX_NAME, RECOGNISABLE_ROLES, TableSample
from data.identifiers import normalise
from tests.synth.people import people, row

CELL = (
    st.text(max_size=MAX_NAME + 4)
    | st.text(st.characters(codec="ascii"), max_size=MAX_NAME + 4)
    | st.text("\t\n\x0b\x0c\r\x1c\x1f \x85\xa0\u2003éA1", max_size=4)
    | st.sampled_from([" " * 30 + "Dupont" + " " * 30, "Zoé", "12/03/1975", "0612345678", "a@b.fr", "", "x" * 41])
)


def is_like_name(cell: str) -> bool:
    return len(cell) <= MAX_NAME and any(map(str.isalpha, cell)) and not any(map(str.isdigit, cell))


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=6))
@pytest.mark.slow
def test_blank_cells_and_cells_like_names_are_those_found_cell_by_cell(rows):
    sample = TableSample.of(rows)
    for at in range(2):
        cells = [each[at] for each in rows]
        assert sample.texts(at) == cells
        assert sample.filled[at].tolist() == [bool(cell.strip()) for cell in cells]
        like = sum(is_like_name(cell.strip()) for cell in cells if cell.strip())
        assert [sample.has_names(at, needed) for needed in (like, like + 0.5)] == [True, False]


@pytest.mark.parametrize("first", [False, True])
def test_forms_are_those_of_the_normaliser_with_and_without_the_first_row(first):
    rows = [row(person, ("surname", "dob", "nir", "email", "phone", "iban", "rpps")) for person in people(3, 9)]
    sample = TableSample.of(rows)
    if first:
        assert sample.any_form().shape == (7, 9)
        sample, rows = sample.without_first(), rows[1:]
    for role in RECOGNISABLE_ROLES:
        expected = [[bool(normalise.normalise(role, each[at])) for each in rows] for at in range(7)]
        assert sample.forms[role].tolist() == expected
    assert any(sample.shares()[3][role] == 1.0 for role in ("email",))


def test_rows_of_different_widths_are_filled_up_or_cut():
    sample = TableSample.of([["a"], ["b", "c", "d"]], 2)
    assert [sample.row(0), sample.row(1)] == [["a", ""], ["b", "c"]]
    assert sample.of_width(3).row(1) == ["b", "c", ""]
    assert TableSample.of([]).rows == 0


def test_sentences_in_the_first_column_do_not_hide_that_the_rows_below_begin_with_names() -> None:
    rows = [
        ["Brul" + chr(97 + at) + "fer", ("Jean", "Anne", "Luc", "Marie", "Paul")[at % 5], f"{at + 1:02}/03/1975"]
        for at in range(26)
    ]
    plan = plan_columns_of_rows(None, [*rows, *([f"voici {at} lignes :"] for at in range(8))])
    assert [column.role for column in plan.columns] == ["surname", "first", "dob"]


def test_a_row_of_labels_before_their_values_is_no_header() -> None:
    row = [
        "LEROY André",
        "né le 26 janvier 2014",
        "tél. 0033650793565",
        "NIR 214011850793559",
        "mail a.leroy@a.example",
    ]
    sample = TableSample.of([row, ["Mme Odile MÉNARD", "née", "", "", "0033721542422"]], 5)
    assert not begins_with_header(sample)
    assert begins_with_header(TableSample.of([["Nom", "Tél. 1", "NIR"], ["LEROY", "0650793565", ""]], 3))
