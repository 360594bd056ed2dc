"""Tables of MyISAM and Aria, read with the files that lie beside them: MariaDB 10.11 made all of them."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest

from crawler.readers.databases.mysql.isam_rows import BlockFile
from crawler.readers.databases.unnamed_columns import prefixed_texts
from tests.crawler.readers.frames import Member, read
from tests.synth.hostile import make_zip

SHAPES = Path(__file__).parents[4] / "samples" / "shapes"
PEOPLE = [
    row for name in ("cab-nord.csv", "cab-sud.csv") for row in csv.DictReader((SHAPES / name).read_text().splitlines())
]
DELETED = (9, 19)
COLUMNS = [
    "id",
    "civ",
    "nom",
    "prenom",
    "ddn",
    "nir",
    "tel",
    "email",
    "poids",
    "vu",
    "maj",
    "actif",
    "taille",
    "an",
    "t",
]


def file(name: str) -> bytes:
    with zipfile.ZipFile(SHAPES / "61-isam.zip") as archive:
        return archive.read(name)


def table_of(*names: str) -> Member:
    found = read(make_zip({name: file(name) for name in names}))
    return next(member for member in found.members if member.name == names[0])


def check_people(found: Member) -> None:
    """Each person that was not deleted is in one row with her own values."""
    assert found.all_complete, found.details
    assert len(found.rows) == len(PEOPLE) - len(DELETED)
    for at, person in enumerate(PEOPLE):
        rows = [row for row in found.rows if person["nir"] in row]
        if at in DELETED:
            assert not rows
            continue
        [row] = rows
        birth = "-".join(reversed(person["ddn"].split("/")))
        assert {person["nom"], person["prenom"], birth, person["email"]} <= set(row)
        assert (person["tel"] in row) == (at % 5 != 2)


@pytest.mark.parametrize(
    ("data", "index"),
    [
        ("mydyn.MYD", "mydyn.MYI"),
        ("mychk.MYD", "mychk.MYI"),
        ("myfix.MYD", "myfix.MYI"),
        ("ariapage.MAD", "ariapage.MAI"),
        ("ariadyn.MAD", "ariadyn.MAI"),
        ("ariafix.MAD", "ariafix.MAI"),
    ],
)
def test_rows_are_read_by_the_files_beside_them(data: str, index: str) -> None:
    definition = data.partition(".")[0] + ".frm"
    named = table_of(data, definition, index)
    check_people(named)
    assert not named.problems
    assert (named.tables[0].columns or [])[: len(COLUMNS)] == COLUMNS
    assert named.rows[0][8:10] == ["50.25", "2024-01-01 08:00:00"]
    assert named.rows[0][1] == "F"
    unnamed = table_of(data, index)
    check_people(unnamed)
    assert unnamed.details == ["the file that names its columns (.frm) is not beside it"]
    if data.endswith(".MYD"):
        check_people(table_of(data, definition))


@pytest.mark.parametrize("name", ["mydyn", "ariapage", "ariadyn"])
def test_long_texts_in_several_blocks_or_pages_are_whole(name: str) -> None:
    kinds = ("MAD", "MAI") if name.startswith("aria") else ("MYD", "MYI")
    found = table_of(f"{name}.{kinds[0]}", f"{name}.frm", f"{name}.{kinds[1]}")
    assert found.tables[0].columns is not None
    place = found.tables[0].columns.index("notes")
    for at in (5, 33):
        person = PEOPLE[at]
        [row] = [row for row in found.rows if person["nir"] in row]
        assert row[place] == f"Consultation de {person['prenom']} {person['nom']}: tension {at}. " * 400


def test_without_any_description_texts_are_taken_out_and_the_table_is_incomplete():
    found = table_of("mydyn.MYD")
    assert found.problems == ["unnamed"]
    assert not found.complete
    texts = bytes(found.text).decode().split("\n\n")
    for at, person in enumerate(PEOPLE):
        if at not in DELETED:
            assert any(person["nir"] in text and person["nom"] in text and person["prenom"] in text for text in texts)
    assert not table_of("myfix.MYD").complete
    assert table_of("ariapage.MAD", "ariapage.frm").problems == ["unread"]


def test_columns_that_mariadb_compresses_are_opened():
    found = table_of("compmy.MYD", "compmy.frm", "compmy.MYI")
    assert found.all_complete
    for at, person in enumerate(PEOPLE):
        if at not in DELETED:
            [row] = [row for row in found.rows if person["nir"] in row]
            assert {person["nom"], person["prenom"], person["email"]} <= set(row)
    assert any(row[4].startswith("Consultation de ") for row in found.rows)


def test_compressed_columns_of_innodb_are_told():
    found = read(file("comp.ibd"))
    assert found.format == "innodb"
    assert "unread" in found.problems
    assert not found.complete


def test_a_damaged_table_keeps_its_other_rows_and_says_so():
    data = bytearray(file("mydyn.MYD"))
    begin = data.index(PEOPLE[4]["nom"].encode()) - 16
    data[begin : begin + 12] = bytes(12)
    whole = {"mydyn.MYD": bytes(data), "mydyn.frm": file("mydyn.frm"), "mydyn.MYI": file("mydyn.MYI")}
    found = next(member for member in read(make_zip(whole)).members if member.name == "mydyn.MYD")
    assert not found.complete
    assert 50 <= len(found.rows) < 58


@pytest.mark.parametrize("begin", [b"\r\n", b"\r\n\r\n", b"\r\r\n\r\n"])
def test_a_text_that_begins_with_an_empty_line_is_no_table(begin: bytes) -> None:
    found = read(begin + b"Nom : Roux, vu ce jour pour des migraines depuis 1999.\r\n" * 2000)
    assert (found.format, found.shows("migraines"), found.all_complete) == ("text", True, True)


def test_blocks_that_many_rows_share_are_not_copied_for_each():
    count = 500
    begins = b"".join(b"\5\0\0\0\7" + (count * 20).to_bytes(8, "big") + b"x" * 7 for _ in range(count))
    nexts = [(count + at + 1) * 20 * (at < count - 1) for at in range(count)]
    held = bytearray(begins + b"".join(b"\x0b\0\x09" + each.to_bytes(8, "big") + b"y" * 9 for each in nexts))
    file = BlockFile(held)
    assert sum(map(len, file.rows())) <= len(held)
    assert file.damaged >= count // 2


def test_texts_behind_their_length_are_found_without_it():
    assert prefixed_texts(b"\x01\0\0\0\x09Virecourt\x07Oc\xc3\xa9ane\x3c\xa2\x0f") == [b"Virecourt", "Océane".encode()]
