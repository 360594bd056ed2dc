"""The rows of a sample through the real examiner: who counts, who is known, and what ties nobody together."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import orjson
import pyrage
import pytest

from crawler.examiner import hits, record_pass, waiting_rows
from crawler.examiner.examination import Examiner
from data.case.evidence import new_identity
from data.watchlist.segment import MAX_SHARING
from tests.synth.case import enrol, examine, examining
from tests.synth.people import Person, people

PEOPLE = people(71, 80)
KNOWN, UNKNOWN = PEOPLE[:60], PEOPLE[60:]
CANARIES = KNOWN[:20]
# one more than may share a value; and a household of each, whose members are told apart by their names alone
CROWD = [replace(each, phone="0612345678") for each in people(72, MAX_SHARING + 1)]
FAMILIES = [
    replace(each, surname=head.surname, email=head.email, phone=head.phone)
    for head, each in zip(people(73, 12), people(74, 12), strict=True)
]


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    enrol(folder, CANARIES)
    enrol(folder, CROWD, "c2")
    enrol(folder, [*people(73, 12), *FAMILIES], "c3")
    with examining(folder, KNOWN) as examiner:
        yield examiner


def table(rows: list[Person], phone: str = "") -> bytes:
    lines = [f"{each.surname};{each.first};{each.dob:%d/%m/%Y};{each.email};{phone or each.phone}" for each in rows]
    return "\n".join(["nom;prenom;naissance;courriel;telephone", *lines, ""]).encode()


@pytest.mark.slow
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


@pytest.mark.slow
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


def page(rows: list[Person], *, ids: bool = False) -> bytes:
    """A page with a table for each person; with `ids`, each has the number 1 there."""
    header = "<tr><th>nom<th>prenom<th>naissance<th>telephone" + "<th>id_patient" * ids
    lines = (
        f"<tr><td>{each.surname}<td>{each.first}<td>{each.dob:%d/%m/%Y}<td>{each.phone}{'<td>1' * ids}" for each in rows
    )
    return "".join(["<html><body>", *(f"<table>{header}{line}</table>" for line in lines)]).encode()


def test_small_tables_with_one_header_are_read_together(examiner: Examiner, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine(examiner, page(PEOPLE), explain=True)
    assert [(each.rows, each.keyed) for each in found.tables] == [(80, 80)]
    # tables with record ids may be of different databases
    assert len(examine(examiner, page(PEOPLE, ids=True), explain=True).tables) == record_pass.MAX_TABLES
    monkeypatch.setattr(waiting_rows, "WAITING_ROWS", 1)
    alone = examine(examiner, page(PEOPLE), explain=True)
    assert len(alone.tables) == record_pass.MAX_TABLES
    assert (found.rows, found.records, found.hits, found.problems) == (80, 80, alone.hits, alone.problems)
    assert found.lineage == alone.lineage


def test_a_person_in_many_rows_is_one_record_of_the_hits(examiner: Examiner) -> None:
    # one value in each row, as exports of entity, attribute and value have them
    rows = [f"{at};{value}" for at, each in enumerate(CANARIES) for value in (each.email, each.phone, each.email)]
    finding = examine(examiner, "\n".join(["id;valeur", *rows, ""]).encode())
    assert finding.rows == 60
    assert [(hit.canaries, hit.records) for hit in finding.hits] == [(20, 20)]


@pytest.mark.slow
def test_evidence_has_the_lines_of_people_who_are_found_by_name_and_birth_date_in_running_text(
    examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, public = new_identity()
    monkeypatch.setattr(examiner, "recipient", public)
    wordy, form, nobody, numbered = CANARIES[0], CANARIES[1], UNKNOWN[0], CANARIES[2]
    filler = "Le temps était clair et la salle était vide ce matin.\n" * 40
    text = (
        f"{filler}Bonjour,\nJ'ai vu ce jour Madame {wordy.first} {wordy.surname}, née le {wordy.dob:%d/%m/%Y}, pour un avis.\n{filler}"
        f"Nom : {form.surname}\nPrénom : {form.first}\nNé(e) le : {form.dob:%d/%m/%Y}\n{filler}"
        f"Madame {nobody.first} {nobody.surname}, née le {nobody.dob:%d/%m/%Y}, n'est pas venue.\n{filler}"
        f"Monsieur {numbered.first} {numbered.surname}, né le {numbered.dob:%d/%m/%Y}, {numbered.email}\n"
    )
    finding = examine(examiner, text.encode(), "courrier.txt")
    proof = orjson.loads(pyrage.decrypt(base64.b64decode(finding.sealed), [pyrage.x25519.Identity.from_str(secret)]))
    shown = [(line["member"], line["line"]) for line in proof["lines"]]
    assert (
        "courrier.txt",
        f"J'ai vu ce jour Madame {wordy.first} {wordy.surname}, née le {wordy.dob:%d/%m/%Y}, pour un avis.",
    ) in shown
    assert (
        "courrier.txt", f"Nom : {form.surname}\nPrénom : {form.first}\nNé(e) le : {form.dob:%d/%m/%Y}"
    ) in shown  # fmt: skip
    # a line in which a number was found too stands there once, and people whom nobody enrolled are in none
    assert [numbered.email in line for _, line in shown].count(True) == 1
    assert not any(nobody.surname in line for _, line in shown)
    # a line as long as a file is cut around the person
    end = f"{'mot ' * 2000}Madame {wordy.first} {wordy.surname}, née le {wordy.dob:%d/%m/%Y}, {'mot ' * 2000}"
    finding = examine(examiner, end.encode(), "long.txt")
    proof = orjson.loads(pyrage.decrypt(base64.b64decode(finding.sealed), [pyrage.x25519.Identity.from_str(secret)]))
    [line] = proof["lines"]
    assert wordy.surname in line["line"]
    assert len(line["line"]) < 800


@pytest.mark.slow
def test_hits_are_the_same_whether_record_keys_are_looked_up_or_not(
    examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*CANARIES, *CROWD, *people(73, 12), *FAMILIES, *UNKNOWN]
    # all wait together, so that no kind has hit before and every record key is looked up
    expected = examine(examiner, table(rows))
    kinds = {"email", "phone", "name+dob", "email+first", "phone+first", "phone+dob"}
    assert [(hit.client, hit.canaries, hit.records) for hit in expected.hits] == [
        ("c1", 20, 20), ("c2", len(CROWD), len(CROWD)), ("c3", 24, 24),
    ]  # fmt: skip
    assert [set(hit.kinds) for hit in expected.hits] == [kinds, kinds - {"phone"}, kinds]
    monkeypatch.setattr(record_pass, "WINDOW_ROWS", 5)
    monkeypatch.setattr(hits, "MAX_WAITING", 1)
    assert examine(examiner, table(rows)).hits == expected.hits


def test_a_value_that_too_many_enrolled_people_share_is_told(examiner: Examiner) -> None:
    note = f"1 value that more than {MAX_SHARING} enrolled people share was seen and is not used to recognise anybody"
    found = examine(examiner, table(CROWD[:10]))
    assert found.lineage is not None
    assert note in found.lineage.notes
    # without any person in the sample there is no lineage that could have notes
    alone = examine(examiner, CROWD[0].phone.encode())
    assert (alone.hits, alone.problems, alone.complete) == ((), (f"shared: {note}",), True)
    own = examine(examiner, table(CANARIES))
    assert own.lineage is not None
    assert not [each for each in (*own.lineage.notes, *own.problems) if "enrolled people share" in each]


@pytest.mark.slow
def test_a_planted_value_is_hit_in_a_table_whose_every_record_was_edited(examiner: Examiner) -> None:
    """Invented names and shifted birth dates leave no record key; the values that stand beside them still tell whose it is."""
    edited = [
        replace(each, surname=f"{other.surname}ez", first=other.first, dob=each.dob + timedelta(1))
        for each, other in zip(CANARIES, UNKNOWN, strict=True)
    ]
    found = examine(examiner, table(edited, "0600000000"))
    assert [(hit.client, hit.canaries, hit.kinds) for hit in found.hits] == [("c1", 20, ("email",))]
    stripped = examine(
        examiner, table([replace(each, email=f"{each.surname}@elsewhere.example") for each in edited], " ")
    )
    assert not stripped.hits
