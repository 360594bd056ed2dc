"""Pickles are followed, never executed."""

from __future__ import annotations

import datetime as dt
import pickle

import numpy as np
import pytest

from tests.crawler.readers.frames import read

PEOPLE = [
    {"nom": "Roux", "prenom": "Zoé", "tel": "0611223344"},
    {"nom": "Petit", "prenom": "Jean", "tel": "0611223355"},
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_dicts_are_rows(protocol: int) -> None:
    found = read(pickle.dumps({"patients": PEOPLE, "le": dt.date(2024, 1, 2)}, protocol))
    assert (found.format, found.all_complete) == ("pickle", True)
    assert [row for table in found.tables if table.columns == list(PEOPLE[0]) for row in table.rows] == [
        list(person.values()) for person in PEOPLE
    ]


def test_lists_of_one_length_are_rows_and_long_bytes_are_text():
    rows = [("Roux", "Zoé", "1970-03-15"), ("Petit", "Jean", "1981-02-01"), ("Blanc", "Anne", "1990-12-24")]
    found = read(pickle.dumps({"rows": rows, "file": b"nom;tel\nRoux;0611223344\n" * 60_000}))
    assert found.rows[:3] == [list(row) for row in rows]
    assert found.shows("0611223344")
    numbers = read(pickle.dumps({"nom": ["Roux", "Petit"] * 9, "tel": np.arange(33611223344, 33611223362)}))
    assert (numbers.problems, numbers.complete) == (["unread"], False), numbers.details
    array = np.array([*rows, ("Noir", "Luc", "1950-01-01")], dtype=object)
    assert [row[:2] for row in read(pickle.dumps(array)).rows] == [list(row[:2]) for row in array]


def test_columns_of_an_array_of_objects_are_rows():
    columns = np.array([["Roux", "Petit", "Blanc"], ["Zoé", "Jean", "Anne"]], dtype=object)
    found = read(pickle.dumps({"blocks": columns, "names": ["nom", "prenom"]}))
    assert found.rows == [["Roux", "Zoé"], ["Petit", "Jean"], ["Blanc", "Anne"]]


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


def test_nothing_is_executed_and_texts_are_read():
    found = read(pickle.dumps([Harmful(), PEOPLE]))
    assert found.shows("raise SystemExit")
    assert len(found.rows) == 2


@pytest.mark.parametrize(
    "data",
    [
        # a list that takes in itself, and one that doubles with every step
        b"\x80\x04]q\0h\0\x85R." * 3,
        b"\x80\x04]q\0(K\1K\2K\3e" + b"h\0h\0R" * 40 + b".",
        b"\x80\x04\x95" + bytes(8) + b"e.",
        # one list as each of many rows
        b"\x80\x04](K\1K\2\x86q\0" + b"h\0" * 9999 + b"e.",
        pickle.dumps(PEOPLE)[:-9],
    ],
)
def test_hostile_and_damaged_pickles_end(data: bytes) -> None:
    found = read(data)
    assert found.problems or found.all_complete
