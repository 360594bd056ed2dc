"""Samples too large to hold: new people are counted one by one, and notes mark the numbers that are estimates."""

from __future__ import annotations

import numpy as np
import pytest

from crawler.lineage.compared_sample import ComparedSample
from crawler.lineage.lineage import compare_sample
from crawler.lineage.sample_records import MAX_DISTINCT, DistinctKeys, SampleRecords
from data.hashing.tags import RECORD_KINDS, Kind
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases

MOST = 2000
NAME, NIR = RECORD_KINDS.index(Kind.NAME_DOB), RECORD_KINDS.index(Kind.NIR_DOB)


def people(seed: int, count: int) -> np.ndarray:
    """Rows of distinct people with all six keys."""
    dice = np.random.default_rng(seed)
    return dice.integers(1, 2**64, size=(count, len(RECORD_KINDS)), dtype=np.uint64)


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> KnownReleases:
    folder = tmp_path_factory.mktemp("releases")
    builder = ReleaseBuilder("base")
    builder.add(people(1, 50_000), {Kind.EMAIL: people(9, 50_000)[:, 0]})
    builder.write(folder, {"name": "base", "case": ""})
    return KnownReleases.open(folder)


def filled(
    releases: KnownReleases,
    rows: np.ndarray,
    values: np.ndarray | None = None,
    most: int | None = MOST,
    piece: int = 777,
):
    records = SampleRecords(releases, most)
    for start in range(0, len(rows), piece):
        some = rows[start : start + piece]
        records.add(some, releases.find_known_keys(some))
        if values is not None:
            records.add_values(Kind.EMAIL, values[start : start + piece])
    return records


def test_a_sample_that_fits_is_compared_whole(releases):
    rows = np.concatenate([people(1, 500), people(2, 300)])
    held = filled(releases, np.concatenate([rows] * 9))
    assert held.one_in == 1
    assert held.lineage(has_hits=False).new == 300
    whole = ComparedSample(np.concatenate([rows] * 9), {}, has_hits=False)
    assert held.lineage(has_hits=False) == compare_sample(whole, releases)


def test_what_other_machines_held_counts_as_if_it_had_been_held_here(releases):
    rows, whole = np.concatenate([people(1, 500), people(2, 300)]), SampleRecords(releases, None)
    parts = [filled(releases, some, most=None) for some in (rows[:350], rows[350:])]
    for number, part in enumerate(parts, 1):
        part.unkeyed_rows, part.doubtful_rows, part.rows_of_relatives = 10 * number, 100 * number, 7 * number
        whole.add_state(part.state())
    assert whole.lineage(has_hits=False).new == 300
    counts = {name: value for name, value in vars(whole).items() if name.endswith("_rows") or name.startswith("rows_")}
    assert {name: value for name, value in counts.items() if type(value) is int and value} == {
        "unkeyed_rows": 30,
        "doubtful_rows": 300,
        "rows_of_relatives": 21,
    }


@pytest.mark.parametrize("most", [None, MOST])
def test_rows_without_a_key_are_counted_and_not_held(releases, most):
    rows = np.concatenate([people(1, 500), people(2, 300)])
    empty = np.zeros((3 * MOST, len(RECORD_KINDS)), np.uint64)
    mixed = np.concatenate([empty[:1], rows, empty])
    held = filled(releases, mixed, most=most)
    assert len(held.keys()) == len(rows)
    assert held.lineage(has_hits=False) == compare_sample(ComparedSample(mixed, {}, has_hits=False), releases)
    assert f"{3 * MOST + 1} rows gave no record key and were not compared" in held.lineage(has_hits=False).notes
    assert filled(releases, empty, most=most).lineage(has_hits=True) is None


@pytest.mark.parametrize("new", [0, 1, 3, 700])
def test_a_large_dump_that_is_held_in_part_has_the_lineage_of_the_whole(releases, new):
    rows = np.concatenate([people(1, 50_000), people(2, new)])
    rows = rows[np.random.default_rng(4).permutation(len(rows))]
    held = filled(releases, np.concatenate([rows, rows]))
    assert held.one_in > 1
    assert len(held.keys()) <= MOST
    lineage, whole = held.lineage(has_hits=False), filled(releases, rows, most=None).lineage(has_hits=False)
    assert lineage.verdict == whole.verdict == ("superset" if new else "re-post")
    assert (lineage.records, lineage.known, lineage.new) == (50_000 + new, 50_000, new)
    assert lineage.interval == whole.interval
    assert lineage.parents == whole.parents
    assert lineage.confidence == pytest.approx(whole.confidence, abs=1e-5)
    assert any("estimates" in note for note in lineage.notes)


