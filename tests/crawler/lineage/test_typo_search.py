from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from crawler.lineage.typo_search import TypoSearch
from crawler.lineage.uncertain_rows import UncertainRows
from data.hashing.tags import Kind
from data.releases.known_releases import KnownReleases
from tests.synth import population as synth
from tests.synth.matrix import KEY, forms_of, judge, register, tags_of
from tests.synth.population import Crowd, Dump

CROWD = synth.crowd(17, 4000)
KNOWN, OTHERS = CROWD.take(slice(0, 3000)), CROWD.take(slice(3000, 4000))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> KnownReleases:
    folder = tmp_path_factory.mktemp("releases")
    register(folder, "part-1", synth.dump(KNOWN))
    return KnownReleases.open(folder)


def search_in(releases: KnownReleases, table: Dump) -> TypoSearch:
    """A search over the uncertain rows of a table."""
    forms = forms_of(table)
    keys, _ = tags_of(forms)
    seen = releases.find_known_keys(keys)
    uncertain = UncertainRows()
    rows = uncertain.select(keys, seen)
    uncertain.add(keys[rows], seen[rows], {role: column.take(rows) for role, column in forms.items()})
    return TypoSearch(KEY, uncertain, releases.contains)


def changed(table: Dump, role: str, at: int, cell: str) -> Dump:
    cells = table[role].to_pylist()
    cells[at] = cell
    return table | {role: pa.array(cells)}


@pytest.mark.slow
def test_undoing_one_error_finds_mistyped_people_and_not_new_ones(releases: KnownReleases) -> None:
    plain = synth.dump(KNOWN.take(slice(0, 80)), columns=("surname", "first", "dob"))
    cells = [cell[:-1] + str((int(cell[-1]) + 1) % 10) for cell in plain["dob"].to_pylist()]
    assert search_in(releases, plain | {"dob": pa.array(cells)}).search_unmatched(63).share > 0.9
    others = synth.dump(OTHERS, columns=("surname", "first", "dob"))
    assert search_in(releases, others).search_unmatched(63).share < 0.02


WHOLE = np.flatnonzero((CROWD.nir > 0) & (CROWD.phone > 0) & (CROWD.box >= 0))
KNOWN_WHOLE, NEW_WHOLE = WHOLE[WHOLE < 3000], WHOLE[WHOLE >= 3000]
ALL_KINDS = 63


def other_letter(cell: str) -> str:
    return ("x" if cell[0].lower() != "x" else "y") + cell[1:]


def other_digit(cell: str) -> str:
    return cell[:-1] + str((int(cell[-1]) + 1) % 10)


def other_number(cell: str) -> str:
    # the last two digits are the check key, which is not part of the normal form
    return other_digit(cell[:-2]) + cell[-2:]


MISTYPE = {"dob": other_digit, "nir": other_number, "phone": other_digit}


@pytest.mark.parametrize(
    ("wrong", "unmatched", "found"),
    [
        # undoing one error leaves the other, and some keys become known all the same
        (("first", "dob"), True, True),
        # first name and birth date are right, but no number is right beside them
        (("surname", "nir", "phone", "email"), True, False),
        (("dob",), False, True),
        (("first", "nir"), False, True),
    ],
)
def test_people_with_every_field_are_found_through_any_key_that_becomes_known(
    releases: KnownReleases, wrong: tuple[str, ...], unmatched: bool, found: bool
) -> None:
    table = synth.dump(CROWD.take(KNOWN_WHOLE[40:41]))
    for role in wrong:
        table = changed(table, role, 0, MISTYPE.get(role, other_letter)(table[role][0].as_py()))
    search = search_in(releases, table)
    if unmatched:
        result = search.search_unmatched(ALL_KINDS)
        assert (result.tried, result.found) == (1, int(found))
    else:
        assert list(search.search_weakly_known(ALL_KINDS).values()) == [(1, int(found))]


@pytest.mark.parametrize(("right", "wrong"), [("01/05/1978", "01/15/1978"), ("04/03/1967", "03/04/1967")])
def test_an_error_that_exchanges_day_and_month_of_a_date_is_undone(tmp_path: Path, right: str, wrong: str) -> None:
    table = {"surname": pa.array(["Durand"]), "first": pa.array(["Ines"]), "dob": pa.array([right])}
    register(tmp_path, "one", table)
    mistyped = table | {"dob": pa.array([wrong])}
    assert search_in(KnownReleases.open(tmp_path), mistyped).search_unmatched(ALL_KINDS).found == 1


