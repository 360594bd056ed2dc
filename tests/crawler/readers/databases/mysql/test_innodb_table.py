"""Tables that InnoDB wrote, read page by page: MariaDB made the files, MySQL's description of columns is by its manual."""

from __future__ import annotations

import csv
import struct
import zlib
from pathlib import Path

import orjson
import pytest

from crawler.readers.databases.unnamed_columns import decimal_of
from tests.crawler.readers.frames import Member, read
from tests.synth.every_format import innodb, innodb_shared

SHAPES = Path(__file__).parents[4] / "samples" / "shapes"
PEOPLE = [
    row for name in ("cab-nord.csv", "cab-sud.csv") for row in csv.DictReader((SHAPES / name).read_text().splitlines())
]
DELETED = (9, 19, 59)
PAGE = 16_384


def birth(person: dict[str, str]) -> str:
    return "-".join(reversed(person["ddn"].split("/")))


def check_rows(found: Member) -> None:
    """Each person that was not deleted is in one row with her own values and with no value of another."""
    for at, person in enumerate(PEOPLE):
        rows = [row for row in found.rows if person["nir"] in row]
        if at in DELETED:
            assert not rows
            continue
        [row] = rows
        email = "autre@example.org" if at == 2 and "autre@example.org" in row else person["email"]
        assert {person["nom"], person["prenom"], birth(person), email} <= set(row)
        assert (person["tel"] in row) == (at % 5 != 2)
        # a note, of which three are NULL in seven rows, and others lie on pages of their own
        assert any(f"{person['prenom']} {person['nom']}" in value for value in row) == (at % 7 != 3 or at in (5, 33))


@pytest.mark.parametrize("name", ["dyn.ibd", "compact.ibd", "redundant.ibd"])
@pytest.mark.slow
def test_columns_are_found_from_the_records_alone(name: str) -> None:
    found = read(innodb(name))
    assert found.format == "innodb"
    assert found.details == [
        "the file does not name its columns; where they begin was found from the records themselves"
    ]
    assert found.all_complete
    check_rows(found)


@pytest.mark.parametrize("name", ["dyn.ibd", "compact.ibd", "redundant.ibd"])
def test_a_long_text_is_followed_over_its_pages(name: str) -> None:
    person = PEOPLE[5]
    note = "".join(
        f"Consultation {k} de {person['prenom']} {person['nom']}, {person['email']} tension {k * 7 % 19}. "
        for k in range(300)
    )
    [row] = [row for row in read(innodb(name)).rows if person["nir"] in row]
    assert note.strip() in [value.strip() for value in row]


# name, declared type, bytes of a value, may be NULL: as the table of the sample was created
COLUMNS = (
    ("id", "int unsigned", 4, False), ("civ", "char(1)", 4, False), ("nom", "varchar(60)", 240, False),
    ("prenom", "varchar(40)", 160, True), ("ddn", "date", 3, True), ("nir", "char(15)", 60, True),
    ("tel", "varchar(20)", 80, True), ("email", "varchar(120)", 480, True), ("poids", "decimal(5,2)", 6, True),
    ("vu", "datetime", 19, True), ("notes", "text", 65535, True), ("sexe", "enum('M','F')", 4, True),
)  # fmt: skip


def described(table: bytes, private: str = "") -> bytes:
    """The table with a page that describes its columns, as MySQL 8 writes it."""
    columns = [
        {
            "name": name,
            "hidden": 1,
            "column_type_utf8": kind,
            "char_length": size,
            "is_nullable": null,
            "collation_id": 45,
        }
        for name, kind, size, null in COLUMNS
    ]
    columns += [
        {
            "name": name,
            "hidden": 2,
            "column_type_utf8": "",
            "char_length": size,
            "is_nullable": False,
            "collation_id": 63,
        }
        for name, size in (("DB_TRX_ID", 6), ("DB_ROLL_PTR", 7))
    ]
    order = [0, 12, 13, *range(1, 12)]
    dictionary = orjson.dumps({
        "dd_object_type": "Table",
        "dd_object": {"name": "dyn", "se_private_data": private, "columns": columns, "indexes": [{"elements": [{"column_opx": at} for at in order]}]},
    })  # fmt: skip
    packed = zlib.compress(dictionary)
    page = bytearray(PAGE)
    struct.pack_into(">H", page, 24, 17853)
    origin = 128
    data = struct.pack(">IQ6x7xII", 1, 1, len(dictionary), len(packed)) + packed
    page[origin : origin + len(data)] = data
    struct.pack_into(">HHH", page, 38, 2, origin + len(data), 0x8003)
    # from the first mark to the record, from the record to the last mark
    struct.pack_into(">H", page, 97, origin - 99)
    struct.pack_into(">H", page, origin - 2, (112 - origin) % 65_536)
    return table + page


