"""People in running text: who is found, in which reading, and how many people there are."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.records.running_text import MAX_READINGS, FoundPerson, RunningTextReader
from crawler.records.text_anchors import anchor_regions
from data.identifiers import normalise
from tests.synth.people import NOTES, people

ROLES = ("surname", "first", "dob", "nir", "email", "phone")


def found_in(text: str, name: str = "", cut: int = 2**18) -> list[FoundPerson]:
    reader = RunningTextReader(name)
    data = text.encode()
    found = [person for at in range(0, len(data), cut) for person in reader.feed(data[at : at + cut])]
    return found + reader.finish()


def certain(text: str, name: str = "") -> list[tuple[str, ...]]:
    """The best reading of each certain person, as normal forms."""
    return [
        tuple(normalise.normalise(role, part).decode() for role, part in zip(ROLES, person.readings[0], strict=True))
        for person in found_in(text, name)
        if person.certain
    ]


JEAN = ("dupont", "jean", "750312", "", "", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DUPONT Jean, né le 12 mars 1975", JEAN),
        ("Jean DUPONT (né le 12/03/1975)", JEAN),
        ("Monsieur Jean Dupont, né à Lyon le 12.03.1975, demeurant 3 rue de la Paix", JEAN),
        ("M. Jean Dupont né(e) le : 12-03-1975", JEAN),
        ("dupont jean 12/03/1975", JEAN),
        ("DUPONT JEAN NE LE 12/03/1975", JEAN),
        ("Dupont, Jean - born March 12, 1975", JEAN),
        ("Nom: DUPONT\nPrénom: Jean\nSexe: M\nDate de naissance: 12/03/1975", JEAN),
        (
            "Prénom : Jean\nNom de naissance : DUPONT\nNé le : 1er janvier 1980",
            ("dupont", "jean", "800101", "", "", ""),
        ),
        ("First name: Jean\nLast name: Dupont\nDOB: 1975-03-12", JEAN),
        ("Nom et prénom : DUPONT Jean\nDDN : 12 03 1975", JEAN),
        ("nom=dupont&prenom=jean&ddn=12/03/1975", JEAN),
        ("[b]DUPONT[/b] [i]Jean[/i] [color=red]12/03/1975[/color]", JEAN),
        ("<b>DUPONT</b> Jean<br>n&eacute; le 12/03/1975", JEAN),
        ("12/03/1975 DUPONT Jean", JEAN),
        ("Nom de jeune fille : dupont\nPrénom : jean\nNaissance : 12/03/1975", JEAN),
        ("<nom>du Pont</nom><prenom>Jean</prenom><ddn>12/03/1975</ddn>", JEAN),
        ("mme jean dupont, nee le 12/03/1975", JEAN),
        ("DUPONT;12/03/1975;Jean", JEAN),
        ("Patient : Anne-Sophie de La Fontaine, DDN 01/02/1980", ("delafontaine", "annesophie", "800201", "", "", "")),
        ("LE GOFF Yves né le 03/04/1950", ("legoff", "yves", "500403", "", "", "")),
        ("Marie Lefèvre-Dubois - 06 12 34 56 78", ("lefevredubois", "marie", "", "", "", "612345678")),
        ("Jean Dupont, +33 (0)6 12 34 56 78", ("dupont", "jean", "", "", "", "612345678")),
        ("contact: Jean Dupont <jean.dupont@free.fr>", ("dupont", "jean", "", "", "jean.dupont@free.fr", "")),
        ("DUPONT Jean, NIR 1 75 03 2A 123 456 89", ("dupont", "jean", "", "1750319123456", "", "")),
        ("DUPONT Jean né le 12/03/1975, vu le 04/05/2021 par le Dr Martin Bernard", JEAN),
    ],
)
def test_the_best_reading_of_a_person_is_the_one_that_the_writer_meant(text: str, expected: tuple[str, ...]) -> None:
    assert certain(text) == [expected]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Jean Dupont (12/03/1975), Marie Durand (04/05/1980) et Luc Petit (06/07/1990)", 3),
        ("12/03/1975 Jean Dupont\n04/05/1980 Marie Durand\n", 2),
        ("jean@free.fr Dupont Jean\nmarie@free.fr Durand Marie\n", 2),
        (
            "Nom: Dupont\nPrénom: Jean\nDDN: 12/03/1975\nTél: 0612345678\n" * 1
            + "Nom: Durand\nPrénom: Marie\nDDN: 04/05/1980",
            2,
        ),
        ("Nom: Dupont\nPrénom: Jean\nDDN: 12/03/1975\n\nNom: Durand\nPrénom: Marie\nDDN: 04/05/1980", 2),
        # a relative with the same surname, and a first name that is the surname of the line before
        ("Nom: Lucas\nPrénom: Jean\nDDN: 12/03/1975\nNom: Lucas\nPrénom: Marie\nDDN: 04/05/1980", 2),
        ("('Lucas','Yvette','12/03/1975'),\n('Huet','Lucas','04/05/1980')", 2),
        # a second number, a second date, a second mention
        ("Jean Dupont, né le 12/03/1975, tél. 0612345678, fixe 0412345678, a@b.fr et c@d.fr, vu le 01/02/2020", 1),
        (
            "M. Jean Dupont, né le 12/03/1975, consulte.\nAntécédents : asthme.\nM. Jean Dupont est joignable au 0612345678",
            1,
        ),
        ("DUPONT Jean\n12/03/1975\n0612345678\njean@free.fr\n\nDURAND Marie\n04/05/1980\n0712345678\n", 2),
        # texts without a person
        ("Réunion du 12/03/2021 à Lyon, salle Molière.", 0),
        ("Patient vu en consultation pour suivi de tension artérielle, joignable au 06 12 34 56 78", 0),
        ("Dr Paul Martin, 01 23 45 67 89", 0),
        (
            (
                "Le patient Jean Dupont, né le 12 mars 1975, habite ici. Le patient Luc Roux, né le 3 mai 1980, habite là. "
                "Le patient Paul Petit, né le 4 mai 1981, est parti."
            ),
            3,
        ),
        ("Clinic DB 2026 for sale\nleaker\nPosts: 120\nJoined: 12/03/2021\n\nToday I sell it", 0),
        ("commande 12345678901 du 3 mai 2020, total 45,90", 0),
        ("".join(f"{note} Vu le 0{1 + at}/03/2019.\n" for at, note in enumerate(NOTES)), 0),
    ],
)
def test_people_are_counted_once_whatever_the_number_of_mentions_and_dates(text: str, count: int) -> None:
    assert len(certain(text)) == count


def test_the_name_of_a_person_may_be_in_the_name_of_the_file_alone() -> None:
    text = "Naissance 12/03/1975\n" + "\n".join(NOTES * 40) + "\njoignable au 06 12 34 56 78\n"
    assert certain(text) == []
    # a later value is returned together with the values known before
    found = certain(text, "dossiers/DUPONT_Jean.txt")
    assert found[-1] == ("dupont", "jean", "750312", "", "", "612345678")
    assert {person[:3] for person in found} == {JEAN[:3]}


@pytest.mark.parametrize("cut", [700, 4096, 2**18])
def test_all_people_of_a_long_text_are_found_however_it_is_cut(cut: int) -> None:
    group = people(7, 300)
    text = "\n".join(
        f"{person.surname.upper()} {person.first}, né le {person.dob:%d/%m/%Y}, tél. {person.phone}, {person.email}"
        for person in group
    )
    found = found_in(text, cut=cut)
    assert [person.readings[0][2:] for person in found] == [
        (f"{person.dob:%d/%m/%Y}", "", person.email, person.phone) for person in group
    ]
    assert all(person.certain for person in found)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["Jean", "DUPONT", "né le", "12/03/1975", "12 mars 1975", "0612345678", "a@b.fr", "\n", "\n\n", ";", ": ",
             "Nom", "=", "[b]", "<i>", "\\u00e9", "&eacute;", "=C3=A9", "=\n", "\ue000", "2A", "1 75 03 75 123 456 89", "é", " "]
        )
        | st.text(max_size=8),
        max_size=40,
    ).map("".join),
    st.integers(1, 200),
)  # fmt: skip
@pytest.mark.slow
def test_no_text_raises_an_error_and_the_number_of_readings_is_bounded(text: str, cut: int) -> None:
    reader = RunningTextReader(text[:20])
    data = text.encode("utf-8", "replace")
    found = [person for at in range(0, len(data), cut) for person in reader.feed(data[at : at + cut])]
    found += reader.finish()
    assert all(1 <= len(person.readings) <= MAX_READINGS for person in found)
    assert len(found) <= len(data)


def test_regions_are_in_order_and_contain_every_date_with_a_name() -> None:
    dice = random.Random(1)
    parts = []
    for number in range(200):
        parts.append(" ".join(dice.choice(NOTES) for _ in range(dice.randrange(8))))
        parts.append(f"Jean Dupont{number} né le 12/03/1975")
    text = "\n".join(parts).encode()
    spans = anchor_regions(text)
    assert all(a < b for a, b in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    seen = b"".join(text[a:b] for a, b in spans)
    assert all(b"Dupont%d n\xc3\xa9 le 12/03/1975" % number in seen for number in range(200))


def test_prose_without_people_has_no_region_to_read() -> None:
    text = "\n".join(f"{note} Revu en {year}." for year in range(1990, 2020) for note in NOTES).encode()
    assert anchor_regions(text) == []


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        ("2026-03-01 10:04:17,250 INFO Starting Worker [7] 192.168.20.14 GET /api/v1/x 200 4211 ms", False),
        ("2026-03-01T10:04:17.123+0100 WARN Main Thread 10.0.0.255 - - 17 bytes", False),
        ("[2026/03/01 10:04:17] Service Manager 8.8.8.8", False),
        ("192.168.20.14 - - [x] GET /", False),
        ("2026-03-01 10:04:17 Jean Dupont 1975-03-12", True),
        ("2026-03-01 10:04:17 192.168.20.14 06 12 34 56 78", True),
        ("Jean Dupont 2011-03-12T23:00:00Z", True),
        ("Jean Dupont 2011-03-12 00:00:00.000", True),
        ("Jean Dupont 1975-03-12 10:04:17", True),
        # the hour of a birth
        ("Lea Dupont, nee le 2014-03-12 08:41", True),
        ("2014-03-12 08:41 Lea Dupont", True),
        ("2014-03-12 08:41:00 Lea Dupont", True),
        ("Lea Dupont 2014-03-12T08:41:17", True),
        ("rappeler 01.42.11.12.13", True),
        ("rappeler +33.142.111.213", True),
        ("rappeler 33 1 42 11 12 13", True),
        ("rappeler + 262 692 12 34 56", True),
        ("no 2 75 03 75 116 001 46", True),
        ("no 275037511600146.", True),
        ("no 2-85-06-2A-004-005", True),
        ("no 2 75 03 75 116\n001 46", True),
        ("rappeler 142.11.12.13.14", True),
        # no telephone and no social security number begins so
        ("GET /api/v1/patients/123456 200 1234 ms", False),
        ("commande 987654321012", False),
        ("commande 1751975116001", False),
        ("commande 27503751160014", False),
    ],
)
def test_what_every_line_of_a_log_has_is_no_place_to_read(line: str, is_read: bool) -> None:
    """Every line of a log has them: it was read as slowly as a page of people, 1 MB/s."""
    text = f"{line}\n".encode() * 50
    assert bool(anchor_regions(text)) == is_read


@pytest.mark.parametrize(
    "text",
    [
        "DUPONT Jean 12/03/1975; MARTIN Marie 01/02/1960; DURAND Paul 03/04/1990",
        "Dupont, Jean, 12/03/1975, 0612345678 ; Martin, Marie, 01/02/1960, 0612345679 ; Durand, Paul, 03/04/1990, 0612345670",
        "('1','DUPONT','Jean','12/03/1975'),('2','MARTIN','Marie','01/02/1960'),('3','DURAND','Paul','03/04/1990')",
        '[["DUPONT","Jean","12/03/1975"],["MARTIN","Marie","01/02/1960"],["DURAND","Paul","03/04/1990"]]',
    ],
)
def test_several_people_on_one_line_are_one_record_each(text: str) -> None:
    expected = [("dupont", "jean", "750312"), ("martin", "marie", "600201"), ("durand", "paul", "900403")]
    assert [person[:3] for person in certain(text)] == expected


def test_a_person_without_a_common_first_name_does_not_give_their_values_to_the_one_before() -> None:
    text = "Dupont Jean 12/03/1975 0612345678; Diarrassouba Thien-Kim 14/02/1960 0612345679"
    days = [[reading[2] for reading in person.readings] for person in found_in(text)]
    assert [set(each) for each in days] == [{"12/03/1975"}, {"14/02/1960"}]


@pytest.mark.parametrize(
    "text",
    [
        "Diarrassouba Thiên-Kim, né(e) le 12/03/1975",
        "Patient : Diarrassouba Thiên-Kim\nDate de naissance : 12/03/1975",
        "Nom : Diarrassouba\nPrénom : Thiên-Kim\nNé le 12/03/1975",
    ],
)
def test_a_rare_name_is_one_where_its_place_says_so(text: str) -> None:
    [person] = certain(text)
    assert sorted(person[:2]) == ["diarrassouba", "thienkim"]


def test_entries_of_a_list_are_people_though_no_table_has_their_names() -> None:
    entries = [f"Kurosawa{chr(97 + at)} Ayumi{chr(97 + at)} 14/0{at % 9 + 1}/1960" for at in range(13)]
    assert len(certain("\n".join(entries))) == 13
    assert not certain(entries[0])


def test_an_address_that_has_both_names_shows_that_they_are_names() -> None:
    [person] = certain("Thienkim Diarrassouba <thienkim.diarrassouba7@example.org>")
    assert person[:2] == ("diarrassouba", "thienkim")
    assert not certain("Thienkim Diarrassouba <info@example.org>")


def test_a_list_of_files_is_no_list_of_people() -> None:
    text = """ Répertoire de D:\\Dossiers\\Dupont Jean 12-03-1975

03/02/2024  10:15    <DIR>          .
03/02/2024  10:15           123 456 175031234567890.pdf
"""
    assert [person[:3] for person in certain(text)] == [("dupont", "jean", "750312")]
