from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.lineage.compared_sample import ComparedSample
from crawler.lineage.field_errors import KEY_FIELDS, ErrorRates, names_swapped
from crawler.lineage.lineage import compare_sample
from data.hashing.tags import Kind
from data.model import VERDICTS, Lineage
from data.releases import builder as release_builder
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases

BASE = 4000


def people(n: int, seed: int) -> np.ndarray:
    """The six keys of n people who share no key."""
    return np.random.default_rng(seed).integers(1, 2**64, (n, 6), np.uint64)


def only(keys: np.ndarray, *columns: int) -> np.ndarray:
    return np.where(np.isin(np.arange(6), columns), keys, np.uint64(0))


KNOWN, OTHER, NEW = people(BASE, 1), people(3000, 2), people(3000, 3)


def values_of(keys: np.ndarray) -> dict[Kind, np.ndarray]:
    return {Kind.NIR: np.sort(keys[:, 2] ^ np.uint64(5)), Kind.EMAIL: np.sort(keys[:, 3] ^ np.uint64(5))}


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> KnownReleases:
    folder = tmp_path_factory.mktemp("releases")
    for name, keys in (("part-1", KNOWN), ("part-0", OTHER)):
        builder = ReleaseBuilder(name)
        builder.add(keys, values_of(keys))
        builder.write(folder, {"name": name})
    return KnownReleases.open(folder)


def lineage_of(releases: KnownReleases, keys: np.ndarray, *, hits: bool = False, values: dict | None = None) -> Lineage:
    return compare_sample(ComparedSample(keys, values_of(keys) if values is None else values, hits), releases)


def test_a_shuffled_copy_is_a_repost(releases: KnownReleases) -> None:
    found = lineage_of(releases, KNOWN[np.random.default_rng(9).permutation(BASE)])
    assert (found.verdict, found.known, found.new, found.interval) == ("re-post", BASE, 0, (0, 0))
    assert [(parent.release, parent.coverage, parent.share) for parent in found.parents] == [("part-1", 1.0, 1.0)]
    assert found.new_values == {"nir": 0, "email": 0}


