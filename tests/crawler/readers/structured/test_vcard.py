from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import read

CARDS = {
    "2.1": "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Gu=C3=A9rin;Jean=\r\n-Paul\r\n"
    "TEL;CELL:06 12 34 56 78\r\nEMAIL;INTERNET:a@b.example\r\nBDAY:19750312\r\n"
    "NOTE;ENCODING=QUOTED-PRINTABLE:=E9t=E9\r\nEND:VCARD\r\n",
    "3.0": "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Guérin;Jean-P\r\n aul\r\nitem1.TEL;TYPE=CELL:06 12 34 56 78\r\n"
    "EMAIL:a@b.\r\n example\r\nBDAY:19750312\r\nNOTE:été\r\nEND:VCARD\r\n",
    "4.0": "begin:vcard\nVERSION:4.0\nN:Guérin;Jean-Paul\nTEL;VALUE=uri:tel:06 12 34 56 78\nEMAIL:mailto:a@b.example\n"
    "BDAY:19750312\nNOTE:été\nEND:VCARD\n",
}


@pytest.mark.parametrize("version", CARDS)
def test_every_card_is_a_row(version: str) -> None:
    for data in (CARDS[version].encode(), CARDS[version].encode("utf-16"), CARDS[version].encode("cp1252")):
        found = read(data)
        assert found.format == "vcard"
        assert not found.problems
        [table] = found.tables
        assert table.columns == ["version", "surname", "first_name", "phone", "email", "birth_date", "note"]
        assert table.rows == [[version, "Guérin", "Jean-Paul", "06 12 34 56 78", "a@b.example", "19750312", "été"]]


def test_a_fold_inside_a_utf8_character_is_repaired() -> None:
    data = "BEGIN:VCARD\nFN:Léa\nEND:VCARD\n".encode().replace(b"\xc3\xa9", b"\xc3\n \xa9")
    assert read(data).rows == [["Léa"]]


def test_repeated_properties_have_columns_of_their_own() -> None:
    found = read(b"BEGIN:VCARD\nTEL:1\nTEL:2\nTEL:3\nADR:;;1 rue X;Lyon;;69000;FR\nEND:VCARD\n")
    assert found.tables[0].columns == ["phone", "phone_2", "phone_3", "address"]
    assert found.rows == [["1", "2", "3", "1 rue X Lyon 69000 FR"]]


def test_a_picture_is_a_member_and_a_line_that_is_not_a_property_is_text() -> None:
    inside = base64.b64encode(b"hello").decode()
    files = f"PHOTO;ENCODING=b:{inside}\nKEY:data:text/plain;base64,{inside}\n"
    found = read(f"BEGIN:VCARD\nFN:A\n{files}what is this\nEND:VCARD\n".encode())
    assert [(member.name, member.format) for member in found.members] == [("photo", "text"), ("key", "text")]
    assert found.text == b"what is this\n"


def test_a_card_without_an_end_line_is_a_row() -> None:
    found = read(b"BEGIN:VCARD\nFN:A\nBEGIN:VCARD\nFN:B\n")
    assert found.rows == [["A"], ["B"]]
    assert found.problems == ["cut", "cut"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_bytes_do_not_stop_the_reader(data: st.DataObject) -> None:
    whole = bytearray("".join(CARDS.values()).encode())
    for at in data.draw(st.lists(st.integers(13, len(whole) - 1), max_size=6)):
        whole[at] = data.draw(st.sampled_from(list(b":;=\\\r\n \xff\x00")))
    found = read(bytes(whole), Limits(max_line=300))
    assert "reader" not in found.all_problems
    assert found.bytes == len(whole)
