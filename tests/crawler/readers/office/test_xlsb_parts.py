from __future__ import annotations

import struct

from tests.crawler.readers.frames import read
from tests.synth.binary_workbook import cell, parts, row, sheet, text
from tests.synth.hostile import make_zip

ROWS = sheet(
    row(0, cell(7, 0, struct.pack("<I", 0)), cell(7, 1, struct.pack("<I", 1)), cell(6, 2, text("mail"))),
    row(
        1,
        cell(6, 0, text("Léger")),
        cell(5, 1, struct.pack("<d", 27465.0), 1),
        cell(9, 2, struct.pack("<d", 185057800608491.0) + bytes(4)),
        cell(2, 3, struct.pack("<I", 612345 << 2 | 2)),
        cell(4, 4, b"\1"),
        cell(8, 5, text("a@b.example") + bytes(4)),
    ),
)
SHOWN = [
    ["nom", "naissance", "mail", "", "", ""],
    ["Léger", "1975-03-12", "185057800608491", "612345", "true", "a@b.example"],
]


def test_the_rows_of_a_binary_workbook_are_read() -> None:
    found = read(make_zip(parts(ROWS, ["nom", "naissance"])))
    assert found.format == "xlsx"
    [member] = [member for member in found.members if member.rows]
    assert member.format == "xlsb"
    assert member.rows == SHOWN
    assert found.all_complete
    assert not found.all_problems


def test_missing_strings_and_invalid_records_are_reported() -> None:
    found = read(make_zip(parts(ROWS, ["nom"])))
    assert found.problems == ["strings"]
    broken = read(make_zip(parts(ROWS[:-6] + b"\5\3abc" + b"\0\xff\xff\xff\xff", ["nom", "naissance"])))
    [member] = [member for member in broken.members if member.rows]
    assert member.rows == SHOWN
    assert member.problems == ["damaged"]
