from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.lineage import _plausible, compare
from data.model import VERDICTS, Lineage
from data.releases import ReleaseBuilder, Releases
from data.tags import Kind

BASE = 4000


def people(n: int, seed: int) -> np.ndarray:
    """Six keys each of n people who share none."""
    return np.random.default_rng(seed).integers(1, 2**64, (n, 6), np.uint64)


def only(keys: np.ndarray, *columns: int) -> np.ndarray:
    return np.where(np.isin(np.arange(6), columns), keys, np.uint64(0))


KNOWN, OTHER, NEW = people(BASE, 1), people(3000, 2), people(3000, 3)


def values_of(keys: np.ndarray) -> dict[Kind, np.ndarray]:
    return {Kind.NIR: np.sort(keys[:, 2] ^ np.uint64(5)), Kind.EMAIL: np.sort(keys[:, 3] ^ np.uint64(5))}


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    folder = tmp_path_factory.mktemp("releases")
    for name, keys in (("part-1", KNOWN), ("part-0", OTHER)):
        builder = ReleaseBuilder(name)
        builder.add(keys, values_of(keys))
        builder.write(folder, {"name": name})
    return Releases.open(folder)


def judge(releases: Releases, keys: np.ndarray, *, hits: bool = False, values: dict | None = None) -> Lineage:
    return compare(keys, values_of(keys) if values is None else values, releases, has_hits=hits)


def test_a_shuffled_copy_is_a_repost(releases: Releases) -> None:
    found = judge(releases, KNOWN[np.random.default_rng(9).permutation(BASE)])
    assert (found.verdict, found.known, found.new, found.interval) == ("re-post", BASE, 0, (0, 0))
    assert [(parent.release, parent.coverage, parent.share) for parent in found.parents] == [("part-1", 1.0, 1.0)]
    assert found.new_values == {"nir": 0, "email": 0}


