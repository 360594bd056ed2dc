from __future__ import annotations

import pytest

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import Member, read
from tests.synth.office import ods_table, open_document


def rows(found: Member) -> list[list[list[str]]]:
    return [table.rows for member in found.walk() for table in member.tables]


def only_table(cell: str) -> list[list[str]]:
    found = read(open_document(f"<table:table><table:table-row>{cell}</table:table-row></table:table>"))
    assert found.format == "ods"
    [table] = rows(found)
    return table


CELL = "table:table-cell"
# the type and the exact value of a cell, the paragraphs in it, and the value that the reader outputs
CELLS = [
    ("float", 'office:value="185057800608491"', "<text:p>1,85E+14</text:p>", "185057800608491"),
    ("float", 'office:value="1.85E+14"', "<text:p>1,85E+14</text:p>", "185000000000000"),
    ("float", 'office:value="612345678"', "<text:p>06 12 34 56 78</text:p>", "0612345678"),
    ("float", 'office:value="612345678"', "<text:p>612 345 678,00</text:p>", "612345678"),
    ("date", 'office:date-value="1975-03-12"', "<text:p>12 mars 75</text:p>", "1975-03-12"),
    ("percentage", 'office:value="0.5"', "<text:p>50 %</text:p>", "0.5"),
    ("boolean", 'office:boolean-value="true"', "<text:p>VRAI</text:p>", "true"),
    ("string", "", "<text:p>Du<text:span>pont</text:span></text:p><text:p>Jean</text:p>", "Dupont Jean"),
]


@pytest.mark.parametrize(("kind", "exact", "paragraphs", "value"), CELLS)
def test_a_cell_gives_its_exact_value(kind: str, exact: str, paragraphs: str, value: str) -> None:
    assert only_table(f'<{CELL} office:value-type="{kind}" {exact}>{paragraphs}</{CELL}>') == [[value]]


def test_a_cell_without_text_gives_the_value_of_its_attribute() -> None:
    assert only_table(f'<{CELL} office:value-type="string" office:string-value="Dupont"/>') == [["Dupont"]]


def test_sheets_are_tables_and_empty_cells_keep_their_places() -> None:
    cells = f'<{CELL} table:number-columns-repeated="3"/><{CELL}><text:p>x</text:p></{CELL}>'
    first = f"<table:table><table:table-row><{CELL}><text:p>a</text:p></{CELL}>{cells}</table:table-row>"
    first += f"<table:table-row>{cells}</table:table-row></table:table>"
    found = read(open_document(first + ods_table([["b", "c"]])))
    # only columns with values are output, in the order in which they first occur
    assert rows(found) == [[["a", "x", ""], ["", "", "x"]], [["b", "c"]]]
    assert found.all_complete


def test_comments_and_shapes_are_text_and_not_part_of_a_cell() -> None:
    cell = f"<{CELL}><office:annotation><text:p>remarque</text:p></office:annotation><text:p>Dupont</text:p></{CELL}>"
    found = read(open_document(f"<table:table><table:table-row>{cell}</table:table-row></table:table>"))
    assert rows(found) == [[["Dupont"]]]
    assert b"".join(bytes(member.text) for member in found.walk()) == b"remarque\n"


@pytest.mark.parametrize(
    ("rows_", "columns"), [("1048576", "1"), ("1048576", "16384"), ("99999999999", "99999999999"), ("-1", "x")]
)
def test_repeated_cells_and_rows_are_bounded(rows_: str, columns: str) -> None:
    cell = f'<{CELL} table:number-columns-repeated="{columns}"><text:p>x</text:p></{CELL}>'
    cells = f"{cell}<{CELL}><text:p>y</text:p></{CELL}>"
    row = f'<table:table-row table:number-rows-repeated="{rows_}">{cells}</table:table-row>'
    found = read(open_document(f"<table:table>{row * 3}</table:table>"), Limits(max_columns=64))
    assert found.shows("y")
    assert sum(map(len, rows(found))) <= 3 * 256
    assert found.all_complete
    if rows_ == "1048576":
        assert "repeated" in found.all_problems
