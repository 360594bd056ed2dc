from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.crawler.readers.frames import Member, read
from tests.synth.compound import compound, narrow, record, sheets, wide
from tests.synth.office import workbook


def tables(found: Member) -> list[list[list[str]]]:
    return [table.rows for member in found.walk() for table in member.tables]


def at(row: int, column: int, form: int = 0) -> bytes:
    return struct.pack("<HHH", row, column, form)


HEAD = (
    record(0x41E, struct.pack("<H", 164) + narrow("dd/mm/yyyy"))
    + record(0xE0, struct.pack("<HH", 0, 0) + bytes(16))
    + record(0xE0, struct.pack("<HH", 0, 164) + bytes(16))
)
SHARED = record(0xFC, struct.pack("<II", 2, 2) + narrow("Dup\xf4nt") + wide("Zoé 日"))
CELLS = [
    (record(0xFD, at(0, 0) + struct.pack("<I", 0)), "Dupônt"),
    (record(0xFD, at(0, 0) + struct.pack("<I", 1)), "Zoé 日"),
    (record(0x204, at(0, 0) + narrow("L\xe9a")), "Léa"),
    (record(0x203, at(0, 0) + struct.pack("<d", 185057800608491.0)), "185057800608491"),
    (record(0x203, at(0, 0, 1) + struct.pack("<d", 27465.0)), "1975-03-12"),
    (record(0x27E, at(0, 0) + struct.pack("<I", 612345 << 2 | 2)), "612345"),
    (record(0x27E, at(0, 0) + struct.pack("<I", 1250 << 2 | 3)), "12.5"),
    (record(0x27E, at(0, 0) + struct.pack("<i", -5 << 2 | 2)), "-5"),
    (record(0x205, at(0, 0) + b"\1\0"), "true"),
    (record(0x06, at(0, 0) + struct.pack("<d", 2.0) + bytes(8)), "2"),
    (record(0x06, at(0, 0) + b"\0" * 6 + b"\xff\xff" + bytes(8)) + record(0x207, narrow("Roux")), "Roux"),
    (record(0x204, at(0, 0) + struct.pack("<HB", 5, 0) + b"Du") + record(0x3C, b"\1p\0o\0n\0"), "Dupon"),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "shows"), CELLS)
def test_a_cell_of_an_old_workbook_gives_its_value(cell: bytes, shows: str) -> None:
    found = read(compound({"Workbook": sheets(cell, head=HEAD + SHARED)}))
    assert found.format == "ole"
    assert [member.format for member in found.members] == ["xls"]
    assert tables(found) == [[[shows]]]
    assert found.all_complete


def test_rows_and_sheets_are_separate_and_a_record_of_many_numbers_is_many_cells() -> None:
    run = record(
        0xBD,
        struct.pack("<HH", 1, 0) + b"".join(struct.pack("<HI", 0, n << 2 | 2) for n in (7, 8)) + struct.pack("<H", 1),
    )
    first = record(0x204, at(0, 0) + narrow("a")) + record(0x204, at(0, 1) + narrow("b")) + run
    found = read(compound({"Workbook": sheets(first, record(0x204, at(0, 0) + narrow("c")))}))
    assert tables(found) == [[["a", "b"], ["7", "8"]], [["c"]]]


@given(
    st.lists(st.text(st.characters(codec="utf-16", max_codepoint=0xFFFF), max_size=30), min_size=1, max_size=8),
    st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_shared_strings_are_read_wherever_their_record_is_split(texts: list[str], size: int) -> None:
    body, pieces = struct.pack("<II", len(texts), len(texts)), []
    for text in texts:
        # A piece may end between any two letters. If the next piece continues a string, it begins with the width flag.
        body += struct.pack("<HB", len(text), 1)
        for number, letter in enumerate(text, 1):
            body += letter.encode("utf-16-le")
            if len(body) > size:
                pieces.append(body)
                body = b"\1" if number < len(text) else b""
    pieces.append(body)
    head = record(0xFC, pieces[0]) + b"".join(record(0x3C, piece) for piece in pieces[1:])
    cells = b"".join(record(0xFD, at(0, n) + struct.pack("<I", n)) for n in range(len(texts)))
    found = read(compound({"Workbook": sheets(cells, head=head)}))
    got = [value for row in found.members[0].rows for value in row]
    assert [value for value in got if value] == [text for text in texts if text]


def test_encrypted_documents_are_reported_as_locked() -> None:
    found = read(compound({"EncryptionInfo": b"\4\0\4\0" + b"<x/>", "EncryptedPackage": bytes(5000)}))
    assert found.all_problems == {"locked"}
    assert not found.complete
    old = read(compound({"Workbook": sheets(CELLS[2][0], head=record(0x2F, bytes(4)))}))
    assert old.all_problems == {"locked"}
    assert not old.all_complete


def test_streams_are_members_and_unread_old_text_is_reported() -> None:
    streams = {
        "WordDocument": b"\xec\xa5" + bytes(200) + b"dupont@b.example" + bytes(9000),
        "Package": workbook([["nom", "prenom"], ["Dupont", "Jean"]]),
        "__substg1.0_1000001F": "né le 12/03/1975\nà Lyon".encode("utf-16-le"),
    }
    found = read(compound(streams))
    assert found.problems == ["unread"]
    assert found.shows("dupont@b.example")
    assert found.shows("né le 12/03/1975")
    assert tables(found) == [[["nom", "prenom"], ["Dupont", "Jean"]]]


@pytest.mark.parametrize("size", [600, 3000, 20_000])
def test_a_truncated_file_is_reported(size: int) -> None:
    cells = b"".join(record(0x204, at(n, 0) + narrow(f"Dupont{n}")) for n in range(2000))
    found = read(compound({"Workbook": sheets(cells)})[:size])
    assert not found.all_complete
    assert found.all_problems & {"cut", "damaged"}


@pytest.mark.slow
def test_streams_that_share_sectors_are_reported() -> None:
    whole = bytearray(compound({f"s{n}": b"x" * (5000 if n else 200_000) for n in range(60)}))
    first = whole.index("s0".encode("utf-16-le") + b"\0\0")
    for n in range(60):
        struct.pack_into("<IQ", whole, first + 128 * n + 116, 0, 200_000)
    found = read(bytes(whole))
    assert found.problems == ["suspicious"]
    assert not found.complete


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_bytes_do_not_crash_the_reader(data: st.DataObject) -> None:
    changed = bytearray(
        compound({"Workbook": sheets(b"".join(cell for cell, _ in CELLS), head=HEAD + SHARED), "x": b"text\n" * 9})
    )
    for place in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    found = read(bytes(changed[: data.draw(st.integers(1, len(changed)))]))
    assert "reader" not in found.all_problems