def test_a_copy_with_typing_errors_that_is_held_in_part_is_still_a_repost(releases):
    rows = people(1, 50_000)
    mistyped = np.random.default_rng(8).random((len(rows), 2)) < 0.06
    # an error in the first name changes the keys that contain it, then the same for the birth date
    rows = np.where(mistyped[:, :1] & (np.array([1, 1, 0, 1, 1, 0]) == 1), people(11, len(rows)), rows)
    rows = np.where(mistyped[:, 1:] & (np.array([1, 0, 1, 0, 0, 1]) == 1), people(12, len(rows)), rows)
    lineage, whole = (
        filled(releases, rows).lineage(has_hits=False),
        filled(releases, rows, most=None).lineage(has_hits=False),
    )
    assert lineage.verdict == whole.verdict == "re-post"
    assert lineage.new == whole.new > 100
    assert lineage.records == whole.records
    # of 2,000 people some 90 show an error
    assert lineage.mistyped == pytest.approx(whole.mistyped, rel=0.45)


def test_new_people_of_a_large_dump_are_estimated_and_the_interval_holds_the_true_number(releases):
    lineage = filled(releases, people(3, 60_000)).lineage(has_hits=True)
    assert lineage.verdict == "new"
    assert lineage.new == pytest.approx(60_000, rel=0.15)
    assert lineage.interval[0] <= 60_000 <= lineage.interval[1]


def test_the_rows_of_one_person_are_kept_or_dropped_together(releases):
    rows = np.repeat(people(5, 30_000), 2, axis=0)
    # every second row of a person has only the key of number and birth date
    rows[1::2] = np.where(np.arange(len(RECORD_KINDS)) == NIR, rows[1::2], 0)
    lineage = filled(releases, rows).lineage(has_hits=True)
    assert lineage.records == pytest.approx(30_000, rel=0.15)


def test_values_are_held_in_bounded_number_and_estimated(releases):
    held = filled(releases, people(6, 40_000), people(7, 40_000)[:, NAME])
    lineage = held.lineage(has_hits=True)
    assert sum(map(len, held.values().values())) <= MOST
    assert lineage.new_values["email"] == pytest.approx(40_000, rel=0.2)


def test_a_sample_without_keys_has_no_lineage_and_without_a_limit_all_rows_are_held(releases):
    assert filled(releases, np.zeros((10, len(RECORD_KINDS)), np.uint64)).lineage(has_hits=False) is None
    exact = filled(releases, people(1, 20_000), most=None)
    assert (exact.one_in, len(exact.keys())) == (1, 20_000)


@pytest.mark.parametrize(
    ("known", "new", "times"),
    [(0, 1900, 3), (0, 30_000, 1), (0, 3000, 2), (800, 700, 2), (9000, 1400, 2), (9000, 1600, 2), (20_000, 5000, 1)],
)
@pytest.mark.parametrize("with_releases", [True, False])
@pytest.mark.slow
def test_the_result_does_not_depend_on_the_pieces_in_which_rows_came(
    releases, tmp_path, known, new, times, with_releases
):
    beside = releases if with_releases else KnownReleases.open(tmp_path)
    rows = np.concatenate([people(1, known), people(2, new)] * times)
    rows = rows[np.random.default_rng(4).permutation(len(rows))]
    held = [filled(beside, rows, rows[:, NAME], piece=piece) for piece in (50, 777, 1999, len(rows))]
    first, *others = [(each.lineage(has_hits=True), each.one_in, each.values().keys()) for each in held]
    for other in others:
        assert other == first


@pytest.mark.parametrize("count", [0, 1, MAX_DISTINCT, 3 * MAX_DISTINCT + 5])
def test_distinct_keys_are_counted_alike_in_any_order_and_in_any_parts(count):
    keys = np.unique(np.random.default_rng(4).integers(1, 2**64, count, np.uint64))
    whole, parts, again = DistinctKeys(), DistinctKeys(), DistinctKeys()
    whole.add(keys)
    for some in np.array_split(np.random.default_rng(5).permutation(np.repeat(keys, 2)), 7):
        parts.add(some)
    for some in np.array_split(keys, 3):
        part = DistinctKeys()
        part.add(some)
        again.add_state(part.state())
    assert whole.count() == parts.count() == again.count()
    assert whole.count() == len(keys) if count <= MAX_DISTINCT else abs(whole.count() / len(keys) - 1) < 0.05