def test_a_name_one_letter_from_a_known_one_is_not_that_person_if_numbers_contradict(releases: KnownReleases) -> None:
    known, new = synth.dump(CROWD.take(KNOWN_WHOLE[:1])), synth.dump(CROWD.take(NEW_WHOLE[:1]))
    namesake = new | {role: known[role] for role in ("first", "dob")}
    namesake |= {"surname": pa.array([other_letter(known["surname"][0].as_py())])}
    assert search_in(releases, namesake).search_unmatched(ALL_KINDS).found == 0
    bare = {role: namesake[role] for role in ("surname", "first", "dob")}
    assert search_in(releases, bare).search_unmatched(ALL_KINDS).found == 1
    # numbers contradict nothing if the release has no numbers
    assert search_in(releases, namesake).search_unmatched(1).found == 1


def test_a_twin_is_a_new_person_and_a_mistyped_one_is_not(releases: KnownReleases) -> None:
    table = synth.dump(CROWD.take(KNOWN_WHOLE[:300]) + CROWD.take(NEW_WHOLE[:100]))
    # the first of the new people has a known twin with the same telephone and birth date
    for role in ("dob", "phone"):
        table = changed(table, role, 300, table[role][5].as_py())
    # two known people are known by a weak key alone, and mistyped in the rest
    for role, at in (("dob", 7), ("first", 9), ("nir", 9)):
        table = changed(table, role, at, MISTYPE.get(role, other_letter)(table[role][at].as_py()))
    found, _ = judge(releases, table, hits=False)
    assert (found.verdict, found.new, found.mistyped) == ("overlap", 100, 0)
    assert found.interval[0] <= 100 <= found.interval[1]


def test_one_person_with_two_errors_is_not_called_invented_if_nobody_else_has_an_error(releases: KnownReleases) -> None:
    table = synth.dump(CROWD.take(KNOWN_WHOLE[:50]))
    for role in ("first", "dob"):
        table = changed(table, role, 20, MISTYPE.get(role, other_letter)(table[role][20].as_py()))
    table = {role: table[role] for role in ("surname", "first", "dob", "email", "phone")}
    found, _ = judge(releases, table, hits=False)
    assert (found.verdict, found.new, found.interval[0]) == ("undecided", 1, 0)


def test_unrelated_people_beside_one_known_and_mistyped_person_are_not_called_unrelated(
    releases: KnownReleases,
) -> None:
    columns = ("surname", "first", "dob")
    unrelated = synth.crowd(99, 9)
    known = synth.dump(KNOWN.take(slice(60, 61)), columns=columns)
    for surname, verdict, least in (
        (other_letter(known["surname"][0].as_py()), "undecided", 9),
        ("Xqz", "unrelated", 10),
    ):
        last = changed(known, "surname", 0, surname)
        table = {
            role: pa.concat_arrays([column, last[role]])
            for role, column in synth.dump(unrelated, columns=columns).items()
        }
        found, _ = judge(releases, table, hits=False)
        assert (found.verdict, found.known, found.new, found.interval) == (verdict, 0, 10, (least, 10))


@pytest.mark.parametrize(
    ("people", "least", "most"),
    [
        pytest.param(synth.recombined(KNOWN, 800), 1e-3, 0.03, id="invented from known values"),
        pytest.param(OTHERS, 0.0, 1e-3, id="others"),
    ],
)
def test_keys_of_mixed_fields_are_known_more_often_for_invented_people(
    releases: KnownReleases, people: Crowd, least: float, most: float
) -> None:
    keys, _ = tags_of(forms_of(synth.dump(people)))
    people = people.take(np.flatnonzero(~releases.known_rows(keys)))
    tried = search_in(releases, synth.dump(people)).try_mixed_keys()
    for kind in (Kind.NIR_FIRST, Kind.EMAIL_FIRST, Kind.PHONE_FIRST):
        known, looked_up = tried[kind]
        assert looked_up > 5000
        assert least <= known / looked_up <= most
    known, looked_up = tried[Kind.NAME_DOB]
    assert looked_up > 50_000
    assert known / looked_up < 1e-3


def test_one_person_an_error_away_from_a_known_one_is_undecided_if_nobody_else_is_mistyped(
    releases: KnownReleases,
) -> None:
    table = synth.dump(KNOWN.take(slice(0, 200)))
    at = 50
    for role in ("nir", "email", "phone"):
        table = changed(table, role, at, "")
    cell = table["dob"][at].as_py()
    found, _ = judge(releases, changed(table, "dob", at, cell[:-1] + str((int(cell[-1]) + 1) % 10)), hits=False)
    assert (found.verdict, found.new, found.interval[0]) == ("undecided", 1, 0)
    # this may be a twin, who is reported as a new person
    assert found.mistyped == 0


def test_one_further_person_who_is_not_a_mistyped_known_one_is_new(releases: KnownReleases) -> None:
    whole = np.flatnonzero((OTHERS.nir > 0) & (OTHERS.phone > 0) & (OTHERS.box >= 0))
    found, _ = judge(releases, synth.dump(KNOWN.take(slice(0, 200)) + OTHERS.take(whole[:1])), hits=False)
    assert (found.verdict, found.new, found.mistyped) == ("overlap", 1, 0)
