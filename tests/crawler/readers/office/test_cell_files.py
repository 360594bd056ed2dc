"""Spreadsheets that are text give the rows of their sheets."""

from __future__ import annotations

import gzip

import pytest

from tests.crawler.readers.frames import read

ROWS = [["Nom", "Prénom", "Né le"], ["Le;Roux", "Zoé", "12/03/1975"], ["Petit", "Jean & Cie", "01/02/1980"]]


def _xml(text: str) -> str:
    return text.replace("&", "&amp;")


def _sylk() -> bytes:
    cells = [
        f'C;Y{at};X{place};K"{value.replace(";", ";;")}"'
        for at, row in enumerate(ROWS, 1)
        for place, value in enumerate(row, 1)
    ]
    return "\r\n".join(["ID;PWXL;N;E", "P;PGeneral", *cells, "E", ""]).encode("cp1252")


def _gnumeric() -> bytes:
    cells = "".join(
        f'<gnm:Cell Row="{at}" Col="{place}" ValueType="60">{_xml(value)}</gnm:Cell>'
        for at, row in enumerate(ROWS)
        for place, value in enumerate(row)
    )
    return gzip.compress(
        f'<?xml version="1.0" encoding="UTF-8"?><gnm:Workbook xmlns:gnm="http://www.gnumeric.org/v10.dtd"><gnm:Sheets>'
        f"<gnm:Sheet><gnm:Name>F</gnm:Name><gnm:Cells>{cells}</gnm:Cells></gnm:Sheet></gnm:Sheets></gnm:Workbook>".encode(),
        mtime=0,
    )


def _fods() -> bytes:
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{_xml(value)}</text:p></table:table-cell>'
            for value in row
        )
        + "</table:table-row>"
        for row in ROWS
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><office:document xmlns:office="o" xmlns:table="t" xmlns:text="x" '
        'office:mimetype="application/vnd.oasis.opendocument.spreadsheet"><office:body><office:spreadsheet>'
        f'<table:table table:name="F">{rows}</table:table></office:spreadsheet></office:body></office:document>'
    ).encode()


SHEETS = {"sylk": _sylk, "gnumeric": _gnumeric, "fods": _fods}


@pytest.mark.parametrize("kind", SHEETS)
def test_cells_stand_in_rows(kind: str) -> None:
    found = next(member for member in read(SHEETS[kind]()).walk() if member.format == kind)
    assert found.all_complete
    assert found.rows == ROWS
