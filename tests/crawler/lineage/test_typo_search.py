from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from crawler.lineage.typo_search import SecondLook
from crawler.lineage.uncertain_rows import Doubtful
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


def look(releases: KnownReleases, table: Dump) -> SecondLook:
    """A second look at everybody who is in doubt."""
    forms = forms_of(table)
    keys, _ = tags_of(forms)
    seen = releases.find_known_keys(keys)
    kept = Doubtful()
    rows = kept.wanted(keys, seen)
    kept.keep(keys[rows], seen[rows], {role: column.take(rows) for role, column in forms.items()})
    return SecondLook(KEY, kept, releases.contains)


def changed(table: Dump, role: str, at: int, cell: str) -> Dump:
    cells = table[role].to_pylist()
    cells[at] = cell
    return table | {role: pa.array(cells)}


@pytest.mark.slow
def test_one_error_undone_finds_the_mistyped_and_not_the_new(releases: KnownReleases) -> None:
    plain = synth.dump(KNOWN.take(slice(0, 80)), columns=("surname", "first", "dob"))
    cells = [cell[:-1] + str((int(cell[-1]) + 1) % 10) for cell in plain["dob"].to_pylist()]
    assert look(releases, plain | {"dob": pa.array(cells)}).repair(63).share > 0.9
    assert look(releases, synth.dump(OTHERS, columns=("surname", "first", "dob"))).repair(63).share < 0.02


WHOLE = np.flatnonzero((CROWD.nir > 0) & (CROWD.phone > 0) & (CROWD.box >= 0))
KNOWN_WHOLE, NEW_WHOLE = WHOLE[WHOLE < 3000], WHOLE[WHOLE >= 3000]
ALL_KINDS = 63


def other_letter(cell: str) -> str:
    return ("x" if cell[0].lower() != "x" else "y") + cell[1:]


def other_digit(cell: str) -> str:
    return cell[:-1] + str((int(cell[-1]) + 1) % 10)


def other_number(cell: str) -> str:
    # its last two digits are a key that is not read
    return other_digit(cell[:-2]) + cell[-2:]


WORN = {"dob": other_digit, "nir": other_number, "phone": other_digit}


@pytest.mark.parametrize(
    ("wrong", "unmatched", "found"),
    [
        # one error undone leaves the other, and some keys are known all the same
        (("first", "dob"), True, True),
        # by the number beside one of the two that are right
        (("surname", "nir", "phone", "email"), True, False),
        (("dob",), False, True),
        (("first", "nir"), False, True),
    ],
)
def test_people_with_every_field_are_found_by_whatever_one_error_undone_makes_known(
    releases: KnownReleases, wrong: tuple[str, ...], unmatched: bool, found: bool
) -> None:
    table = synth.dump(CROWD.take(KNOWN_WHOLE[40:41]))
    for role in wrong:
        table = changed(table, role, 0, WORN.get(role, other_letter)(table[role][0].as_py()))
    second = look(releases, table)
    if unmatched:
        assert (second.repair(ALL_KINDS).tried, second.repair(ALL_KINDS).found) == (1, int(found))
    else:
        assert list(second.undone(ALL_KINDS).values()) == [(1, int(found))]


@pytest.mark.parametrize(("right", "wrong"), [("01/05/1978", "01/15/1978"), ("04/03/1967", "03/04/1967")])
def test_a_date_that_an_error_makes_be_read_the_other_way_round_is_undone(
    tmp_path: Path, right: str, wrong: str
) -> None:
    table = {"surname": pa.array(["Durand"]), "first": pa.array(["Ines"]), "dob": pa.array([right])}
    register(tmp_path, "one", table)
    assert look(KnownReleases.open(tmp_path), table | {"dob": pa.array([wrong])}).repair(ALL_KINDS).found == 1


def test_a_name_one_letter_from_a_known_one_is_no_known_person_where_numbers_say_otherwise(
    releases: KnownReleases,
) -> None:
    known, new = synth.dump(CROWD.take(KNOWN_WHOLE[:1])), synth.dump(CROWD.take(NEW_WHOLE[:1]))
    namesake = new | {role: known[role] for role in ("first", "dob")}
    namesake |= {"surname": pa.array([other_letter(known["surname"][0].as_py())])}
    assert look(releases, namesake).repair(ALL_KINDS).found == 0
    bare = {role: namesake[role] for role in ("surname", "first", "dob")}
    assert look(releases, bare).repair(ALL_KINDS).found == 1
    # beside a release that has no numbers, they say nothing
    assert look(releases, namesake).repair(1).found == 1


