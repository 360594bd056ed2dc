"""Files of the data folder of PostgreSQL: the columns of each table are found from its rows."""

from __future__ import annotations

import csv
import gzip
import struct
from pathlib import Path

import orjson
import pytest

from crawler.readers.databases.postgres_pages import decompress, json_of, numeric
from tests.crawler.readers.frames import read
from tests.synth.every_format import postgres

SHAPES = Path(__file__).parents[3] / "samples" / "shapes"
PEOPLE = [
    row for name in ("cab-nord.csv", "cab-sud.csv") for row in csv.DictReader((SHAPES / name).read_text().splitlines())
]
PAGE = 8192


def birth(person: dict[str, str]) -> str:
    return "-".join(reversed(person["ddn"].split("/")))


def test_a_table_of_many_types_is_read_with_its_deleted_rows():
    found = read(postgres("16385"))
    assert found.format == "postgres_table"
    assert found.all_complete
    assert found.details == [
        "the file does not name its columns; where they begin was found from the rows themselves",
        "long values lie in another file of the data folder",
    ]
    assert len(found.rows) == 60
    for at, (person, row) in enumerate(zip(PEOPLE, found.rows, strict=True)):
        assert row[:4] == [str(at + 1), "M" if at % 2 else "F", person["nom"], person["prenom"]]
        assert row[4:6] == [birth(person), person["nir"]]
        assert row[6:8] == ["" if at % 5 == 2 else person["tel"], person["email"]]
        assert row[9] == f"2024-{at % 12 + 1:02}-{at % 28 + 1:02} {8 + at % 11:02}:{at * 7 % 60:02}:00"
        # a note that is compressed in its place, and one that lies in another file
        assert (f"{person['prenom']} {person['nom']}" in row[12]) == (at != 8 and (at % 7 != 3 or at == 9))


def test_a_long_value_is_put_together_and_decompressed():
    person = PEOPLE[8]
    note = "".join(
        f"Consultation {k} de {person['prenom']} {person['nom']}, tension {k * 7 % 19}. " for k in range(300)
    )
    assert bytes(read(postgres("16389")).text).decode() == note + "\n"


def test_damaged_rows_are_counted_and_the_others_read():
    table = bytearray(postgres("16393"))
    # the first pointer leads behind the page
    table[24:28] = (0x7FF0 | 1 << 15 | 200 << 17).to_bytes(4, "little")
    found = read(bytes(table))
    assert len(found.rows) == 59
    assert "1 rows are damaged and were not read" in found.details
    assert not found.complete


def test_a_table_that_is_cut_off_is_incomplete():
    found = read(postgres("16393")[: PAGE + 100])
    assert found.problems[-1] == "cut"
    assert len(found.rows) > 20


def test_rows_of_a_type_that_cannot_be_found_are_text_and_told():
    table = bytearray(postgres("16393"))
    for page in range(0, len(table), PAGE):
        for at in range(page + 24, page + int.from_bytes(table[page + 12 : page + 14], "little"), 4):
            place = page + (int.from_bytes(table[at : at + 4], "little") & 0x7FFF)
            # fewer columns than the row has
            table[place + 18 : place + 20] = (3).to_bytes(2, "little")
    found = read(bytes(table))
    assert found.problems == ["unnamed"]
    assert not found.complete
    for person in PEOPLE:
        assert found.shows(person["email"])


def page(*rows: bytes) -> bytes:
    """A page of rows of three columns: each row is the bytes of its values."""
    made = bytearray(PAGE)
    at, pointers = PAGE, b""
    for values in rows:
        row = bytes(18) + struct.pack("<HHB", 3, 0, 24) + b"\0" + values
        at -= -(-len(row) // 8) * 8
        made[at : at + len(row)] = row
        pointers += (at | 1 << 15 | len(row) << 17).to_bytes(4, "little")
    made[12:20] = struct.pack("<HHHH", 24 + len(pointers), at, PAGE, PAGE | 4)
    made[24 : 24 + len(pointers)] = pointers
    return bytes(made)


def varying(value: bytes) -> bytes:
    return struct.pack("<I", (len(value) + 4) << 2) + value


def test_people_with_two_numbers_and_a_name_are_no_long_values():
    people = [p["nom"].encode().ljust(20, b".") for p in PEOPLE[:20]]
    found = read(page(*(struct.pack("<II", at, 30 + at * 7 % 40) + varying(name) for at, name in enumerate(people))))
    assert [row[:2] for row in found.rows] == [[str(at), str(30 + at * 7 % 40)] for at in range(20)]


def test_a_file_that_is_divided_into_parts_is_a_member():
    picture = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1, 1, 8, 0, 0, 0, 0).ljust(1500, b"\0")
    parts = [picture[at : at + 500] for at in range(0, len(picture), 500)]
    found = read(page(*(struct.pack("<II", 7, at) + varying(part) for at, part in enumerate(parts))))
    assert [member.format for member in found.members] == ["picture"]
    assert found.complete


def test_a_long_value_that_is_cut_is_told():
    # 6 MB of one letter: a literal, then copies of it
    size = 6 * 2**20
    packed = struct.pack("<I", size) + b"\xfea" + (b"\x0f\x01\xff" * 7 + b"\xff" + b"\x0f\x01\xff") * 9000
    parts = [packed[at : at + 1000] for at in range(0, 150_000, 1000)]
    rows = [struct.pack("<II", 7, at) + varying(part) for at, part in enumerate(parts)]
    found = read(b"".join(page(*rows[at : at + 7]) for at in range(0, len(rows), 7)))
    assert "cut" in found.problems
    assert not found.complete


def test_jsonb_is_shown_as_json_and_numeric_as_digits():
    rows = read(gzip.decompress((SHAPES / "60-postgres-jsonb.gz").read_bytes())).rows
    assert [row[0] for row in rows] == [str(at) for at in range(1, 24)]
    for at, row in enumerate(rows[:20], 1):
        assert orjson.loads(row[1]) == {
            "nom": f"Brûlefer{at}", "prenom": "Élodie", "tel": [f"06000000{at:02}", str(at), True, None],
            "adresse": {"ville": "Océanville", "cp": str(29000 + at)}, "poids": f"{at}.25",
        }  # fmt: skip
        assert row[2] == str(201015917668400 + at)
        assert float(row[3]) == -at / 8
    assert [row[1:] for row in rows[20:]] == [
        ['"seul"', "10000", "0.00012"],
        ["[]", "0", ""],
        ["{}", "123456789012345", "100000000000000000000"],
    ]


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\xff" * 40, b"\xff\xff\xff\x4f", b"\x01\0\0\x40" * 200, b"\x01\0\0\x40\0\0\0\x50" * 200]
)
def test_bytes_that_are_no_jsonb_and_no_numeric_are_no_value(data: bytes) -> None:
    assert not json_of(data)
    assert not numeric(data)


def test_the_texts_of_arrays_are_shown():
    rows = read(gzip.decompress((SHAPES / "60-postgres-arrays.gz").read_bytes())).rows
    for at, row in enumerate(rows, 1):
        assert row == [str(at), f"Brûlefer{at} Élodie brulefer{at}@example.org", f"06000000{at:02}", ""]
    assert len(rows) == 20


def test_a_copy_of_bytes_before_the_beginning_is_damage():
    assert decompress((40).to_bytes(4, "little") + b"\x01\x0f\xff\xff", 100) is None
    assert decompress((2**29).to_bytes(4, "little") + b"\x02a" + b"\x0f\x01\xff" * 3, 1000) is None
