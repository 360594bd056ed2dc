"""Verdicts on patients as practices have them, of a population that no rate was measured on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.practices import WAYS, tradition_errors
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
    "edited: birth dates a year later, nothing else there": (
        lambda town: ([replace(each, born=later(each.born), nir="", phone="", mail="") for each in town.known[:400]], 0), {"subset"},
    ),
    "no key but one of a placeholder": (
        lambda town: ([replace(each, born=dt.date(1970, 1, 1), nir="", phone="" if at % 3 else each.phone, mail="") if at % 4 == 0 else each for at, each in enumerate(town.known[:600])], 0),
        {"subset", "undecided", "overlap"},
    ),
    "every column shuffled": (lambda town: (shuffled(town.known), 0), {"recombined"}),
}  # fmt: skip


def later(born: dt.date) -> dt.date:
    """A year later; 29 February becomes the 28th."""
    return born.replace(year=born.year + 1, day=min(born.day, 28) if born.month == 2 else born.day)


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
@pytest.mark.slow
def test_patients_of_a_practice_get_the_verdict_that_an_analyst_would_give(town, name):
    make, verdicts = CASES[name]
    patients, new = make(town)
    found = town.judge(patients)
    assert found.verdict in verdicts, found
    assert found.interval[0] <= new <= found.interval[1], found
    assert abs(found.records - len(patients)) <= 0.01 * len(patients), found


FEW_COLUMNS: dict[str, tuple[Callable[[Town], list[Patient]], tuple[str, ...], set[str]]] = {
    "a filler as birth date, and nothing else in some rows": (
        lambda town: [replace(each, born=dt.date(1970, 1, 1), phone="", mail="") if at % 50 == 0 else replace(each, born=dt.date(1970, 1, 1)) if at % 4 == 0 else each for at, each in enumerate(town.known[:600])],
        ("nom", "prenom", "ddn", "tel", "email"), {"subset"},
    ),
    "new children beside their parents, without the number": (
        lambda town: town.known[:300] + town.newborn(200), ("nom", "prenom", "ddn", "tel", "email"), {"overlap"},
    ),
    "edited: birth dates a day later, half new": (
        lambda town: [replace(each, born=each.born + dt.timedelta(1)) for each in town.known[:300] + town.others[:300]],
        ("nom", "prenom", "ddn"), {"overlap"},
    ),
    "edited: birth dates a day later, nobody new": (
        lambda town: [replace(each, born=each.born + dt.timedelta(1)) for each in town.known[:300]],
        ("nom", "prenom", "ddn"), {"subset"},
    ),
    "every fifth with another telephone, beside the first name": (
        lambda town: [replace(each, phone=town.practices.phone()) if at % 5 == 0 else each for at, each in enumerate(town.known[:500]) if each.phone],
        ("prenom", "tel"), {"undecided", "subset"},
    ),
    "every fifth with another telephone, and nothing else": (
        lambda town: [replace(each, phone=town.practices.phone()) if at % 5 == 0 else each for at, each in enumerate(town.known[:500]) if each.phone],
        ("tel",), {"undecided", "subset"},
    ),
    "mailboxes, half new": (
        lambda town: [each for each in town.known[:500] + town.others[:500] if each.mail], ("email",), {"overlap"},
    ),
    "others' patients, some rows with a birth date alone": (
        lambda town: [replace(each, nir="") if at % 30 == 0 else each for at, each in enumerate(town.others[:300])],
        ("nir", "ddn"), {"unrelated"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FEW_COLUMNS)
@pytest.mark.slow
def test_what_few_columns_do_not_show_is_left_open(town, name):
    make, columns, verdicts = FEW_COLUMNS[name]
    patients = make(town)
    found = town.judge(patients, columns)
    known = {each.number for each in town.known}
    new = sum(each.number not in known for each in patients)
    assert found.verdict in verdicts, found
    assert found.interval[0] <= new <= found.interval[1], found
    assert bool(found.parents) == (new < len(patients)), found


@pytest.mark.parametrize("is_half_new", [False, True])
def test_replaced_telephones_and_mailboxes_do_not_make_people_new_for_certain(town, is_half_new):
    # neither number nor birth date: who has another telephone and no mailbox looks new
    moved = [
        replace(each, phone=town.practices.phone() if at % 4 == 0 else each.phone, mail=f"n{at}@proton.me" if each.mail and at % 5 == 0 else each.mail)
        for at, each in enumerate(town.known[:700])
    ]  # fmt: skip
    others = town.others[:700] if is_half_new else []
    rows = [each.row() for each in (*moved, *others) if each.phone or each.mail]
    new = sum(bool(each.phone or each.mail) for each in others)
    found = town.case.judge(table(rows, ("nom", "prenom", "tel", "email")))
    assert found.verdict in ({"overlap"} if is_half_new else {"subset", "undecided"}), found
    assert found.interval[0] <= new <= found.interval[1], found


def test_mistyped_visits_are_no_further_people(town):
    dice = np.random.default_rng(8)
    patients = [each for each in town.known[:300] + town.others[:300] for _ in range(2)]
    visits = [
        replace(each, nir=each.nir and each.nir[:-3] + f"{dice.integers(1000):03d}") if dice.random() < 0.05 else each
        for each in patients
    ]
    found = town.judge(visits)
    assert found.interval[0] <= 300 <= found.interval[1], found


@pytest.mark.slow
def test_two_shared_patients_of_a_thousand_are_not_our_breach(town):
    found = town.judge(town.others[: KNOWN - 2] + town.known[:2])
    assert found.verdict in {"undecided", "unrelated"}, found
    assert found.origin is not None
    assert found.origin.answer == "open", found.origin


OWN_HEADER = ["PAT_NUM", "PAT_NOM_NAISS", "PAT_PRENOM", "PAT_DDN", "PAT_TELDOM", "PAT_ZONE", "PAT_CLE9"]


@pytest.mark.parametrize(
    ("header", "ids", "answer"),
    [
        (OWN_HEADER, "those of the release", "ours"),
        (["id", "nom", "prenom", "ddn", "tel", "zone", "cle"], "those of the release", "ours"),
        (["id", "nom", "prenom", "ddn", "tel", "secteur", "groupe"], "others", "another's"),
        # whoever posts a file may number its rows anew and change the columns
        (["id", "nom", "prenom", "ddn", "tel", "secteur", "groupe"], "numbers of rows", "open"),
    ],
)
def test_record_ids_and_columns_tell_whose_file_it_is_that_shares_a_tenth_of_the_patients(
    tmp_path, town, header, ids, answer
):
    columns = ["id", "nom", "prenom", "ddn", "tel", "zone", "cle"]

    def file(patients: list[Patient], words: list[str], ids: str) -> tuple[list[str], list[list[str]]]:
        rows = [
            each.row(
                id=str({"others": 3 * each.number + 1, "numbers of rows": at + 7001}.get(ids, each.number)),
                zone=f"Z{at % 7}",
                cle=f"{at % 9:04d}",
            )
            for at, each in enumerate(patients)
        ]
        return words, table(rows, columns)[1]

    case = Case(tmp_path)
    case.register("known", file(town.known, OWN_HEADER, ""))
    sample = file(town.known[:120] + town.others[:1080], header, ids)
    found = case.judge(sample)
    assert found.origin is not None
    assert (found.verdict, found.origin.answer) == ("overlap", answer), found


@pytest.mark.slow
def test_record_ids_tell_nothing_if_a_release_has_none(town):
    rows = [each.row(id=str(each.number)) for each in town.known[:300] + town.others[:300]]
    found = town.case.judge(table(rows, ("id", *COLUMNS)))
    assert found.origin is not None
    assert not any("record id" in reason for reason in found.origin.reasons), found


@pytest.mark.parametrize("tradition", sorted(TRADITIONS))
@pytest.mark.slow
def test_no_tradition_of_names_is_served_worse(tradition):
    # six ways of writing: without accents, cut, exchanged, in one column in both orders
    errors = tradition_errors(tradition, 9, 100)
    assert len(errors) == len(WAYS)
    assert max(errors.values()) <= 0.01, errors


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


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("id", "nom", "prenom", "tel"), ("id", "nir", "ddn")),
        (("patient_id", "nir", "ddn"), ("id", "nom", "prenom", "tel")),
        (("ID_PATIENT", "nom", "prenom"), ("Patient", "nir", "ddn", "tel")),
    ],
)
def test_people_in_two_tables_with_record_ids_are_counted_once(town, first, second):
    patients = town.known[:200] + town.others[:200]
    words = {word: word for word in COLUMNS}
    rows = [each.row(id=str(each.number)) for each in patients]
    tables = []
    for header in (first, second):
        made = table(rows, [words.get(word, "id") for word in header])
        tables.append((list(header), made[1]))
    found = town.case.judge(*tables)
    assert (found.verdict, found.records) == ("overlap", 400), found
    assert found.interval[0] <= 200 <= found.interval[1], found
    assert abs(found.new - 200) <= 2, found
    assert any("record ids" in note for note in found.notes)


def test_a_third_table_with_an_id_gets_what_both_earlier_ones_say(town):
    # only together do the two earlier tables tell who has the number
    patients = town.known[:60] + town.others[:200]
    rows = [{**each.row(), "id": str(each.number)} for each in patients]
    headers = [("id", "nom", "prenom", "ddn"), ("id", "nom", "prenom", "tel"), ("id", "nir")]
    found = town.case.judge(*[table(rows, header) for header in headers])
    assert found.records == len(patients), found
    assert (found.known, found.new) == (60, 200), found
    assert found.interval[1] - found.interval[0] <= 10, found


@pytest.mark.parametrize("order", [("patients", "mails"), ("mails", "patients")])
def test_tables_of_two_databases_with_the_same_ids_are_not_joined_with_each_other(town, order):
    with_mail = [each for each in town.known if each.mail]
    tables = []
    for practice in (with_mail[:40], with_mail[40:80]):
        rows = [each.row(id=str(at)) for at, each in enumerate(practice)]
        # free text with the same column of ids is no part of the table before it
        texts = [
            [str(at % 40), "Il va mieux, dort bien et revient pour un controle dans deux mois."] for at in range(99)
        ]
        made = {
            "patients": table(rows, ("id", "nom", "prenom")),
            "mails": (["patient_id", "email"], table(rows, ("id", "email"))[1]),
        }
        tables += [made[order[0]], (["patient_id", "texte"], texts), made[order[1]]]
    found = town.case.judge(*tables)
    assert (found.records, found.known, found.interval) == (80, 80, (0, 0)), found


@pytest.mark.parametrize("reason", ["other ids", "other names", "no header of ids", "a short table"])
def test_tables_of_different_people_are_not_joined(town, reason):
    known = [each for each in town.known if each.phone][:100]
    others = [each for each in town.others if each.nir][:100]
    first = table([each.row(id=str(at)) for at, each in enumerate(known)], ("id", "nom", "prenom", "tel"))
    offset = 10**6 if reason == "other ids" else 0
    columns = ("id", "nir", "prenom", "ddn") if reason == "other names" else ("id", "nir", "ddn")
    second = table([each.row(id=str(at + offset)) for at, each in enumerate(others)], columns)
    if reason == "no header of ids":
        second[0][0] = "montant"
    if reason == "a short table":
        # doctors
        others = others[:20]
        second = (second[0], second[1][:20])
    found = town.case.judge(first, second)
    assert found.new == len(others), found
    assert not any("record ids" in note for note in found.notes)


def test_people_in_two_tables_of_one_archive_are_not_counted_twice_in_the_lower_bound(town):
    patients = town.known[:300] + town.others[:300]
    rows = [each.row() for each in patients]
    found = town.case.judge(table(rows, ("nom", "prenom", "tel")), table(rows, ("nir", "ddn")))
    assert found.verdict == "overlap", found
    # replaced telephones of one table say nothing of the other one
    assert 240 <= found.interval[0] <= 300 <= found.interval[1], found


@pytest.mark.parametrize(
    ("twins", "known", "verdict"), [(5, 400, "subset"), (60, 400, "undecided"), (60, 0, "undecided")]
)
def test_the_unknown_twin_of_a_known_child_may_be_new(town, twins, known, verdict):
    # on the number of a parent nothing but the name tells twins from each other
    children = [each for each in town.known if each.is_child and each.nir][:twins]
    assert len(children) == twins
    new = [replace(each, first=f"Quitterie-{each.first}", number=-each.number) for each in children]
    found = town.judge(town.known[:known] + new)
    assert found.verdict == verdict, found
    assert 0.9 * twins <= found.interval[1] <= 1.1 * twins + 5, found
    # the same first names in the numbers' own people are names that changed
    adults = [
        replace(each, first=f"Quitterie-{each.first}") for each in town.known[:100] if not each.is_child and each.nir
    ]
    assert town.judge(adults).interval[1] <= 5


def test_visits_of_perhaps_twins_in_several_tables_count_once(town):
    # three tables of the same people: each came thrice, and made more than 5 % of all people
    children = [each for each in town.known if each.is_child and each.nir][:15]
    new = [replace(each, first=f"Quitterie-{each.first}", number=-each.number) for each in children]
    visits = table([each.row() for each in town.known[:400] + new])
    found = town.case.judge(visits, visits, visits)
    assert found.verdict == "subset", found
    assert 13 <= found.interval[1] <= 20, found


def test_people_in_three_tables_are_no_whole_release(town):
    # 400 of 1,200 known people stand in three tables, and are 400
    rows = [each.row() for each in town.known[:400] + town.others[:400]]
    columns = (("nom", "prenom", "ddn"), ("prenom", "tel"), ("nir", "ddn"))
    found = town.case.judge(*(table([row for row in rows if row[each[-1]]], each) for each in columns))
    assert found.verdict == "overlap", found
    assert found.parents[0].coverage < 0.5, found


def numbered(phone: str) -> str:
    """The next number."""
    return phone and phone[:-1] + str((int(phone[-1]) + 1) % 10)


CONTACTS = ("nom", "prenom", "tel", "email")
WITHOUT_NIR = ("nom", "prenom", "ddn", "tel", "email")
NARROW: dict[str, tuple[Callable[[Town], list[Patient]], tuple[str, ...], set[str], float]] = {
    # the column differs for everybody, so that it says nothing of those whom no release knows
    "all telephones edited, half new": (
        lambda town: [replace(each, phone=numbered(each.phone), mail="") for each in town.known[:300] + town.others[:300]],
        WITHOUT_NIR, {"overlap"}, 0.1,
    ),
    # a namesake who was born on the same day is rare, whatever stands beside the name
    "numbers and mailboxes of other people, nobody new": (
        lambda town: [replace(each, phone=town.practices.phone(), nir="", mail=f"z{at}@proton.me") for at, each in enumerate(town.known[:400])],
        WITHOUT_NIR, {"subset"}, 0.1,
    ),
    # of a year of 366 days no birth date moves by a year
    "birth dates 365 days later": (
        lambda town: [replace(each, born=each.born + dt.timedelta(365), nir="", phone="", mail="") for each in town.known[:400]],
        ("nom", "prenom", "ddn"), {"subset"}, 0.2,
    ),
    # two people on one new number are two unknown people, and not one with a known number
    "pairs of twins on numbers that are new": (
        lambda town: town.known[:200] + [twin for each in town.others[:150] if each.nir for twin in (each, replace(each, first=each.first + "ette", number=-each.number))],
        COLUMNS, {"overlap"}, 0.1,
    ),
    "new children alone": (lambda town: town.newborn(300), COLUMNS, {"undecided"}, 0.1),
    # whoever has no mailbox is unknown by everything until the edit is undone
    "birth dates a day later and other digits in telephones, mailboxes kept": (
        lambda town: [replace(edited(each), mail=each.mail) for each in town.known[:600]], WITHOUT_NIR, {"subset"}, 0.1,
    ),
    # the name of who moved is in the release, and that of a new person hardly ever
    "moved, contacts alone": (
        lambda town: [each for each in moved_apart(town, 250) if each.phone or each.mail], CONTACTS, {"subset"}, 0.1,
    ),
    "moved, contacts alone, half new": (
        lambda town: [each for each in moved_apart(town, 200) + town.others[:120] if each.phone or each.mail], CONTACTS, {"overlap"}, 0.2,
    ),
}  # fmt: skip


def moved_apart(town: Town, count: int) -> list[Patient]:
    """Every fourth with another telephone, every fifth with another mailbox."""
    return [
        replace(
            each,
            phone=town.practices.phone() if each.phone and at % 4 == 0 else each.phone,
            mail=f"n{at}@proton.me" if each.mail and at % 5 == 0 else each.mail,
        )
        for at, each in enumerate(town.known[:count])
    ]


@pytest.mark.parametrize("name", NARROW)
def test_an_interval_is_no_wider_than_what_is_not_known(town, name):
    make, columns, verdicts, width = NARROW[name]
    patients = make(town)
    found = town.judge(patients, columns)
    known = {each.number for each in town.known}
    new = len({each.number for each in patients} - known)
    assert found.verdict in verdicts, found
    assert found.interval[0] <= new <= found.interval[1], found
    assert found.interval[1] - found.interval[0] <= width * len(patients), found


def test_names_show_nobody_where_a_release_has_no_birth_dates(town, tmp_path):
    case = Case(tmp_path)
    case.register("contacts", table([each.row() for each in town.known], CONTACTS))
    moved = [each for each in moved_apart(town, 150) if each.phone or each.mail]
    found = case.judge(table([each.row() for each in moved], CONTACTS))
    assert found.new > 10, found
    assert found.interval[0] == 0, found


def test_people_who_have_nothing_but_a_placeholder_may_be_more_than_their_first_names(town):
    # they have one key in common, that of a first name with the placeholder
    patients = [replace(each, phone="0600000000", mail="" if at % 3 else each.mail) for at, each in enumerate(town.others[:600])]  # fmt: skip
    found = town.judge(patients[:300] + town.known[:100], CONTACTS)
    assert found.interval[0] <= 300 <= found.interval[1], found


def test_new_people_among_many_who_moved_are_not_denied(town):
    # more are unmatched than replaced telephones make likely, and no more than they may explain: their names decide
    dice = np.random.default_rng(5)
    reachable = [each for each in town.known if each.phone or each.mail][:300]
    moved = [replace(each, phone=town.practices.phone() if each.phone and dice.random() < 0.3 else each.phone, mail=f"n{at}@proton.me" if each.mail and dice.random() < 0.15 else each.mail) for at, each in enumerate(reachable)]  # fmt: skip
    found = town.judge(moved + [each for each in town.others if each.phone or each.mail][:12], CONTACTS)
    assert found.verdict == "overlap", found
    assert 0 < found.interval[0] <= 12 <= found.interval[1], found


@pytest.mark.parametrize("columns", [CONTACTS, ("prenom", "tel", "email")])
def test_who_replaced_telephone_and_mailbox_together_may_be_known(town, columns):
    reachable = [each for each in town.known if each.phone and each.mail][:240]
    moved = [town.practices.moved(each) if at % 12 == 0 else each for at, each in enumerate(reachable)]
    found = town.judge(moved + [each for each in town.others if each.phone and each.mail][:60], columns)
    assert found.interval[0] <= 60 <= found.interval[1], found


@pytest.mark.parametrize(
    ("known", "others", "verdict"),
    [(300, 300, "overlap"), (300, 0, "subset"), (0, 300, "unrelated"), (KNOWN, 0, "re-packaged")],
)
def test_names_and_addresses_are_compared_where_nothing_else_is_there(town, known, others, verdict):
    patients = town.known[:known] + town.others[:others]
    rows = [{**each.row(), "adr": each.address.upper().replace(" RUE ", ", RUE DE LA ")} for each in patients]
    found = town.case.judge(table(rows, ("nom", "prenom", "adr")))
    assert found.verdict == verdict, found
    assert found.interval[0] <= others <= found.interval[1], found
    assert found.interval[0] > 0 or not others
    assert bool(found.parents) == bool(known)
