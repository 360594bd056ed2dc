from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import StoreError
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tagset import TagSet

DROPPED = np.uint64(20)


def random_tags(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64, n, np.uint64)


def clustered(n: int) -> np.ndarray:
    """Tags that all fall into a few buckets, which a keyed hash never produces."""
    return np.arange(1, n + 1, dtype=np.uint64) << DROPPED


@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 1000, 4095, 4096, 65_535, 65_536, 100_000])
def test_a_set_has_its_members_and_no_others(n: int) -> None:
    tags, others = random_tags(n, n), random_tags(20_000, n + 1)
    held = EliasFanoSet.build(tags)
    assert held.lookup(tags).all()
    expected = np.isin(others >> DROPPED, tags >> DROPPED)
    assert np.array_equal(held.lookup(others), expected)
    assert np.array_equal(held.to_array() >> DROPPED, np.unique(tags >> DROPPED))


@pytest.mark.parametrize("bits", [32, 37, 44])
def test_a_set_keeps_the_requested_number_of_bits(bits: int, tmp_path: Path) -> None:
    tags, others = random_tags(3000, 1), random_tags(3000, 2)
    dropped, last = np.uint64(64 - bits), np.uint64(1) << np.uint64(64 - bits)
    EliasFanoSet.build(tags, bits).save(tmp_path / "a.tags")
    for held in (EliasFanoSet.build(tags, bits), EliasFanoSet.open(tmp_path / "a.tags")):
        assert (held.kept_bits, held.nbytes) == (bits, (tmp_path / "a.tags").stat().st_size)
        assert held.lookup(tags ^ (last - np.uint64(1)) & others).all()
        assert np.array_equal(held.lookup(tags ^ last), np.isin((tags ^ last) >> dropped, tags >> dropped))
        assert np.array_equal(held.to_array() >> dropped, np.unique(tags >> dropped))


@pytest.mark.parametrize("bits", [-1, 31, 45])
def test_numbers_of_kept_bits_outside_the_range_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="keeps 32 to 44 bits"):
        EliasFanoSet.build(random_tags(3, 1), bits)


def test_unevenly_spread_tags_are_stored_and_found(tmp_path: Path) -> None:
    tags = np.concatenate([clustered(70_000), random_tags(70_000, 3)])
    EliasFanoSet.build(tags).save(tmp_path / "a.tags")
    held = EliasFanoSet.open(tmp_path / "a.tags")
    assert held.layout.coarse_bits == 0
    assert held.lookup(tags[-70_000:]).all()
    assert held.lookup(tags[:20]).all()
    assert np.array_equal(held.to_array() >> DROPPED, np.unique(tags >> DROPPED))


@pytest.mark.parametrize("n", [3, 40, 700, 5000])
def test_buckets_of_any_size_are_searched(n: int) -> None:
    tags = np.concatenate([clustered(n), random_tags(n, 7)])
    held = EliasFanoSet.build(tags)
    assert held.lookup(tags).all()
    near = np.concatenate([tags + (np.uint64(1) << DROPPED), tags - (np.uint64(1) << DROPPED)])
    assert np.array_equal(held.lookup(near), np.isin(near >> DROPPED, tags >> DROPPED) & (near != 0))


@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=80),
    st.lists(st.integers(0, 2**64 - 1), max_size=80),
    st.integers(0, 63),
)
@settings(deadline=None)
def test_a_lookup_compares_the_kept_bits_of_any_tags(members: list[int], asked: list[int], shift: int) -> None:
    tags = np.array([each >> shift for each in members], np.uint64)
    sought = np.array([each >> shift for each in asked] + members, np.uint64)
    held = EliasFanoSet.build(tags)
    kept = tags[tags != 0] >> DROPPED
    assert np.array_equal(held.lookup(sought), np.isin(sought >> DROPPED, kept) & (sought != 0))


@pytest.mark.parametrize("build", [EliasFanoSet.build, TagSet.build])
def test_a_column_lookup_changes_its_column_only_and_keeps_earlier_marks(build: object) -> None:
    members, others = random_tags(300, 1), random_tags(300, 2)
    held = build(members)  # type: ignore[operator]
    tags = np.stack([members, others, members], axis=1)
    tags[::7, 2] = 0
    found = np.zeros(tags.shape, bool)
    found[3, 1] = True
    for column in (1, 2):
        held.look_up_column(tags, column, found)
    assert not found[:, 0].any()
    assert np.flatnonzero(found[:, 1]).tolist() == [3]
    assert np.array_equal(found[:, 2], tags[:, 2] != 0)


def test_the_marks_must_have_the_shape_of_the_tags() -> None:
    with pytest.raises(ValueError, match="one shape"):
        EliasFanoSet.build(random_tags(9, 1)).look_up_column(np.ones((5, 6), np.uint64), 0, np.zeros((4, 6), bool))


def test_sets_of_both_formats_are_merged() -> None:
    a, b = random_tags(500, 1), random_tags(5000, 2)
    merged = EliasFanoSet.union([EliasFanoSet.build(a), TagSet.build(b)])
    assert np.array_equal(merged.to_array(), EliasFanoSet.build(np.concatenate([a, b])).to_array())


def test_sets_that_keep_different_numbers_of_bits_are_not_merged() -> None:
    with pytest.raises(ValueError, match="different numbers of bits"):
        EliasFanoSet.union([EliasFanoSet.build(random_tags(5, 1), 40), EliasFanoSet.build(random_tags(5, 1))])


def test_a_saved_set_can_be_opened_and_damage_is_reported(tmp_path: Path) -> None:
    tags, path = random_tags(3000, 3), tmp_path / "a.tags"
    EliasFanoSet.build(tags).save(path)
    held = EliasFanoSet.open(path)
    held.verify()
    assert held.lookup(tags).all()
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="digest"):
        EliasFanoSet.open(path).verify()
    path.write_bytes(content[:-1])
    with pytest.raises(StoreError, match="does not match its header"):
        EliasFanoSet.open(path)


@pytest.mark.slow
def test_a_large_set_sorts_the_tags_before_looking_them_up() -> None:
    tags, others = random_tags(600_000, 5), random_tags(3_000, 6)
    sought = np.concatenate([tags[:3_000], others, np.zeros(500, np.uint64)])
    sought = sought[np.random.default_rng(7).permutation(len(sought))]
    expected = np.isin(sought >> DROPPED, tags >> DROPPED) & (sought != 0)
    assert np.array_equal(EliasFanoSet.build(tags).lookup(sought), expected)
