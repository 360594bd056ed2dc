"""Whether a sample is genuine: samples of a release, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.authentic_people import COLUMNS, People, Row, half_columns, invented, recombined, shuffled, worn
from crawler.lineage.authenticity.held_rows import MAX_ROWS, ROLES, AuthenticityRows
from crawler.lineage.authenticity.links import AGREES, CONFLICTS, RowEvidence
from crawler.lineage.authenticity.mixture import fit
from crawler.process.finding_checks import checked_finding
from data.errors import WireError
from data.hashing.tags import record_keys
from data.identifiers.normalise_columns import normalise_column
from data.model import Finding, Lineage
from tests.synth.practices import Case, table

KNOWN = 1500


class Town:
    """Registered people, and others."""

    def __init__(self, folder: Path) -> None:
        self.people = People(31)
        self.known = list(self.people.fill(KNOWN))
        self.parents = list(self.people.parents)
        self.new = list(self.people.fill(200))
        self.people.parents = self.parents
        self.dice = np.random.default_rng(6)
        self.case = Case(folder)
        self.case.register("known", table(self.known, COLUMNS))

    def some(self, count: int) -> list[Row]:
        return [self.known[at] for at in self.dice.choice(KNOWN, count, replace=False)]

    def judge(self, rows: list[Row], columns: tuple[str, ...] = COLUMNS) -> Lineage:
        found = self.case.judge(table(rows, columns))
        assert found.authentic is not None
        finding = Finding("", "", 1, "delimited", rows=len(rows), lineage=found)
        # every sentence and number may be stored, and comes back from the store
        assert checked_finding(finding).lineage == found
        assert Finding.from_json(finding.to_json()).lineage == found
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


@pytest.fixture
def town(built: Town) -> Town:
    """The same samples for a test, whichever tests ran before."""
    built.dice, built.people.dice = np.random.default_rng(6), np.random.default_rng(7)
    return built


Make = Callable[[Town], list[Row]]
CASES: dict[str, tuple[Make, str]] = {
    "a part of the release": (lambda t: t.some(50), "genuine"),
    "ten rows of it": (lambda t: t.some(10), "genuine"),
    "a later state": (lambda t: worn(t.some(50), t.people), "genuine"),
    # nothing tells new people from a careful forger's
    "half of it new": (lambda t: t.some(25) + t.new[:25], "open"),
    "all new": (lambda t: t.new[:50], "open"),
    "new children on the numbers of known parents": (lambda t: t.people.new_children(50), "open"),
    "known people and new children": (lambda t: t.some(25) + t.people.new_children(25), "open"),
    "every column shuffled": (lambda t: shuffled(t.some(50), t.dice), "recombined"),
    "a part of a shuffled release": (lambda t: recombined(t.known, 50, t.dice), "recombined"),
    "telephones shuffled": (lambda t: shuffled(t.some(50), t.dice, ("tel",)), "recombined"),
    "invented": (lambda t: invented(50, 8), "invented"),
    "half of it invented": (lambda t: t.some(25) + invented(25, 9), "padded"),
    "half of it recombined": (lambda t: t.some(25) + recombined(t.known, 25, t.dice), "padded"),
    "numbers and mailboxes invented": (lambda t: half_columns(t.some(50), 10), "padded"),
}


def test_a_chance_that_few_pairs_showed_always_makes_no_row_impossible():
    """Of ten rows all compared pairs may agree by chance; a row that does not must still have a likelihood."""
    count, no = 10, np.zeros(10, bool)
    by_role = dict.fromkeys((*ROLES, "names"), no)
    one_conflicts = np.where(np.arange(count) == 0, CONFLICTS, AGREES)
    evidence = RowEvidence(
        links=np.zeros(count, np.int64), agreeing=np.zeros(count, np.int64),
        anchored=by_role, comparable=by_role, partner=by_role, tested=by_role, known=by_role,
        several=~no, in_common=np.arange(count) > 0, chance_in_common=1.0,
        nir_dob=np.zeros(count, np.int64), nir_partner=no, email_names=one_conflicts,
        nir_keys=np.zeros(count, np.int8), outside_plan=no, has_partner_test=False, filled=by_role,
        chance={"nir_dob": dict.fromkeys(range(4), 0.0), "email_names": {AGREES: 1.0, CONFLICTS: 0.0}},
    )  # fmt: skip
    mixture = fit(evidence)
    assert np.isfinite(mixture.weight)
    assert np.isfinite(mixture.posterior).all()
    assert (mixture.likelihoods.max(axis=1) > 0).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.slow
def test_a_sample_gets_the_answer_that_its_rows_allow(town, name):
    make, answer = CASES[name]
    found = town.judge(make(town)).authentic
    assert found.answer == answer, found
    assert (found.weight < 0) == (answer not in {"genuine", "open"}) or answer == "open", found
    assert found.known + found.recombined + found.invented <= found.rows
    assert found.reasons


def test_the_column_that_was_shuffled_is_named(town):
    rows = [row for row in town.some(200) if row["tel"] and row["email"]]
    for name, column in (("tel", "phone"), ("email", "email")):
        found = town.judge(shuffled(rows, town.dice, (name,))).authentic
        answers = {each.column: each.answer for each in found.columns}
        assert answers.pop(column) == "recombined", found
        assert set(answers.values()) <= {"genuine", "open"}, found


def test_shuffled_names_and_dates_alone_show_the_rows_where_the_rest_stands(town):
    rows = town.some(20)
    found = town.judge(
        [row | {"ddn": other["ddn"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)],
        ("nom", "prenom", "ddn"),
    )
    assert (found.verdict, found.authentic.answer) == ("recombined", "recombined"), found
    assert any("the rest of the person stands in another row" in reason for reason in found.authentic.reasons)


def test_a_recombined_file_is_tied_to_the_release_of_its_values(town):
    found = town.judge(shuffled(town.some(300), town.dice))
    assert found.verdict == "recombined", found
    assert [parent.release for parent in found.parents] == ["known"]
    assert found.interval[0] == 0


@pytest.mark.parametrize("columns", [("nom", "prenom", "ddn"), ("nir", "ddn"), ("nom", "prenom", "tel", "email")])
@pytest.mark.parametrize("kind", ["known", "new"])
def test_few_columns_of_real_people_give_no_alarm(town, kind, columns):
    found = town.judge(getattr(town, kind)[:60], columns).authentic
    assert found.answer in ({"genuine", "open"} if kind == "known" else {"open"}), found


def test_dates_of_visits_in_the_place_of_birth_dates_are_no_proof_of_invention(town):
    rows = [row | {"ddn": f"{1 + at % 28:02d}/{1 + at % 12:02d}/2024"} for at, row in enumerate(town.new[:60])]
    assert town.judge(rows).authentic.answer == "open"


def test_without_a_release_only_facts_of_format_tell(town, tmp_path):
    case = Case(tmp_path)
    samples = town.new[:50], invented(50, 11), shuffled(town.new[:50], town.dice)
    answers = [case.judge(table(rows, COLUMNS), has_hits=True).authentic.answer for rows in samples]
    assert answers == ["open", "invented", "recombined"]
    # nothing ties the same samples to anybody if they hold no canary either
    assert [case.judge(table(rows, COLUMNS)).authentic for rows in samples] == [None, None, None]


def test_the_rows_that_are_held_do_not_depend_on_the_order(town):
    # distinct people: of equal keys the first comer's numbers would stay
    rows = [row for row in town.known if row["nir"]][:400]
    forms = {
        role: normalise_column(role, [row[name] for row in rows])
        for role, name in (("surname", "nom"), ("first", "prenom"), ("dob", "ddn"))
    }
    keys = record_keys(bytes(16), **forms)
    held, kinds = np.zeros(keys.shape, bool), np.zeros(len(rows), np.int8)
    seen = []
    for step in (len(rows), 7):
        for order in (np.arange(len(rows)), np.arange(len(rows))[::-1]):
            found = AuthenticityRows()
            for start in range(0, len(rows), step):
                part = order[start : start + step]
                chosen = part[found.select(keys[part])]
                taken = {role: column.take(chosen) for role, column in forms.items()}
                found.add(keys[chosen], held[chosen], taken, kinds[chosen])
            seen.append([column.to_list() for column in found.forms().values()])
            assert len(found) == MAX_ROWS
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_fewer_than_five_rows_get_no_answer(town):
    assert town.case.judge(table(town.some(4), COLUMNS)).authentic is None


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "fake"}, {"likelihood": "sure"}, {"rows": 10**9}, {"known": 40, "recombined": 40}, {"weight": "x"},
        {"weight": 1e9}, {"known_share": (0.1,)},
    ],
)  # fmt: skip
def test_an_answer_that_no_examiner_can_give_is_refused(town, change):
    found = town.judge(town.some(12))
    wrong = replace(found, authentic=replace(found.authentic, **change))
    with pytest.raises(WireError):
        checked_finding(Finding("", "", 1, "delimited", rows=12, lineage=wrong))