def test_a_part_of_a_release_is_a_subset(releases: KnownReleases) -> None:
    found = lineage_of(releases, KNOWN[: BASE // 3])
    assert (found.verdict, found.new) == ("subset", 0)


def test_a_release_in_full_with_fewer_columns_is_repackaged(releases: KnownReleases) -> None:
    assert lineage_of(releases, only(KNOWN, 0, 4, 5)).verdict == "re-packaged"


def test_pieces_of_two_releases_are_repackaged(releases: KnownReleases) -> None:
    found = lineage_of(releases, np.concatenate([KNOWN[:1500], OTHER[:1500]]))
    assert (found.verdict, found.new, len(found.parents)) == ("re-packaged", 0, 2)


def test_a_release_in_full_and_more_is_a_superset(releases: KnownReleases) -> None:
    found = lineage_of(releases, np.concatenate([KNOWN, NEW]))
    assert (found.verdict, found.new, found.known) == ("superset", len(NEW), BASE)


def test_people_beyond_a_whole_release_are_not_its_people_with_typing_errors(tmp_path: Path) -> None:
    builder = ReleaseBuilder("small")
    builder.add(KNOWN[:60], values_of(KNOWN[:60]))
    builder.write(tmp_path, {})
    small = KnownReleases.open(tmp_path)
    # names and birth dates alone, which show no error
    found = lineage_of(small, only(np.concatenate([KNOWN[:60], NEW[:20]]), 0), values={})
    assert (found.verdict, found.new, found.interval) == ("superset", 20, (19, 20))
    assert found.origin is not None
    assert found.origin.answer == "ours"
    # of a part of it the others may be anybody
    found = lineage_of(small, only(np.concatenate([KNOWN[:40], NEW[:20]]), 0), values={})
    assert found.interval[0] < 19
    # the known people of two tables are the same ones
    tables = [only(KNOWN[:30], 0), only(KNOWN[:30], 4), only(NEW[:20], 0)]
    assert lineage_of(small, np.concatenate(tables), values={}).interval[0] < 19
    # where people have several rows, further ones may be mistyped
    found = lineage_of(small, only(np.concatenate([KNOWN[:60], KNOWN[:60], NEW[:20]]), 0), values={})
    assert found.interval[0] < 19


def test_few_new_people_are_not_called_padded_if_a_release_keeps_only_a_sample_of_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a large release keeps one value in 16: the numbers of one person are mostly not among them
    monkeypatch.setattr(release_builder, "MAX_EXACT_VALUES", 100)
    builder = ReleaseBuilder("large")
    builder.add(KNOWN, values_of(KNOWN))
    builder.write(tmp_path, {})
    large = KnownReleases.open(tmp_path)
    assert large.value_sample > 1
    for count in (1, 2, 5):
        found = lineage_of(large, np.concatenate([KNOWN[: BASE // 2], NEW[:count]]))
        assert (found.verdict, found.new) == ("overlap", count)


@pytest.mark.parametrize("people", [1_000_000, 15_000_000])
def test_one_new_person_among_millions_without_an_error_is_not_called_mistyped(people: int) -> None:
    table = np.zeros((64, 64), np.int64)
    table[63, 63], table[63, 0] = people, 1
    # the highest error rates that the counts allow make a known person mistyped in all six keys this rarely
    assert ErrorRates(table).hidden_people(63).max() < 1e-5


def test_known_and_new_people_together_overlap(releases: KnownReleases) -> None:
    found = lineage_of(releases, np.concatenate([KNOWN[:500], NEW[:500]]))
    assert (found.verdict, found.new) == ("overlap", 500)
    assert found.new_values == {"nir": 500, "email": 500}


def test_unmatched_people_who_have_known_numbers_are_padding(releases: KnownReleases) -> None:
    keys = np.concatenate([KNOWN[:500], NEW[:500]])
    found = lineage_of(releases, keys, values=values_of(KNOWN[:1000]))
    assert (found.verdict, found.new) == ("padded", 500)


@pytest.mark.parametrize("with_numbers", [0, 100])
def test_people_without_numbers_or_with_placeholders_are_not_people_with_known_numbers(
    releases: KnownReleases, with_numbers: int
) -> None:
    # record keys of placeholders are left out, as those of absent numbers are; a few have new numbers
    keys = np.concatenate([KNOWN[:500], NEW[:with_numbers], only(NEW[with_numbers:500], 0)])
    values = values_of(np.concatenate([KNOWN[:500], NEW[:with_numbers]]))
    found = lineage_of(releases, keys, values=values)
    assert (found.verdict, found.new) == ("overlap", 500), found.notes


def test_people_are_not_called_invented_without_their_numbers(releases: KnownReleases) -> None:
    found = lineage_of(releases, only(np.concatenate([KNOWN[:500], NEW[:500]]), 0), values={})
    assert (found.verdict, found.new) == ("overlap", 500)
    assert any("without their numbers it cannot be decided" in note for note in found.notes)


def test_unknown_people_are_unrelated_and_with_canary_hits_new(releases: KnownReleases) -> None:
    assert lineage_of(releases, NEW).verdict == "unrelated"
    found = lineage_of(releases, NEW, hits=True)
    assert (found.verdict, found.new, found.interval[0]) == ("new", len(NEW), len(NEW))


def test_unknown_people_with_many_known_numbers_are_not_called_unrelated(releases: KnownReleases) -> None:
    assert lineage_of(releases, NEW, values=values_of(KNOWN)).verdict == "undecided"


def test_a_handful_of_known_people_does_not_show_whose_a_dump_is(releases: KnownReleases) -> None:
    found = lineage_of(releases, np.concatenate([NEW, KNOWN[:20]]))
    assert (found.verdict, found.known, found.new) == ("undecided", 20, len(NEW))
    assert found.origin is not None
    assert found.origin.answer == "open"
    found = lineage_of(releases, np.concatenate([NEW, KNOWN[:20]]), hits=True)
    assert (found.verdict, found.known, found.new) == ("new", 20, len(NEW))


def test_one_namesake_among_unknown_people_ties_nothing_to_a_release(releases: KnownReleases) -> None:
    keys = np.concatenate([only(NEW, 0), only(KNOWN[:1], 0)])
    found = lineage_of(releases, keys, values={})
    assert (found.verdict, found.known, found.parents) == ("unrelated", 1, ())


def test_one_person_known_by_name_alone_decides_nothing(releases: KnownReleases, tmp_path: Path) -> None:
    assert lineage_of(releases, KNOWN[:1]).verdict == "subset"
    few = only(np.concatenate([KNOWN[:1], NEW[:40]]), 0)
    found = lineage_of(releases, few, values={})
    assert (found.verdict, found.known, found.new) == ("undecided", 1, 40)


def test_one_new_person_among_known_ones_is_found_if_nobody_is_mistyped(releases: KnownReleases) -> None:
    found = lineage_of(releases, np.concatenate([KNOWN, NEW[:1]]))
    assert (found.verdict, found.new, found.interval) == ("superset", 1, (1, 1))
    assert 0.98 < found.confidence < 0.99


def with_errors(keys: np.ndarray, field: str, share: float, seed: int) -> np.ndarray:
    """The keys with one field wrong for a share of people: the keys that contain the field change."""
    hit = np.random.default_rng(seed).random(len(keys)) < share
    holds = [field in fields for fields in KEY_FIELDS.values()]
    return np.where(hit[:, None] & np.array(holds), people(len(keys), seed), keys)


def test_unmatched_people_whom_errors_explain_are_counted_and_do_not_change_the_verdict(
    releases: KnownReleases,
) -> None:
    mistyped = with_errors(with_errors(KNOWN, "first", 0.06, 5), "dob", 0.06, 6)
    found = lineage_of(releases, mistyped)
    assert found.verdict == "re-post"
    assert 0 < found.new < 40
    assert found.interval[0] == 0
    assert found.mistyped == pytest.approx(found.new, abs=12)


def test_more_unmatched_people_than_errors_explain_are_new(releases: KnownReleases) -> None:
    mistyped = with_errors(with_errors(KNOWN, "first", 0.06, 5), "dob", 0.06, 6)
    found = lineage_of(releases, np.concatenate([mistyped, NEW[:200]]))
    assert found.verdict == "superset"
    assert found.interval[0] <= 200 <= found.interval[1]


def test_a_teaser_gives_bounds_for_the_whole_under_the_condition_of_a_random_draw(releases: KnownReleases) -> None:
    found = lineage_of(releases, KNOWN[:50])
    assert found.whole is not None
    assert (found.whole.condition, found.whole.confidence) == ("the sample is a random draw", 0.95)
    # rule of three, two-sided: 1 - 0.025 ** (1 / 50)
    assert found.whole.new_share == (0.0, pytest.approx(0.0711, abs=1e-4))
    assert lineage_of(releases, KNOWN[:2000]).whole is None


def test_swapped_columns_of_names_are_recognised_by_the_known_people(releases: KnownReleases) -> None:
    swapped = np.concatenate([only(KNOWN[:50], 0, 2, 5) + only(NEW[:50], 1, 3, 4)])
    assert names_swapped(swapped, releases.find_known_keys(swapped))
    assert not names_swapped(KNOWN[:50], releases.find_known_keys(KNOWN[:50]))
    assert not names_swapped(NEW[:50], releases.find_known_keys(NEW[:50]))


def test_namesakes_among_unrelated_people_are_not_taken_for_swapped_columns(releases: KnownReleases) -> None:
    # five of 2,000 unrelated people have a known name and birth date, and numbers of their own
    unrelated = np.concatenate([only(KNOWN[:5], 0) + only(NEW[:5], 1, 2, 3, 4, 5), NEW[5:2000]])
    assert not names_swapped(unrelated, releases.find_known_keys(unrelated))
    # without numbers, they are no more than chance may make in a large group of people
    bare = only(unrelated, 0, 3)
    assert not names_swapped(bare, releases.find_known_keys(bare))
    swapped = only(KNOWN[:60], 0) + only(NEW[:60], 3)
    assert names_swapped(swapped, releases.find_known_keys(swapped))


def test_one_person_of_another_release_may_be_chance_and_several_are_no_chance(releases: KnownReleases) -> None:
    for others, verdict in ((0, "subset"), (1, "undecided"), (3, "re-packaged")):
        found = lineage_of(releases, only(np.concatenate([KNOWN[:4], OTHER[:others]]), 3), values={})
        assert (found.verdict, found.known, found.new) == (verdict, 4 + others, 0)


def test_people_who_share_all_keys_with_another_are_estimated_from_the_known_people(tmp_path: Path) -> None:
    base = KNOWN.copy()
    # one in forty shares a telephone and a first name with another
    base[1::40, 4] = base[::40, 4]
    builder = ReleaseBuilder("base")
    builder.add(base, {})
    builder.write(tmp_path, {})
    rows = only(NEW[:2000], 4)
    rows[1:100:2] = rows[:100:2]
    found = lineage_of(KnownReleases.open(tmp_path), np.tile(rows, (3, 1)), hits=True, values={})
    assert (found.verdict, found.records, found.new) == ("new", 1950, 1950)
    # the 50 with what chance adds, and not all 4,050 rows that repeat an earlier one
    assert 2000 <= found.interval[1] < 2100


def test_known_people_with_a_new_kind_of_identifier_are_new_harm(tmp_path: Path) -> None:
    builder = ReleaseBuilder("bare")
    builder.add(only(KNOWN[:300], 0, 4, 5), {Kind.PHONE: KNOWN[:300, 5]})
    builder.write(tmp_path, {})
    found = lineage_of(
        KnownReleases.open(tmp_path), KNOWN[:300], values={Kind.NIR: KNOWN[:300, 2], Kind.PHONE: KNOWN[:300, 5]}
    )
    assert found.new == 0
    assert found.added == {"nir": 300}


def test_a_sample_with_only_kinds_of_key_that_no_release_has_is_undecided(tmp_path: Path) -> None:
    builder = ReleaseBuilder("mails")
    builder.add(only(KNOWN[:300], 3), {})
    builder.write(tmp_path, {})
    found = lineage_of(KnownReleases.open(tmp_path), only(KNOWN[:300], 0, 2), values={})
    assert (found.verdict, found.new, found.interval) == ("undecided", 300, (0, 300))


def test_rows_of_one_person_count_once(releases: KnownReleases) -> None:
    keys = np.concatenate([KNOWN, KNOWN, only(KNOWN, 0)])
    found = lineage_of(releases, keys)
    assert (found.verdict, found.records, found.parents[0].coverage) == ("re-post", BASE, 1.0)
    assert any("people" in note for note in found.notes)


def test_a_list_with_47_copies_of_everybody_has_the_verdict_of_one_copy(releases: KnownReleases) -> None:
    found = lineage_of(releases, np.tile(np.concatenate([KNOWN[:60], NEW[:20]]), (47, 1)))
    assert (found.verdict, found.records, found.known, found.new) == ("overlap", 80, 60, 20)


@pytest.mark.parametrize(("hits", "verdict"), [(True, "new"), (False, "undecided")])
def test_without_any_release_all_people_count_as_new(hits: bool, verdict: str) -> None:
    found = lineage_of(KnownReleases({}), NEW, hits=hits)
    assert (found.verdict, found.records, found.new, found.interval) == (verdict, 3000, 3000, (3000, 3000))
    assert found.new_values == {"nir": 3000, "email": 3000}


def test_nothing_is_called_new_while_a_release_could_not_be_compared(releases: KnownReleases) -> None:
    partly = KnownReleases(releases.active, stale=("old",))
    found = lineage_of(partly, NEW, hits=True)
    assert (found.verdict, found.new) == ("undecided", len(NEW))
    assert any("old" in note for note in found.notes)
    assert lineage_of(KnownReleases({}, stale=("old",)), NEW, hits=True).verdict == "undecided"


def test_rows_without_keys_give_no_people(releases: KnownReleases) -> None:
    assert lineage_of(releases, np.zeros((4, 6), np.uint64)).records == 0


@pytest.mark.slow
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
    releases: KnownReleases, known: int, other: int, new: int, columns: tuple[int, ...], hits: bool, seed: int
) -> None:
    keys = only(np.concatenate([KNOWN[:known], OTHER[:other], NEW[:new]]), *columns)
    found = lineage_of(releases, keys, hits=hits)
    mixed = lineage_of(releases, keys[np.random.default_rng(seed).permutation(len(keys))], hits=hits)
    assert found == mixed
    assert found.verdict in VERDICTS
    assert (found.records, found.known, found.new) == (known + other + new, known + other, new)
    assert found.interval[0] <= new <= found.interval[1] <= found.records
    if new:
        # no verdict that means "nothing new" is given if there are new people
        assert found.verdict not in {"re-post", "re-packaged", "subset"}
