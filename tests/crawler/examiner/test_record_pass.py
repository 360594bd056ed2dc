"""The rows of a sample through the real examiner: who counts, who is known, and what ties nobody together."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from io import BytesIO

import pytest

from crawler.examiner import record_pass
from crawler.examiner.examination import Examiner
from tests.synth.case import enrol, examine, examining
from tests.synth.people import Person, people

PEOPLE = people(71, 80)
KNOWN, UNKNOWN = PEOPLE[:60], PEOPLE[60:]
CANARIES = KNOWN[:20]


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    enrol(folder, CANARIES)
    with examining(folder, KNOWN) as examiner:
        yield examiner


def table(rows: list[Person], phone: str = "") -> bytes:
    lines = [f"{each.surname};{each.first};{each.dob:%d/%m/%Y};{each.email};{phone or each.phone}" for each in rows]
    return "\n".join(["nom;prenom;naissance;courriel;telephone", *lines, ""]).encode()


def test_the_number_of_the_practice_in_every_row_ties_nobody_together(examiner: Examiner) -> None:
    # as if the column were empty: without the numbers, typing errors could explain more
    own, empty, practice = (examine(examiner, table(PEOPLE, phone)) for phone in ("", " ", "01 44 55 66 77"))
    assert own.lineage is not None
    assert empty.lineage is not None
    assert practice.lineage is not None
    for found in (own.lineage, empty.lineage, practice.lineage):
        assert (found.verdict, found.known, found.new) == ("superset", 60, 20)
    assert practice.lineage.interval == empty.lineage.interval
    notes = [note for note in practice.lineage.notes if "not used to recognise people" in note]
    assert [note.partition(" in more than")[0] for note in notes] == ["1 value stands"]
    assert not [note for note in own.lineage.notes if "not used to recognise people" in note]
    assert not [note for note in practice.lineage.notes if "44" in note]


def test_rows_of_several_tables_are_the_same_however_many_wait_together(
    examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", table(PEOPLE[:50]))
        archive.writestr("b.csv", table(PEOPLE[50:]))
    expected = examine(examiner, packed.getvalue())
    assert (expected.rows, expected.records) == (80, 80)
    assert [(hit.canaries, hit.records) for hit in expected.hits] == [(20, 20)]
    monkeypatch.setattr(record_pass, "WINDOW_ROWS", 7)
    found = examine(examiner, packed.getvalue())
    assert (found.hits, found.lineage, found.records) == (expected.hits, expected.lineage, 80)
    assert [member.records for member in found.members] == [50, 30]


def test_a_person_in_many_rows_is_one_record_of_the_hits(examiner: Examiner) -> None:
    # one value in each row, as exports of entity, attribute and value have them
    rows = [f"{at};{value}" for at, each in enumerate(CANARIES) for value in (each.email, each.phone, each.email)]
    finding = examine(examiner, "\n".join(["id;valeur", *rows, ""]).encode())
    assert finding.rows == 60
    assert [(hit.canaries, hit.records) for hit in finding.hits] == [(20, 20)]