def test_a_twin_is_a_new_person_and_a_mistyped_one_is_not(releases: KnownReleases) -> None:
    table = synth.dump(CROWD.take(KNOWN_WHOLE[:300]) + CROWD.take(NEW_WHOLE[:100]))
    # the first of the new people has a brother who is known: telephone and birth date are his
    for role in ("dob", "phone"):
        table = changed(table, role, 300, table[role][5].as_py())
    # two known ones are known by a weak key alone, and mistyped in the rest
    for role, at in (("dob", 7), ("first", 9), ("nir", 9)):
        table = changed(table, role, at, WORN.get(role, other_letter)(table[role][at].as_py()))
    found, _ = judge(releases, table, hits=False)
    assert (found.verdict, found.new, found.mistyped) == ("overlap", 100, 0)
    assert found.interval[0] <= 100 <= found.interval[1]


def test_one_person_with_two_errors_is_not_called_invented_where_nobody_else_has_one(releases: KnownReleases) -> None:
    table = synth.dump(CROWD.take(KNOWN_WHOLE[:50]))
    for role in ("first", "dob"):
        table = changed(table, role, 20, WORN.get(role, other_letter)(table[role][20].as_py()))
    table = {role: table[role] for role in ("surname", "first", "dob", "email", "phone")}
    found, _ = judge(releases, table, hits=False)
    assert (found.verdict, found.new, found.interval[0]) == ("undecided", 1, 0)


def test_strangers_one_of_whom_is_known_and_mistyped_are_not_called_unrelated(releases: KnownReleases) -> None:
    columns = ("surname", "first", "dob")
    strangers = synth.crowd(99, 9)
    known = synth.dump(KNOWN.take(slice(60, 61)), columns=columns)
    for surname, verdict, least in (
        (other_letter(known["surname"][0].as_py()), "undecided", 9),
        ("Xqz", "unrelated", 10),
    ):
        last = changed(known, "surname", 0, surname)
        table = {
            role: pa.concat_arrays([column, last[role]])
            for role, column in synth.dump(strangers, columns=columns).items()
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
def test_halves_of_different_people_show_invented_ones(
    releases: KnownReleases, people: Crowd, least: float, most: float
) -> None:
    keys, _ = tags_of(forms_of(synth.dump(people)))
    people = people.take(np.flatnonzero(~releases.known_rows(keys)))
    tried = look(releases, synth.dump(people)).by_chance()
    for kind in (Kind.NIR_FIRST, Kind.EMAIL_FIRST, Kind.PHONE_FIRST):
        known, looked_up = tried[kind]
        assert looked_up > 5000
        assert least <= known / looked_up <= most
    known, looked_up = tried[Kind.NAME_DOB]
    assert looked_up > 50_000
    assert known / looked_up < 1e-3


def test_one_person_who_is_an_error_away_from_a_known_one_stays_open_where_nobody_else_is_mistyped(
    releases: KnownReleases,
) -> None:
    table = synth.dump(KNOWN.take(slice(0, 200)))
    at = 50
    for role in ("nir", "email", "phone"):
        table = changed(table, role, at, "")
    cell = table["dob"][at].as_py()
    found, _ = judge(releases, changed(table, "dob", at, cell[:-1] + str((int(cell[-1]) + 1) % 10)), hits=False)
    assert (found.verdict, found.new, found.interval[0]) == ("undecided", 1, 0)
    # a twin may be so: it is told as a new person is
    assert found.mistyped == 0


def test_one_further_person_who_is_no_known_one_with_an_error_is_new(releases: KnownReleases) -> None:
    whole = np.flatnonzero((OTHERS.nir > 0) & (OTHERS.phone > 0) & (OTHERS.box >= 0))
    found, _ = judge(releases, synth.dump(KNOWN.take(slice(0, 200)) + OTHERS.take(whole[:1])), hits=False)
    assert (found.verdict, found.new, found.mistyped) == ("overlap", 1, 0)