def test_a_part_of_a_release_is_a_subset(releases: Releases) -> None:
    found = judge(releases, KNOWN[: BASE // 3])
    assert (found.verdict, found.new) == ("subset", 0)


def test_a_release_in_full_with_fewer_columns_is_repackaged(releases: Releases) -> None:
    assert judge(releases, only(KNOWN, 0, 4, 5)).verdict == "re-packaged"


def test_pieces_of_two_releases_are_repackaged(releases: Releases) -> None:
    found = judge(releases, np.concatenate([KNOWN[:1500], OTHER[:1500]]))
    assert (found.verdict, found.new, len(found.parents)) == ("re-packaged", 0, 2)


def test_a_release_in_full_and_more_is_a_superset(releases: Releases) -> None:
    found = judge(releases, np.concatenate([KNOWN, NEW]))
    assert (found.verdict, found.new, found.known) == ("superset", len(NEW), BASE)


def test_known_and_new_people_together_overlap(releases: Releases) -> None:
    found = judge(releases, np.concatenate([KNOWN[:500], NEW[:500]]))
    assert (found.verdict, found.new) == ("overlap", 500)
    assert found.new_values == {"nir": 500, "email": 500}


def test_unmatched_people_who_carry_known_numbers_are_padding(releases: Releases) -> None:
    keys = np.concatenate([KNOWN[:500], NEW[:500]])
    found = judge(releases, keys, values=values_of(KNOWN[:1000]))
    assert (found.verdict, found.new) == ("padded", 500)


def test_whether_people_are_invented_is_not_said_without_their_numbers(releases: Releases) -> None:
    found = judge(releases, only(np.concatenate([KNOWN[:500], NEW[:500]]), 0), values={})
    assert (found.verdict, found.new) == ("overlap", 500)
    assert any("cannot be told" in note for note in found.notes)


def test_strangers_are_unrelated_and_with_canaries_new(releases: Releases) -> None:
    assert judge(releases, NEW).verdict == "unrelated"
    found = judge(releases, NEW, hits=True)
    assert (found.verdict, found.new, found.interval[0]) == ("new", len(NEW), len(NEW))


def test_strangers_with_many_known_numbers_are_not_called_unrelated(releases: Releases) -> None:
    assert judge(releases, NEW, values=values_of(KNOWN)).verdict == "undecided"


def test_a_handful_of_known_people_ties_a_new_dump(releases: Releases) -> None:
    found = judge(releases, np.concatenate([NEW, KNOWN[:20]]))
    assert (found.verdict, found.known, found.new) == ("new", 20, len(NEW))


def test_one_namesake_among_strangers_ties_nothing(releases: Releases) -> None:
    keys = np.concatenate([only(NEW, 0), only(KNOWN[:1], 0)])
    found = judge(releases, keys, values={})
    assert (found.verdict, found.known, found.parents) == ("unrelated", 1, ())


def test_one_person_known_by_name_alone_decides_nothing(releases: Releases, tmp_path: Path) -> None:
    assert judge(releases, KNOWN[:1]).verdict == "subset"
    few = only(np.concatenate([KNOWN[:1], NEW[:40]]), 0)
    found = judge(releases, few, values={})
    assert (found.verdict, found.known, found.new) == ("undecided", 1, 40)


def test_a_few_unmatched_people_are_counted_though_noise_may_explain_them(releases: Releases) -> None:
    found = judge(releases, np.concatenate([KNOWN, NEW[:5]]))
    assert (found.verdict, found.new) == ("undecided", 5)
    assert found.interval[0] == 0
    assert found.interval[1] >= 5


def test_rows_of_one_person_count_once(releases: Releases) -> None:
    keys = np.concatenate([KNOWN, KNOWN, only(KNOWN, 0)])
    found = judge(releases, keys)
    assert (found.verdict, found.records, found.parents[0].coverage) == ("re-post", BASE, 1.0)
    assert any("people" in note for note in found.notes)


@pytest.mark.parametrize(("hits", "verdict"), [(True, "new"), (False, "undecided")])
def test_without_any_release_all_people_count_as_new(hits: bool, verdict: str) -> None:
    found = judge(Releases({}), NEW, hits=hits)
    assert (found.verdict, found.records, found.new, found.interval) == (verdict, 3000, 3000, (3000, 3000))
    assert found.new_values == {"nir": 3000, "email": 3000}


def test_nothing_is_called_new_while_a_release_could_not_be_compared(releases: Releases) -> None:
    partly = Releases(releases.active, stale=("old",))
    found = judge(partly, NEW, hits=True)
    assert (found.verdict, found.new) == ("undecided", len(NEW))
    assert any("old" in note for note in found.notes)
    assert judge(Releases({}, stale=("old",)), NEW, hits=True).verdict == "undecided"


def test_rows_without_keys_give_no_people(releases: Releases) -> None:
    assert judge(releases, np.zeros((4, 6), np.uint64)).records == 0


@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from([(0, 1, 2, 3, 4, 5), (0,), (0, 3, 4), (1, 2), (4, 5)]),
    st.booleans(),
    st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_order_changes_nothing_and_new_rows_are_counted_exactly(
    releases: Releases, known: int, other: int, new: int, columns: tuple[int, ...], hits: bool, seed: int
) -> None:
    keys = only(np.concatenate([KNOWN[:known], OTHER[:other], NEW[:new]]), *columns)
    found = judge(releases, keys, hits=hits)
    mixed = judge(releases, keys[np.random.default_rng(seed).permutation(len(keys))], hits=hits)
    assert found == mixed
    assert found.verdict in VERDICTS
    assert (found.records, found.known, found.new) == (known + other + new, known + other, new)
    assert found.interval[0] <= new <= found.interval[1] <= found.records
    if new:
        # no verdict that says "nothing new" stands beside new people
        assert found.verdict not in {"re-post", "re-packaged", "subset"}


@pytest.mark.parametrize(
    ("seen", "mean", "expected"),
    [(0, 0.0, True), (1, 0.0, False), (1, 1e-4, False), (1, 1e-2, True), (10, 3.0, True), (30, 3.0, False),
     (10_000, 9_990.0, True), (11_000, 9_990.0, False), (10**7, 1.0, False)],
)  # fmt: skip
def test_chance_is_judged_by_the_poisson_tail(seen: int, mean: float, expected: bool) -> None:
    assert _plausible(seen, mean, 1e-3) is expected
