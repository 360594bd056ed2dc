"""Binary logs that MariaDB wrote: each change of a row is a row, each statement is read as in a dump."""

from __future__ import annotations

import csv
import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from crawler.readers.databases.mysql.mysql_values import MysqlType, read_value
from tests.crawler.readers.frames import read

SHAPES = Path(__file__).parents[4] / "samples" / "shapes"
PEOPLE = [
    row for name in ("cab-nord.csv", "cab-sud.csv") for row in csv.DictReader((SHAPES / name).read_text().splitlines())
]
LOG = (SHAPES / "60-binlog.000004").read_bytes()


def test_every_row_has_the_names_of_its_columns():
    found = read(LOG)
    assert found.all_complete
    assert not found.all_problems
    [table] = found.tables
    assert table.columns == ["id", "nom", "prenom", "ddn", "nir", "email", "note"]
    for at, (person, row) in enumerate(zip(PEOPLE, table.rows[:60], strict=True)):
        birth = "-".join(reversed(person["ddn"].split("/")))
        note = "" if at % 30 % 3 else f"Suivi de {person['prenom']}"
        assert row == [str(at), person["nom"], person["prenom"], birth, person["nir"], person["email"], note]
    # a change before and after, and the row that was deleted
    assert [row[5] for row in table.rows[60:]] == [PEOPLE[3]["email"], "autre@example.org", PEOPLE[7]["email"]]


def test_rows_without_names_of_columns_are_read_too():
    with zipfile.ZipFile(io.BytesIO((SHAPES / "60-data-folders.zip").read_bytes())) as archive:
        found = read(archive.read("bin.000001"))
    assert found.format == "mysql_binlog"
    assert found.all_complete, found.all_problems
    for person in PEOPLE:
        assert found.shows(person["nom"])
        assert found.shows(person["email"])


def statement(text: bytes) -> bytes:
    """An event with a statement, as a server writes it that logs statements."""
    body = struct.pack("<IIBHH", 1, 0, 1, 0, 0) + b"d\0" + text + bytes(4)
    return struct.pack("<IBIIIH", 0, 2, 1, 19 + len(body), 0, 0) + body


def test_statements_are_read_as_a_dump():
    text = "INSERT INTO p (nom, prenom) VALUES ('Brûlefer', 'Élodie'), ('Virecourt', 'Océane')".encode()
    [member] = [each for each in read(LOG + statement(text)).members if each.name == "statements.sql"]
    assert ["Brûlefer", "Élodie"] in member.rows


def event(kind: int, body: bytes, checksum: bytes = bytes(4)) -> bytes:
    return struct.pack("<IBIIIH", 0, kind, 1, 19 + len(body) + len(checksum), 0, 0) + body + checksum


def events(log: bytes) -> Iterator[tuple[int, bytes]]:
    at = 4
    while at < len(log):
        size = int.from_bytes(log[at + 9 : at + 13], "little")
        yield log[at + 4], log[at + 19 : at + size - 4]
        at += size


@pytest.mark.parametrize("method", [0, 255])
def test_transactions_that_mysql_8_compresses_are_read(method: int) -> None:
    inner = b"".join(event(kind, body, b"") for kind, body in events(LOG) if kind != 15)
    packed = zstandard.compress(inner) if method == 0 else inner
    code = bytes([method]) if method < 251 else b"\xfc" + method.to_bytes(2, "little")
    fields = b"\x02" + bytes([len(code)]) + code + b"\x03\x04" + b"\xfd" + len(inner).to_bytes(3, "little") + b"\0"
    begin = LOG[: 4 + int.from_bytes(LOG[13:17], "little")]
    found = read(begin + event(40, fields + packed))
    assert found.all_complete
    assert found.rows == read(LOG).rows


def test_what_load_data_loads_and_the_values_of_variables_are_read():
    table = (SHAPES / "cab-nord.csv").read_bytes()
    log = LOG + event(17, bytes(4) + table[:500]) + event(9, bytes(4) + table[500:])
    variable = "Brûlefer Élodie".encode()
    log += event(14, struct.pack("<I", 1) + b"a\0\0" + struct.pack("<II", 45, len(variable)) + variable)
    found = read(log)
    assert not found.all_problems
    assert found.shows("Brûlefer Élodie")
    assert [len(member.rows) for member in found.members if member.format == "delimited"] == [31]


def test_events_that_are_not_known_are_unread():
    found = read(LOG + event(39, b"x"))
    assert found.problems == ["unread"], found.details
    assert not found.complete


def test_the_texts_of_a_json_value_are_read():
    # {"nom": "Brûlefer"} as MySQL 5.7 and later write it
    name = "Brûlefer".encode()
    value = (
        b"\0\x01\0" + (14 + len(name)).to_bytes(2, "little") + b"\x0b\0\x03\0\x0c\x0e\0nom" + bytes([len(name)]) + name
    )
    text, _ = read_value(len(value).to_bytes(4, "little") + value, 0, MysqlType(245, b"\x04"))
    assert "Brûlefer" in text.decode()


def test_a_log_that_ends_in_an_event_keeps_its_rows_and_is_incomplete():
    found = read(LOG[:-600])
    assert "cut" in found.problems
    assert not found.complete
    assert sum(len(table.rows) for table in found.tables) >= 30


def test_a_row_of_a_table_that_is_not_described_is_unread():
    at = LOG.index(b"bl\0") - 30
    # the event that describes the table becomes one that is not known
    begin = next(place for place in range(at, 0, -1) if LOG[place + 4 : place + 5] == b"\x13")
    found = read(LOG[: begin + 4] + b"\xa0" + LOG[begin + 5 :])
    assert "unread" in found.problems
    assert not found.complete
