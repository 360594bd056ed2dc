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


def test_lines_behind_the_last_segment_and_between_messages_are_a_text_of_their_own():
    begin = "UNB+UNOA:1+a+b+240101:1200+1'UNH+1+ORDERS:D:96A:UN'"
    people = "nom;prenom;date_naissance\nRoux;Anna;28/01/2001\nd'Arc;Zoé;02/03/1999\nPetit;Léa;05/06/1977\n"
    end = "PNA+PAT+7+++SU:NOEL+FO:Max'DTM+329:19800101:102'UNT+1+1'\n"
    for data in (begin + "NAD+BY+1'\n" + people, begin + end + people + end, begin + end + "Malade?\n" + people):
        found = read(data.encode())
        assert found.format == "edi"
        cells = {cell for member in found.walk() for row in member.rows for cell in row}
        assert {"Roux", "Anna", "28/01/2001"} <= cells, data
        assert {"d'Arc", "Zoé", "02/03/1999"} <= cells, data
        assert sum("NOEL" in row and "19800101" in row for row in found.rows) == data.count("NOEL"), data
    for plain in ("Roux;Anna;28/01/2001;;roux@example.org", "Vu ?\nRoux Anna 28/01/2001 roux@example.org"):
        found = read(f"{begin}NAD+BY+1'\n{plain}\n".encode())
        assert found.shows("Anna"), plain
        assert found.shows("roux@example.org"), plain


def test_nothing_that_stands_in_the_segment_of_a_person_is_lost():
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]
    nad = "NAD+PAT+{}:91+{}:{}+ROUX:{}:{}+{}'".format(*words)
    pna = "PNA+{}+{}:{}+{}+{}:x+SU:ROUX+FO:{}'".format(*words)
    found = read(f"UNB+UNOA:1+a+b+240101:1200+1'{nad}{pna}".encode())
    assert all(found.shows(word) for word in words)
    x12 = HEADER + "NM1*IL*1*ROUX*ANNE*{}*{}*{}*MI*77*{}*{}~PER*IC*{}*TE*0102030405~".format(*words)
    assert all(read(x12.encode()).shows(word) for word in words)
