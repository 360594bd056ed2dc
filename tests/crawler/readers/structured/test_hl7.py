from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import Member, read

MESSAGE = (
    "MSH|^~\\&|A|B|C|D|20200101||ADT^A01|1|P|2.5\r"
    "PID|1||175031234567890^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS~123^^^HOP^PI||"
    "DUPONT^Jean^Jean Paul^^^^L~DURAND^Jean^^^^^D||19750312|M|||1 rue X^^Lyon^^69001^FR||"
    "0612345678^PRN^CP~^NET^Internet^jean@x.example|0499887766\r"
    "NK1|1|MARTIN^Léa|SPO||0611223344\r"
    "PV1|1|I|||||10001234567^DOC^Anne\r"
    "NTE|1||vu \\T\\ noté\\.br\\suite \\XC3A9\\\r"
)


def person_rows(found: Member) -> list[dict[str, str]]:
    return [
        {key: value for key, value in zip(table.columns or [], row, strict=True) if value}
        for table in found.tables
        for row in table.rows
    ]


@pytest.mark.parametrize(
    "data",
    [
        MESSAGE.encode(),
        MESSAGE.encode("cp1252"),
        MESSAGE.encode("utf-16"),
        MESSAGE.replace("\r", "\n").encode(),
        MESSAGE.replace("\r", "\r\n").encode(),
        f"\x0b{MESSAGE}\x1c\r".encode(),
        f"FHS|^~\\&|x\rBHS|^~\\&|x\r{MESSAGE}BTS|1\rFTS|1\r".encode(),
        MESSAGE.replace("\\", "%").replace("|", "#").replace("^", "$").encode(),
    ],
)
def test_people_of_a_message_are_rows_and_notes_are_text(data: bytes) -> None:
    found = read(data)
    assert found.format == "hl7"
    assert not found.problems
    patient, relative, doctor = person_rows(found)
    assert patient.pop("identifiers") == "ASIP-SANTE-INS-NIR 1.2.250.1.213.1.4.8 ISO INS ~ 123 HOP PI"
    assert patient == {
        "segment": "PID",
        "surname": "DUPONT",
        "first_name": "Jean",
        "given_names": "Jean Paul",
        "birth_name": "DURAND",
        "birth_date": "19750312",
        "nir": "175031234567890",
        "phone": "0612345678",
        "phone_2": "0499887766",
        "email": "jean@x.example",
        "address": "1 rue X Lyon 69001 FR",
        "names": "DURAND Jean",
    }
    assert relative == {"segment": "NK1", "surname": "MARTIN", "first_name": "Léa", "phone": "0611223344"}
    assert doctor == {"segment": "PV1", "surname": "DOC", "first_name": "Anne", "rpps": "10001234567"}
    assert "vu & noté\nsuite é" in found.text.decode()


def test_a_file_inside_an_observation_is_a_member() -> None:
    table = b"nom;prenom;ville\n" + b"Martin;Paul;Lyon\n" * 4
    found = read(f"{MESSAGE}OBX|1|ED|X||^TEXT^CSV^Base64^{base64.b64encode(table).decode()}\rNTE|2||after\r".encode())
    [member] = found.members
    assert member.rows[1:] == [["Martin", "Paul", "Lyon"]] * 4
    assert "after" in found.text.decode()
    assert len(person_rows(found)) == 3


@pytest.mark.slow
def test_many_messages_are_one_table() -> None:
    found = read(MESSAGE.encode() * 3000)
    assert len(found.tables) == 1
    assert len(found.rows) == 9000


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_bytes_do_not_stop_the_reader(data: st.DataObject) -> None:
    whole = bytearray(MESSAGE.encode())
    for at in data.draw(st.lists(st.integers(9, len(whole) - 1), max_size=6)):
        whole[at] = data.draw(st.sampled_from(list(b"|^~\\&\r\n\x0b\xff\x00M")))
    found = read(bytes(whole), Limits(max_columns=10, max_line=300))
    assert "reader" not in found.all_problems
    assert found.bytes == len(whole)


def test_the_time_of_a_message_or_result_is_no_date_beside_a_name() -> None:
    message = "MSH|^~\\&|LABO|LABO|CAB|CAB|20240102100000||ORU^R01|1|P|2.5\rPID|1||7||Roux^Zo\rOBR|1||1|NFS^Numeration|||20240102\r"
    text = bytes(read(message.encode()).text).decode()
    assert "LABO" in text
    assert "2024" not in text


def test_a_date_in_a_segment_of_a_site_itself_is_kept() -> None:
    assert read(f"{MESSAGE}ZPT|1|DURAND|Anne|19610704\r".encode()).shows("19610704")
