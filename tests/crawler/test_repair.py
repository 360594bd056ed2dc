from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from crawler.repair import SecondLook, Unmatched
from data.releases import Releases
from data.tags import Kind
from tests.synth import population as synth
from tests.synth.matrix import KEY, forms_of, judge, register, tags_of
from tests.synth.population import Crowd, Dump

CROWD = synth.crowd(17, 4000)
KNOWN, OTHERS = CROWD.take(slice(0, 3000)), CROWD.take(slice(3000, 4000))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    folder = tmp_path_factory.mktemp("releases")
    register(folder, "part-1", synth.dump(KNOWN))
    return Releases.open(folder)


def look(releases: Releases, table: Dump) -> SecondLook:
    """A second look at everybody, none of whom is known."""
    forms = forms_of(table)
    keys, _ = tags_of(forms)
    kept = Unmatched()
    rows = kept.wanted(keys)
    kept.keep(keys[rows], {role: column.take(rows) for role, column in forms.items()})
    return SecondLook(KEY, kept, releases.holds)


def changed(table: Dump, role: str, at: int, cell: str) -> Dump:
    cells = table[role].to_pylist()
    cells[at] = cell
    return table | {role: pa.array(cells)}


@pytest.mark.slow
def test_one_error_undone_finds_the_mistyped_and_not_the_new(releases: Releases) -> None:
    plain = synth.dump(KNOWN.take(slice(0, 80)), columns=("surname", "first", "dob"))
    cells = [cell[:-1] + str((int(cell[-1]) + 1) % 10) for cell in plain["dob"].to_pylist()]
    assert look(releases, plain | {"dob": pa.array(cells)}).repair().share > 0.9
    assert look(releases, synth.dump(OTHERS, columns=("surname", "first", "dob"))).repair().share < 0.02


@pytest.mark.parametrize(
    ("people", "least", "most"),
    [
        pytest.param(synth.recombined(KNOWN, 800), 1e-3, 0.03, id="invented from known values"),
        pytest.param(OTHERS, 0.0, 1e-3, id="others"),
    ],
)
def test_halves_of_different_people_show_invented_ones(
    releases: Releases, people: Crowd, least: float, most: float
) -> None:
    keys, _ = tags_of(forms_of(synth.dump(people)))
    people = people.take(np.flatnonzero(~releases.known_any(keys)))
    tried = look(releases, synth.dump(people)).by_chance()
    for kind in (Kind.NIR_FIRST, Kind.EMAIL_FIRST, Kind.PHONE_FIRST):
        known, looked_up = tried[kind]
        assert looked_up > 5000
        assert least <= known / looked_up <= most
    known, looked_up = tried[Kind.NAME_DOB]
    assert looked_up > 50_000
    assert known / looked_up < 1e-3


def test_one_person_who_is_an_error_away_from_a_known_one_stays_open_where_nobody_else_is_mistyped(
    releases: Releases,
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


def test_one_further_person_who_is_no_known_one_with_an_error_is_new(releases: Releases) -> None:
    whole = np.flatnonzero((OTHERS.nir > 0) & (OTHERS.phone > 0) & (OTHERS.box >= 0))
    found, _ = judge(releases, synth.dump(KNOWN.take(slice(0, 200)) + OTHERS.take(whole[:1])), hits=False)
    assert (found.verdict, found.new, found.mistyped) == ("overlap", 1, 0)
