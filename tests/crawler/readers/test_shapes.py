"""The same 60 invented people in the shapes in which such data is exported and posted: each is in one row or text.

The samples were written by the real programs (MongoDB, PostgreSQL, Redis, PHP and others) or by hand after public
reports of such files. `cab-nord.csv` and `cab-sud.csv` hold the people.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from tests.crawler.readers.frames import Member, read

SHAPES = Path(__file__).parents[2] / "samples" / "shapes"
PEOPLE = [
    row for name in ("cab-nord.csv", "cab-sud.csv") for row in csv.DictReader((SHAPES / name).read_text().splitlines())
]
# what identifies a person in the shape: the column of the table of people
IN_ROWS = {
    "T7-dbf3.same.dbf": ("dbase", "email"),
    "28-ldif.same.ldif": ("ldif", "email"),
    "27b-hprim-sante.same.hpr": ("hprim", "nir"),
    "51-msgpack.same.msgpack": ("msgpack", "email"),
    "47-bson.same.bson": ("bson", "email"),
    "47c-mongo-archive.same.archive.gz": ("bson", "email"),
    "50b-xplist.same.plist": ("plist", "email"),
    "43-serialize.same.txt": ("php_serialized", "email"),
    "78-json-array-lines.same.json": ("json_lines", "email"),
    "32-gviz.same.txt": ("json", "email"),
    "34-mysqldump-php.same.sql": ("sql_dump", "email"),
    "T9-pma-xml.same.xml": ("xml", "email"),
}


def member(name: str, kind: str) -> Member:
    found = read((SHAPES / name).read_bytes())
    assert found.all_complete, found.all_problems
    return next(each for each in found.walk() if each.format == kind)


@pytest.mark.parametrize("name", IN_ROWS)
def test_every_person_is_in_one_row_with_her_names(name: str) -> None:
    kind, key = IN_ROWS[name]
    rows = [[value.casefold() for value in row] for row in member(name, kind).rows]
    found = Counter(
        at for row in rows for at, person in enumerate(PEOPLE) if any(person[key].casefold() in value for value in row)
    )
    assert found == Counter(range(60))
    for person in PEOPLE:
        row = next(row for row in rows if any(person[key].casefold() in value for value in row))
        for column in ("nom", "prenom"):
            assert any(person[column].casefold() in value for value in row)


def test_accents_of_an_unmarked_code_page_are_told_by_how_names_look():
    values = {value for row in member("T7-dbf3.same.dbf", "dbase").rows for value in row}
    assert {person["nom"] for person in PEOPLE} <= values
    assert {person["prenom"] for person in PEOPLE} <= values


def test_a_birth_date_of_a_dbase_table_has_a_column_that_says_so():
    [table] = member("70c-dbf-ascii.same.dbf", "dbase").tables
    assert table.columns == ["NOM", "PRENOM", "date_naissance"]
    assert table.rows[0] == ["VIRECOURT", "OCEANE", "20010128"]


def test_folded_lines_of_a_calendar_are_joined_and_each_event_is_one_text():
    events = bytes(member("30-ics.same.ics", "icalendar").text).decode().split("\n\n")
    for person in PEOPLE:
        assert sum(person["email"] in event and person["nom"] in event for event in events) == 1


def test_every_file_of_dicom_names_its_patient():
    found = read((SHAPES / "52-dicom.same.zip").read_bytes())
    rows = [row for each in found.members for row in each.rows]
    # their pictures may show words
    assert found.all_problems == {"unread"}
    assert [row[1:3] for row in rows] == [[person["nom"], person["prenom"]] for person in PEOPLE]
    assert [row[7] for row in rows] == [person["nir"] for person in PEOPLE]


def test_an_array_with_one_object_a_line_is_one_table_without_problems():
    found = member("78-json-array-lines.same.json", "json_lines")
    assert len(found.rows) == 60
    assert not found.problems


def test_rows_of_a_google_table_have_the_labels_of_its_columns_and_dates_as_shown():
    tables = [
        table for table in member("32-gviz.same.txt", "json").tables if table.columns and "prenom" in table.columns
    ]
    [people] = tables
    assert len(people.rows) == 60
    dates = {row[people.columns.index("ddn")] for row in people.rows if people.columns}
    assert dates == {person["ddn"] for person in PEOPLE}


def test_the_parts_of_a_telegram_message_are_one_text():
    messages = bytes(member("31-telegram-json.same.json", "json").text).decode().split("\n\n")
    for person in PEOPLE:
        [message] = [each for each in messages if person["email"] in each]
        assert person["nom"] in message
        assert person["ddn"] in message


def test_the_name_of_a_table_is_not_a_name_in_its_rows():
    for name in ("T9-pma-xml.same.xml", "93b-xml-attr.same.xml"):
        tables = [table for table in member(name, "xml").tables if table.columns and "nom" in table.columns]
        assert sum(len(table.rows) for table in tables) == 60
        assert all("name" not in (table.columns or []) for table in tables)
