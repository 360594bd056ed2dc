"""Verdicts on patients as practices have them, of a population that no rate was measured on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.model import Lineage
from tests.synth.practices import COLUMNS, TRADITIONS, Case, Patient, Practices, table

KNOWN = 1200


class Town:
    """A practice of which all patients are registered, and another one."""

    def __init__(self, folder: Path, seed: int = 5) -> None:
        self.practices = Practices(seed)
        self.known, self.others = self.practices.fill(KNOWN), self.practices.fill(KNOWN)
        self.case = Case(folder)
        self.case.register("known", table([each.row() for each in self.known]))

    def judge(self, patients: list[Patient], columns: tuple[str, ...] = COLUMNS) -> Lineage:
        return self.case.judge(table([each.row() for each in patients], columns))

    def newborn(self, count: int, *, twins: bool = False) -> list[Patient]:
        parents = [each for each in self.known if not each.is_child and each.nir]
        return [child for parent in parents[:count] for child in self.practices.child([parent], twins=twins)]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


Sample = Callable[[Town], tuple[list[Patient], int]]
CASES: dict[str, tuple[Sample, set[str]]] = {
    "the same again": (lambda town: (town.known, 0), {"re-post"}),
    "half of it new": (lambda town: (town.known[:400] + town.others[:400], 400), {"overlap"}),
    "other patients": (lambda town: (town.others, len(town.others)), {"unrelated"}),
    "new children on their parents' numbers": (
        lambda town: (town.known[:300] + (new := town.newborn(300)), len(new)), {"overlap"},
    ),
    "new twins on a parent's number": (
        lambda town: (town.known[:300] + (new := town.newborn(150, twins=True)), len(new)), {"overlap"},
    ),
    "married": (lambda town: ([town.practices.married(each) for each in town.known[:500]], 0), {"subset"}),
    "moved": (lambda town: ([town.practices.moved(each) if at % 4 == 0 else each for at, each in enumerate(town.known[:600])], 0), {"subset"}),
    "edited: birth dates a day later, other numbers": (lambda town: ([edited(each) for each in town.known[:500]], 0), {"subset"}),
    "every third row edited": (
        lambda town: ([edited(each) if at % 3 == 0 else each for at, each in enumerate(town.known[:600])], 0), {"subset"},
    ),
    "every column shuffled": (lambda town: (shuffled(town.known), 0), {"undecided", "padded"}),
}  # fmt: skip


def edited(patient: Patient) -> Patient:
    """As a program edits each row before a file is posted."""
    phone = patient.phone and patient.phone[:-2] + patient.phone[:-3:-1]
    return replace(
        patient, born=patient.born + dt.timedelta(1), phone=phone, nir="", mail=patient.mail.replace("@", ".x@")
    )


def shuffled(patients: list[Patient]) -> list[Patient]:
    """Each column in another order."""
    dice = np.random.default_rng(3)
    orders = {name: dice.permutation(len(patients)) for name in ("surname", "first", "born", "nir", "phone", "mail")}
    return [
        replace(each, **{name: getattr(patients[order[at]], name) for name, order in orders.items()})
        for at, each in enumerate(patients)
    ]


@pytest.mark.parametrize("name", CASES)
def test_patients_of_a_practice_get_the_verdict_that_an_analyst_would_give(town, name):
    make, verdicts = CASES[name]
    patients, new = make(town)
    found = town.judge(patients)
    assert found.verdict in verdicts, found
    assert found.interval[0] <= new <= found.interval[1], found
    assert abs(found.records - len(patients)) <= 0.01 * len(patients), found


def test_two_shared_patients_of_a_thousand_are_not_our_breach(town):
    found = town.judge(town.others[: KNOWN - 2] + town.known[:2])
    assert found.verdict in {"undecided", "unrelated"}, found
    assert found.origin is not None
    assert found.origin.answer == "open", found.origin


@pytest.mark.parametrize("tradition", sorted(TRADITIONS))
def test_no_tradition_of_names_is_served_worse(tradition, tmp_path):
    practices = Practices(9, tradition)
    known, others = practices.fill(150), practices.fill(150)
    case = Case(tmp_path)
    columns = ("nom", "prenom", "ddn", "nir", "tel")
    case.register("known", table([each.row() for each in known], columns))
    rows = [each.row(nom=each.first.upper(), prenom=each.surname.upper()) for each in known[:75] + others[:75]]
    found = case.judge(table(rows, columns))
    assert found.verdict == "overlap", found
    assert found.interval[0] <= 75 <= found.interval[1], found
    assert abs(found.new - 75) <= 3, found


@pytest.mark.parametrize(
    ("columns", "verdicts"),
    [
        (("nir",), {"overlap"}),
        (("email",), {"overlap"}),
        (("nom", "tel"), {"overlap"}),
        (("nir", "tel", "email"), {"overlap"}),
        # nothing that is tagged: said, not silent
        (("nom", "ddn", "adresse"), {"undecided"}),
    ],
)
def test_a_list_without_record_keys_is_compared_by_its_values(town, columns, verdicts):
    patients = [each for each in town.known[:400] + town.others[:400] if each.nir and each.mail and each.phone]
    found = town.judge(patients, columns)
    new = sum(each in town.others for each in patients)
    assert found.verdict in verdicts, found
    assert found.interval[0] <= new <= found.interval[1], found
    assert found.notes


@pytest.mark.parametrize("whose", ["known", "others"])
def test_names_beside_a_few_mailboxes_are_undecided(town, whose):
    patients = getattr(town, whose)[:300]
    mails = {each.mail for each in patients if each.mail}
    rows = [each.row(email=each.mail if each.mail in sorted(mails)[:8] else "") for each in patients]
    found = town.case.judge(table(rows, ("nom", "adresse", "email")))
    assert (found.verdict, found.confidence) == ("undecided", 0), found
    assert found.interval[0] == 0
    assert found.interval[1] >= 292, found
    assert any("names, which identify nobody" in note for note in found.notes)


def test_a_list_of_known_numbers_alone_is_known(town):
    found = town.judge([each for each in town.known if each.nir], ("nir",))
    assert found.verdict == "re-packaged", found
    assert (found.new, found.parents[0].release) == (0, "known")
    found = town.judge([each for each in town.others if each.nir], ("nir",))
    assert (found.verdict, found.known, found.parents) == ("unrelated", 0, ())


def test_people_in_two_tables_of_one_archive_are_not_counted_twice_in_the_lower_bound(town):
    patients = town.known[:300] + town.others[:300]
    rows = [each.row() for each in patients]
    found = town.case.judge(table(rows, ("nom", "prenom", "tel")), table(rows, ("nir", "ddn")))
    assert found.verdict == "overlap", found
    assert found.interval[0] <= 300 <= found.interval[1], found
