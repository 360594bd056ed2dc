from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.hashing.tags import Kind
from data.releases import people as people_module
from data.releases.people import any_per_person, count_people, count_shared_keys, group_people, rows_with_key

# columns: name+dob, nir+first, nir+dob, email+first, phone+first, phone+dob
SMALL = st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=25)


def grid(rows: list[list[int]]) -> np.ndarray:
    keys = np.array(rows, np.uint64).reshape(-1, 6)
    # a tag belongs to one kind: the same number in two columns is two tags
    keys[keys != 0] += (np.arange(6, dtype=np.uint64) * np.uint64(1000) + np.zeros_like(keys))[keys != 0]
    return keys[keys.any(axis=1)]


def test_a_person_seen_in_two_tables_counts_once() -> None:
    assert count_people(grid([[1, 2, 3, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0]])) == 1


def test_namesakes_with_different_nirs_are_two_people_and_a_row_without_nir_joins_one_of_them() -> None:
    assert count_people(grid([[1, 1, 1, 0, 0, 0], [1, 2, 2, 0, 0, 0], [1, 0, 0, 0, 0, 0]])) == 2


def test_twins_with_the_same_telephone_are_two_people() -> None:
    assert count_people(grid([[1, 0, 0, 0, 1, 1], [2, 0, 0, 0, 2, 1]])) == 2


def test_rows_without_any_key_are_not_counted() -> None:
    assert count_people(np.zeros((5, 6), np.uint64)) == 0


def test_a_long_chain_of_shared_keys_is_one_person() -> None:
    n = 5000
    keys = np.zeros((n, 6), np.uint64)
    keys[:, 1] = np.arange(n) // 2 + 1
    keys[:, 2] = (np.arange(n) + 1) // 2 + 10**6
    assert count_people(keys[np.random.default_rng(1).permutation(n)]) == 1


@pytest.mark.slow
@given(SMALL, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_grouping_does_not_depend_on_the_order_of_rows(rows: list[list[int]], random: object) -> None:
    keys = grid(rows)
    if not len(keys):
        return
    order = np.array(random.sample(range(len(keys)), len(keys)))  # type: ignore[attr-defined]
    plain, mixed = group_people(keys), group_people(keys[order])

    def together(people: np.ndarray) -> np.ndarray:
        return people[:, None] == people[None, :]

    # rows with equal keys are interchangeable, so the groups are compared row by row
    assert count_people(keys) == count_people(keys[order])
    assert np.array_equal(together(plain)[np.ix_(order, order)], together(mixed))
    assert sorted(set(plain.tolist())) == list(range(count_people(keys)))


@given(SMALL)
@settings(max_examples=100, deadline=None)
@pytest.mark.slow
def test_repeated_rows_add_no_person(rows: list[list[int]]) -> None:
    keys = grid(rows)
    assert count_people(np.concatenate([keys, keys])) == count_people(keys)


def test_a_person_has_what_one_of_their_rows_has() -> None:
    rows = np.array([[False, True], [True, False], [True, False], [False, False]])
    assert any_per_person(np.array([0, 1, 0, 2]), rows).tolist() == [[True, True], [True, False], [False, False]]


def test_rows_with_a_key_are_those_that_numpy_finds() -> None:
    keys = np.random.default_rng(3).integers(0, 2, (500, 6), np.uint64)
    assert rows_with_key(keys).tolist() == keys.any(axis=1).tolist()
    assert rows_with_key(keys != 0).tolist() == keys.any(axis=1).tolist()


def partition(people: np.ndarray) -> list[int]:
    """Each row's first row of the same person."""
    first: dict[int, int] = {}
    return [first.setdefault(person, at) for at, person in enumerate(people.tolist())]


@given(SMALL, st.sampled_from([0, 59]))
@settings(deadline=None)
@pytest.mark.slow
def test_the_short_cut_for_rows_that_share_no_key_changes_no_group(rows: list[list[int]], shift: int) -> None:
    # the first bits choose a key's place in the bitmap: shift 0 puts all keys in one place, shift 59 each in its own
    keys = grid(rows)
    keys[keys != 0] = keys[keys != 0] % np.uint64(31) + np.uint64(1) << np.uint64(shift)
    found = group_people(keys)
    assert partition(found) == partition(people_module._group_by_shared_keys(keys))
    assert sorted(set(found.tolist())) == list(range(len(set(found.tolist()))))


def test_how_often_two_people_share_a_key_is_counted_by_kind() -> None:
    # a father and a son share telephone and first name, two namesakes the day of birth; the last row repeats the first
    keys = grid(
        [[1, 1, 1, 0, 1, 1], [2, 2, 2, 0, 1, 2], [3, 3, 3, 0, 0, 0], [3, 4, 4, 0, 0, 0], [1, 0, 1, 0, 1, 0]],
    )
    shared = count_shared_keys(keys, group_people(keys))
    assert shared == {
        Kind.NAME_DOB: (1, 4, 1), Kind.NIR_FIRST: (0, 4, 1), Kind.NIR_DOB: (0, 4, 1),
        Kind.PHONE_FIRST: (1, 2, 1), Kind.PHONE_DOB: (0, 2, 1),
    }  # fmt: skip


def test_shared_keys_of_many_people_are_counted_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 40_000
    keys = np.random.default_rng(2).integers(1, 2**64, (n, 6), np.uint64)
    keys[n // 2 :, 4] = keys[: n // 2, 4]
    monkeypatch.setattr(people_module, "SHARED_EXACT", n - 1)
    more, bearers, one_in = count_shared_keys(keys, np.arange(n))[Kind.PHONE_FIRST]
    assert one_in == 16
    assert more * 2 == bearers
    assert more * one_in == pytest.approx(n // 2, rel=0.15)
    assert count_shared_keys(keys, np.arange(n))[Kind.NAME_DOB][0] == 0
