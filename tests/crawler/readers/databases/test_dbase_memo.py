"""Memos of dBase and FoxPro stand in the rows of their table: the library dbf made the files."""

from __future__ import annotations

import csv
import struct
import zipfile
from pathlib import Path

import pytest

from tests.crawler.readers.frames import read
from tests.synth.hostile import make_zip

SHAPES = Path(__file__).parents[3] / "samples" / "shapes"
PEOPLE = [
    row for name in ("cab-nord.csv", "cab-sud.csv") for row in csv.DictReader((SHAPES / name).read_text().splitlines())
]


def archive(*names: str, change: bytes = b"") -> bytes:
    with zipfile.ZipFile(SHAPES / "T7b-dbase-memo.zip") as whole:
        files = {name: whole.read(name) for name in names}
    if change:
        first = names[0]
        files[first] = files[first][:29] + change + files[first][30:]
    return make_zip(files)


@pytest.mark.parametrize(
    "names",
    [
        ("patient3.dbf", "patient3.dbt"),
        ("patient3.dbt", "patient3.dbf"),
        ("patfox.dbf", "patfox.fpt"),
        ("patvfp.fpt", "patvfp.dbf"),
    ],
)
def test_each_memo_is_in_the_row_of_its_person(names: tuple[str, str]) -> None:
    found = read(archive(*names))
    assert found.all_complete
    [table] = [member for member in found.members if member.format == "dbase"]
    assert not table.problems
    for at, person in enumerate(PEOPLE):
        [row] = [row for row in table.rows if person["nir"] in row]
        assert {person["nom"], person["prenom"]} <= set(row)
        note = f"Vu ce jour {person['prenom']} {person['nom']}, mail {person['email']}, suivi n° {at}."
        assert row[-1].count(note) == (0 if at % 6 == 4 else 30 if at == 5 else 2)
    # what stands in the rows is not said once more
    [memo] = [member for member in found.members if member.format == "dbase_memo"]
    assert not memo.text
    assert memo.raw


@pytest.mark.parametrize("name", ["patient3.dbt", "patvfp.fpt"])
def test_a_memo_file_alone_is_text(name: str) -> None:
    [memo] = read(archive(name)).members
    assert memo.format == "dbase_memo"
    texts = bytes(memo.text).decode().split("\n\n")
    assert sum(PEOPLE[5]["email"] in text for text in texts) == 1


def test_a_table_without_its_memo_file_says_so_and_numbers_of_blocks_are_no_text():
    [table] = read(archive("patvfp.dbf")).members
    assert table.problems == ["memo"]
    assert {row[-1] for row in table.rows} == {""}


def test_a_code_page_that_is_declared_wrongly_is_not_believed():
    # windows-1252 is declared, the texts are in cp850
    table = read(archive("patient3.dbf", "patient3.dbt", change=b"\x03")).members[0]
    names = {value for row in table.rows for value in row}
    assert {person["prenom"] for person in PEOPLE} <= names


def test_accents_in_memos_alone_are_read_under_the_declared_code_page():
    fields = b"".join(
        struct.pack("<11sc4xBB14x", name, kind, size, 0) for name, kind, size in ((b"ID", b"N", 8), (b"NOTE", b"M", 10))
    )
    head = struct.pack("<B3BIHH17xB2x", 0x83, 124, 5, 1, 1, 32 + len(fields) + 1, 19, 0x03)
    table = head + fields + b"\r" + b" " + b"1000".rjust(8) + b"1".rjust(10) + b"\x1a"
    memo = struct.pack("<I", 2).ljust(512, b"\0") + "Brûlefer Élodie, née le 11/12/1969".encode("cp1252") + b"\x1a\x1a"
    [found, _] = read(make_zip({"p.dbf": table, "p.dbt": memo})).members
    assert found.tables[0].rows == [["1000", "Brûlefer Élodie, née le 11/12/1969"]]
