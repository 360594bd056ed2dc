from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.tagsets.bloom_filter import Sieve
from data.tagsets.elias_fano import LEAST_CUT, TightSet


def random_tags(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64, n, np.uint64)


@pytest.mark.parametrize("sizes", [(0,), (1, 0), (5, 700), (30_000, 9, 200)])
def test_members_pass_and_few_strangers_do(sizes: tuple[int, ...]) -> None:
    tags = [random_tags(size, size) for size in sizes]
    sieve = Sieve((TightSet.build(each, LEAST_CUT).to_array() for each in tags), sum(sizes))
    sought = np.concatenate([*tags, random_tags(20_000, 99)]).reshape(-1, 1)
    passing = sieve.passing(sought, 0, np.zeros(sought.shape, bool))
    assert passing[: sum(sizes)].tolist() == list(range(sum(sizes)))
    assert len(passing) - sum(sizes) < 20_000 / 10


@given(st.lists(st.integers(1, 2**64 - 1), max_size=40), st.integers(0, 63), st.integers(LEAST_CUT, 44))
@settings(deadline=None)
def test_any_members_pass_however_they_are_cut(members: list[int], shift: int, bits: int) -> None:
    tags = np.array([each >> shift for each in members], np.uint64)
    sieve = Sieve([TightSet.build(tags, bits).to_array()], len(tags))
    passing = sieve.passing(tags.reshape(-1, 1), 0, np.zeros((len(tags), 1), bool))
    assert passing.tolist() == np.flatnonzero(tags).tolist()


def test_what_is_found_or_absent_is_passed_over() -> None:
    tags = np.stack([random_tags(60, 1), random_tags(60, 2)], axis=1)
    sieve = Sieve([tags.ravel()], 120)
    tags[::7, 1] = 0
    found = np.zeros(tags.shape, bool)
    found[3, 1] = found[4, 0] = True
    expected = [row for row in range(60) if row % 7 and row != 3]
    assert sieve.passing(tags, 1, found).tolist() == expected
