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
