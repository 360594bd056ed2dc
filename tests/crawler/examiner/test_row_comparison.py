"""Rows compared with releases, each in the reading that the releases know, through the real examiner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from crawler.examiner.examination import Examiner
from data.model import Lineage
from tests.synth.case import enrol, examine, examining
from tests.synth.people import Person, people

pytestmark = pytest.mark.slow

PEOPLE = people(83, 400)
KNOWN, NEW = PEOPLE[:200], PEOPLE[200:]
HEADER = "nom;prenom;ddn;nir;tel"


def line(each: Person, surname: str = "", first: str = "") -> str:
    return f"{surname or each.surname};{first or each.first};{each.dob:%d/%m/%Y};{each.nir};{each.phone}"


def csv(lines: Sequence[str], header: str = HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def turned(each: Person) -> str:
    return line(each, each.first, each.surname)


def children(parents: Sequence[Person]) -> list[str]:
    """New-born children on the number and the telephone of a parent."""
    return [
        f"{each.surname};Zéphyr{chr(97 + at % 26)};{at % 28 + 1:02}/0{at % 9 + 1}/2024;{each.nir};{each.phone}"
        for at, each in enumerate(parents)
    ]


def lineage(examiner: Examiner, data: bytes) -> Lineage:
    found = examine(examiner, data)
    assert found.complete
    assert found.lineage is not None
    return found.lineage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    enrol(folder, KNOWN[:5])
    return folder


@pytest.fixture(scope="module")
def straight(folder: Path) -> Iterator[Examiner]:
    with examining(folder, csv([line(each) for each in KNOWN])) as examiner:
        yield examiner


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("exchanged")
    enrol(folder, KNOWN[:5])
    with examining(folder, csv([turned(each) for each in KNOWN])) as examiner:
        yield examiner


def test_one_whole_name_in_capitals_hides_nobody(straight: Examiner) -> None:
    some = [*KNOWN[:60], *NEW[:40]]
    rows = [f"{each.surname.upper()} {each.first};{each.dob:%d/%m/%Y}" for each in some]
    rows[3] = rows[3].upper()
    found = lineage(straight, csv(rows, "patient;ddn"))
    assert (found.records, found.known, found.new) == (100, 60, 40)


def test_rows_with_exchanged_names_are_turned_one_by_one(straight: Examiner) -> None:
    rows = [*map(turned, KNOWN[:30]), *map(line, NEW[:150])]
    found = lineage(straight, csv(rows))
    assert (found.records, found.known, found.new) == (180, 30, 150)
    assert found.interval[0] <= 150 <= found.interval[1]


def test_a_surname_with_a_number_proves_nobody(exchanged: Examiner) -> None:
    rows = [*map(line, KNOWN[:100]), *children(KNOWN[100:150])]
    found = lineage(exchanged, csv(rows))
    assert (found.records, found.known, found.new) == (150, 100, 50)
    # the owners of their numbers are found beside them, so they are no known people with another birth date
    assert found.interval == (50, 50)
    assert any("are relatives of known people" in note for note in found.notes)


@pytest.mark.parametrize("further", ["nom_naissance", "portable"])
def test_people_are_known_by_any_filled_column_of_a_kind(straight: Examiner, further: str) -> None:
    rows = [
        f"{each.phone if further == 'portable' else each.surname};Martin;{each.first};{each.dob:%d/%m/%Y};0144556677"
        for each in [*KNOWN[:50], *NEW[:20]]
    ]
    found = lineage(straight, csv(rows, f"{further};nom_usage;prenom;ddn;tel_fixe"))
    assert (found.records, found.known, found.new) == (70, 50, 20)


def test_a_release_is_known_by_any_filled_column_of_a_kind(tmp_path: Path) -> None:
    enrol(tmp_path, KNOWN[:5])
    rows = [f"Martin;{each.surname};{each.first};{each.dob:%d/%m/%Y}" for each in KNOWN]
    with examining(tmp_path, csv(rows, "nom_usage;nom_naissance;prenom;ddn")) as examiner:
        asked = [f"{each.surname};{each.first};{each.dob:%d/%m/%Y}" for each in [*KNOWN[:50], *NEW[:20]]]
        found = lineage(examiner, csv(asked, "nom;prenom;ddn"))
        assert (found.records, found.known, found.new) == (70, 50, 20)
        # a person with two surnames is one person of the release
        assert lineage(examiner, csv(rows, "nom_usage;nom_naissance;prenom;ddn")).verdict == "re-post"


def test_people_are_known_by_the_other_forms_of_their_names(tmp_path: Path) -> None:
    enrol(tmp_path, KNOWN[:5])
    forms = [
        ("Yılmaz", "YILMAZ"),
        ("DANG", "Đặng"),
        ("de La Fontaine", "Fontaine"),
        ("Goff", "Le Goff"),
        ("Dupont-Roy", "Roy"),
    ]

    def rows(which: int, crowd: Sequence[Person]) -> bytes:
        lines = [f"{forms[at % 5][which]};{each.first};{each.dob:%d/%m/%Y}" for at, each in enumerate(crowd)]
        return csv(lines, "nom;prenom;ddn")

    short = ["Martin;Catherine;12/03/1975", "Durand;Fred;13/03/1976"]
    other = ["Martin;Cathy;12/03/1975", "Durand;Frédéric;13/03/1976"]
    with examining(tmp_path, rows(0, KNOWN[:100]) + "\n".join(short).encode()) as examiner:
        found = lineage(examiner, rows(1, [*KNOWN[:100], *NEW[:20]]) + "\n".join(other).encode())
        assert (found.known, found.new) == (102, 20)


def test_rows_that_were_not_understood_widen_the_interval_and_forbid_a_verdict(straight: Examiner) -> None:
    rows = [line(each) for each in KNOWN[:100]]
    few = lineage(straight, csv([*rows, *["Xx;Yy;;;"] * 3]))
    assert (few.verdict, few.new, few.interval[1]) == ("subset", 0, 3)
    many = lineage(straight, csv([*rows, *[f"Xx{chr(97 + at % 26)};Yy;?;;" for at in range(50)]]))
    assert (many.verdict, many.new, many.interval) == ("undecided", 0, (0, 50))
    assert any("gave no record key" in note for note in many.notes)


def test_a_table_without_any_record_key_is_told(straight: Examiner) -> None:
    found = examine(straight, csv([f"{at};blue;{at * 7}" for at in range(60)], "id;colour;size"))
    assert found.lineage is None
    assert found.problems == (
        "columns: 61 rows of tables gave no record key: nothing in them could be compared by person",
    )