def test_columns_have_the_names_that_mysql_8_keeps_in_the_file():
    found = read(described(innodb("dyn.ibd")))
    assert not found.problems
    check_rows(found)
    [table] = found.tables
    assert table.columns == [name for name, *_ in COLUMNS]
    first = next(row for row in table.rows if PEOPLE[0]["nir"] in row)
    assert first[:8] == [
        "1",
        "F",
        *(PEOPLE[0][key] for key in ("nom", "prenom")),
        birth(PEOPLE[0]),
        *(PEOPLE[0][key] for key in ("nir", "tel", "email")),
    ]
    assert first[9] == "2024-01-01 08:00:00"
    assert {row[8] for row in table.rows} > {"61.25"}, sorted({row[8] for row in table.rows})


@pytest.mark.parametrize(
    ("data", "whole", "part", "shown"),
    [
        # the examples of MySQL's strings/decimal.cc
        ("810dfb38d204d2", 10, 4, "1234567890.1234"),
        ("7ef204c72dfb2d", 10, 4, "-1234567890.1234"),
        ("80c0fd5f07c2e76d", 15, 0, ""),
        ("80", 1, 0, "0"),
        ("", 1, 0, ""),
    ],
)
def test_decimals_of_mysql(data: str, whole: int, part: int, shown: str) -> None:
    assert decimal_of(bytes.fromhex(data), whole, part) == shown


def test_a_list_of_records_that_leads_back_ends():
    table = bytearray(innodb("compact.ibd"))
    at = 3 * PAGE
    first = 99 + struct.unpack_from(">H", table, at + 97)[0]
    struct.pack_into(">H", table, at + first - 2, (99 - first) % 65_536)
    assert "damaged" in read(bytes(table)).problems


@pytest.mark.slow
def test_long_values_whose_pages_lead_in_a_circle_end_and_are_told():
    table = bytearray(innodb("dyn.ibd"))
    for number in range(len(table) // PAGE):
        if table[number * PAGE + 24 : number * PAGE + 26] == b"\0\x0a":
            struct.pack_into(">I", table, number * PAGE + 42, number)
    found = read(bytes(table))
    assert "cut" in found.problems
    assert not found.all_complete


def test_compressed_pages_are_unread_and_one_row_is_text():
    table = bytearray(innodb("compact.ibd"))
    struct.pack_into(">I", table, 54, 0x29)
    assert read(bytes(table)).problems[0] == "unread"


@pytest.mark.slow
def test_all_tables_of_the_system_table_space_are_read_apart():
    found = read(innodb_shared("ibdata1"))
    assert found.problems == ["unnamed", "unnamed", "row"]
    for at, person in enumerate(PEOPLE, 1):
        [row] = [row for row in found.rows if person["nir"] in row]
        assert row == [str(at), person["email"], person["nir"], person["tel"]]
        assert [str(at), person["nom"], person["prenom"], birth(person)] in found.rows
    # rows of two tables with four columns each are never in one
    assert all(("@" in table.rows[0][1]) == ("@" in row[1]) for table in found.tables for row in table.rows)


def test_a_table_to_which_a_column_was_added_without_a_copy_is_read_and_not_its_secondary_index():
    found = read(innodb_shared("instant.ibd"))
    assert found.all_complete
    expected = [[str(at), p["nom"], p["prenom"], p["email"], birth(p)] for at, p in enumerate(PEOPLE, 1)]
    assert found.rows == expected


@pytest.mark.parametrize("private", ["instant_col=11;", "version_added=1;"])
@pytest.mark.slow
def test_a_description_that_does_not_fit_older_rows_is_not_used(private: str) -> None:
    found = read(described(innodb("dyn.ibd"), private))
    assert found.details == [
        "the file does not name its columns; where they begin was found from the records themselves"
    ]
    check_rows(found)


@pytest.mark.parametrize("kind", [14, 15, 16, 37401, 0])
def test_a_page_that_is_compressed_or_encrypted_is_unread(kind: int) -> None:
    table = bytearray(innodb("dyn.ibd"))
    if kind:
        struct.pack_into(">H", table, 3 * PAGE + 24, kind)
    else:
        # MariaDB: the type stays, and the version of the key stands in front
        assert table[57] & 0x10
        struct.pack_into(">I", table, 3 * PAGE, 1)
    found = read(bytes(table))
    assert "unread" in found.problems
    assert not found.complete


def test_a_table_without_rows_has_no_problem():
    [empty] = [page for page in pages(innodb_shared("ibdata1")) if page[66:74] == (0xB).to_bytes(8, "big")]
    first = innodb("dyn.ibd")[: 3 * PAGE]
    found = read(first + empty)
    assert not found.all_problems
    assert found.all_complete


def pages(table: bytes) -> list[bytes]:
    return [table[at : at + PAGE] for at in range(0, len(table), PAGE)]


@pytest.mark.slow
def test_a_file_in_a_long_value_is_a_member():
    table = bytearray(innodb("dyn.ibd"))
    # a picture in place of the first long text
    page = next(at for at in range(0, len(table), PAGE) if table[at + 24 : at + 26] == b"\0\x0a")
    start = page + 38 + 8
    size = int.from_bytes(table[page + 38 : page + 42], "big")
    picture = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1, 1, 8, 0, 0, 0, 0)
    table[start : start + size] = picture.ljust(size, b"\0")
    found = read(bytes(table))
    assert [member.format for member in found.members] == ["picture"]
