"""EDIFACT and X12 in any size, with their own separators and quoted signs."""

from __future__ import annotations

from tests.crawler.readers.frames import read

HEADER = (
    "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *240501*1000*^*00501*000000001*0*P*:~"
    "NM1*85*1*MARTIN*PAUL****XX*1234567893~"
)


def test_people_are_read_over_the_borders_of_pieces_and_providers_are_none():
    people = "".join(f"NM1*IL*1*É{number}*Océane****MI*{number}~DMG*D8*19750312*F~" for number in range(4000))
    found = read((HEADER + people).encode())
    assert found.format == "edi"
    assert found.all_complete
    assert len(found.rows) == 4000
    assert all(f"É{number}" in row and "19750312" in row for number, row in enumerate(found.rows))


def test_separators_of_the_header_and_quoted_signs_are_honoured():
    data = 'UNA:*.? "UNB*UNOC:3*A*B*240501:1000*1"PNA*PAT*7***SU:D?"?:ROUX*FO:Anne"DTM*329:19750312:102"'
    found = read(data.encode())
    [row] = found.rows
    assert {'D":ROUX', "Anne", "19750312"} <= set(row)
