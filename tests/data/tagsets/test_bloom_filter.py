from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.tagsets.bloom_filter import BloomFilter
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tag_bits import MIN_KEPT_BITS


def random_tags(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64, n, np.uint64)


@pytest.mark.parametrize("sizes", [(0,), (1, 0), (5, 700), (30_000, 9, 200)])
def test_all_members_pass_and_few_other_tags_do(sizes: tuple[int, ...]) -> None:
    tags = [random_tags(size, size) for size in sizes]
    bloom_filter = BloomFilter((EliasFanoSet.build(each, MIN_KEPT_BITS).to_array() for each in tags), sum(sizes))
    sought = np.concatenate([*tags, random_tags(20_000, 99)]).reshape(-1, 1)
    passed = bloom_filter.candidate_rows(sought, 0, np.zeros(sought.shape, bool))
    assert passed[: sum(sizes)].tolist() == list(range(sum(sizes)))
    assert len(passed) - sum(sizes) < 20_000 / 10


@given(st.lists(st.integers(1, 2**64 - 1), max_size=40), st.integers(0, 63), st.integers(MIN_KEPT_BITS, 44))
@settings(deadline=None)
def test_members_pass_however_many_bits_are_kept(members: list[int], shift: int, bits: int) -> None:
    tags = np.array([each >> shift for each in members], np.uint64)
    bloom_filter = BloomFilter([EliasFanoSet.build(tags, bits).to_array()], len(tags))
    passed = bloom_filter.candidate_rows(tags.reshape(-1, 1), 0, np.zeros((len(tags), 1), bool))
    assert passed.tolist() == np.flatnonzero(tags).tolist()


def test_found_and_absent_tags_are_skipped() -> None:
    tags = np.stack([random_tags(60, 1), random_tags(60, 2)], axis=1)
    bloom_filter = BloomFilter([tags.ravel()], 120)
    tags[::7, 1] = 0
    found = np.zeros(tags.shape, bool)
    found[3, 1] = found[4, 0] = True
    expected = [row for row in range(60) if row % 7 and row != 3]
    assert bloom_filter.candidate_rows(tags, 1, found).tolist() == expected
