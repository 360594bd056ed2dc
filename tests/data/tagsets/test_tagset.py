from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.examiner.kernel_warmup import warm_up_tags
from data.errors import StoreError, StoreFull, StoreVersion
from data.tagsets.tag_bits import KEPT_BITS
from data.tagsets.tagset import TagSet

quick = settings(deadline=None, max_examples=60)
DROPPED = np.uint64(64 - KEPT_BITS)
# including many that share their first bits, and both ends of the range
tags64 = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 64).map(lambda n: n << 20),
    st.integers(0, 64).map(lambda n: 2**64 - 1 - (n << 20)),
)
lists = st.lists(tags64, max_size=200)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    warm_up_tags()


def u64(values) -> np.ndarray:
    return np.array(values, np.uint64)


def truncated(values) -> set[int]:
    return {value >> 20 for value in values if value}


def random_tags(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64, count, np.uint64)


@given(lists, lists)
@quick
def test_a_set_finds_its_members_and_nothing_else(members, others):
    built = TagSet.build(u64(members))
    assert len(built) == len(truncated(members))
    assert built.lookup(u64(members)).tolist() == [value != 0 for value in members]
    assert built.lookup(u64(others)).tolist() == [value != 0 and value >> 20 in truncated(members) for value in others]


@given(lists, lists)
@quick
@pytest.mark.slow
def test_a_bloom_filter_changes_no_answer(members, others):
    asked = u64([*members, *others])
    built = TagSet.build(u64(members))
    plain = built.lookup(asked)
    built.use_bloom_filter = True
    assert built.lookup(asked).tolist() == plain.tolist()


@pytest.mark.parametrize("count", [5000, 300_000])
def test_a_bloom_filter_loses_no_member_of_a_large_set(count):
    members, asked = random_tags(count), random_tags(5000, 2)
    built = TagSet.build(members)
    plain = built.lookup(asked)
    built.use_bloom_filter = True
    assert built.lookup(members).all()
    assert built.lookup(asked).tolist() == plain.tolist()


@given(lists)
@quick
def test_a_set_lists_its_members_in_order_and_finds_them_again(members):
    built = TagSet.build(u64(members))
    shown = built.to_array()
    assert (shown >> DROPPED).tolist() == sorted(truncated(members))
    assert built.lookup(shown).all()
    assert (TagSet.build(shown).to_array() == shown).all()


@given(lists, lists, lists)
@quick
@pytest.mark.slow
def test_union_and_difference_are_those_of_sets(a, b, c):
    sets = [TagSet.build(u64(part)) for part in (a, b, c)]
    assert set((TagSet.merge(*sets).to_array() >> DROPPED).tolist()) == truncated(a) | truncated(b) | truncated(c)
    assert set((sets[0].difference(sets[1]).to_array() >> DROPPED).tolist()) == truncated(a) - truncated(b)
    assert len(sets[0].merge()) == len(sets[0])


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 20_000, pytest.param(1 << 18, marks=pytest.mark.slow)])
def test_sets_of_every_size_are_the_same_after_saving(tmp_path, count):
    tags = random_tags(count)
    built = TagSet.build(tags)
    built.save(tmp_path / "a.tags")
    opened = TagSet.open(tmp_path / "a.tags")
    opened.verify()
    assert len(opened) == len(built) == count
    assert opened.bits == built.bits == (4 if count < 4096 else 12 if count < 1 << 18 else 20)
    assert opened.lookup(tags).all()
    assert not opened.lookup(random_tags(1000, seed=2)).any()
    assert (opened.to_array() == np.sort(tags) >> DROPPED << DROPPED).all()
    assert (tmp_path / "a.tags").stat().st_size == opened.nbytes


def test_sets_of_different_sizes_can_be_compared():
    small, large = random_tags(1000), random_tags(50_000)
    both = TagSet.merge(TagSet.build(small), TagSet.build(large))
    assert both.lookup(small).all()
    assert len(both.difference(TagSet.build(large))) == len(TagSet.build(small).difference(TagSet.build(large)))


def test_a_small_set_is_small_and_a_large_one_takes_little_more_than_three_bytes_a_tag():
    assert TagSet.build(random_tags(10)).nbytes < 256
    # computed: 15 million members of 3 bytes each, and 4 bytes for each of a million buckets
    assert (3 * 15_000_000 + 4 * 2**20) / 15_000_000 < 3.3


def test_a_saved_set_is_private_and_leaves_no_other_file(tmp_path):
    TagSet.build(random_tags(10)).save(tmp_path / "a.tags")
    TagSet.build(random_tags(20)).save(tmp_path / "a.tags")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tags"]
    assert (tmp_path / "a.tags").stat().st_mode & 0o777 == 0o600
    assert len(TagSet.open(tmp_path / "a.tags")) == 20


def test_an_opened_set_survives_its_file_being_replaced(tmp_path):
    tags = random_tags(5000)
    TagSet.build(tags).save(tmp_path / "a.tags")
    opened = TagSet.open(tmp_path / "a.tags")
    TagSet.build(random_tags(3, seed=9)).save(tmp_path / "a.tags")
    assert opened.lookup(tags).all()


def test_every_truncated_file_is_noticed_on_opening(tmp_path):
    path = tmp_path / "a.tags"
    TagSet.build(random_tags(10)).save(path)
    whole = path.read_bytes()
    for size in [*range(len(whole)), len(whole) + 1]:
        path.write_bytes((whole + b"x")[:size])
        with pytest.raises(StoreError, match="damaged") as caught:
            TagSet.open(path)
        assert caught.value.hint


@given(st.data())
@quick
@pytest.mark.slow
def test_every_changed_byte_is_noticed_and_no_lookup_reads_outside_the_file(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "a.tags"
    TagSet.build(random_tags(5000)).save(path)
    damaged = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, 63) | st.integers(64, 4 * 4097) | st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        opened = TagSet.open(path)
    except StoreError:
        return
    opened.lookup(random_tags(1000))
    with pytest.raises(StoreError, match="digest"):
        opened.verify()


def test_a_set_of_a_newer_version_is_reported_as_such(tmp_path):
    path = tmp_path / "a.tags"
    TagSet.build(random_tags(10)).save(path)
    changed = bytearray(path.read_bytes())
    changed[8] = 2
    path.write_bytes(changed)
    with pytest.raises(StoreVersion, match="newer"):
        TagSet.open(path)


def test_missing_files_and_folders_are_store_errors(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        TagSet.open(tmp_path / "none.tags")
    with pytest.raises(StoreError, match="cannot be read"):
        TagSet.open(tmp_path)
    with pytest.raises(StoreError, match="cannot be written"):
        TagSet.build(random_tags(1)).save(tmp_path / "none" / "a.tags")


def test_a_full_disk_is_reported_and_the_old_set_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.tags"
    TagSet.build(random_tags(10)).save(path)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull):
        TagSet.build(random_tags(20)).save(path)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tags"]
    assert len(TagSet.open(path)) == 10


def test_threads_share_a_set():
    tags = random_tags(30_000)
    built = TagSet.build(tags)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda part: bool(built.lookup(part).all()), np.array_split(tags, 16)))


def test_an_unsaved_set_verifies_and_its_repr_shows_only_its_size():
    built = TagSet.build(random_tags(3))
    built.verify()
    assert repr(built) == "<TagSet of 3>"


def test_a_strided_view_of_tags_can_be_looked_up():
    tags = random_tags(100)
    assert TagSet.build(tags[::2]).lookup(tags[::2]).all()
    assert not TagSet.build(tags[::2]).lookup(tags[1::2]).any()


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_the_filter_of_a_small_set_is_the_one_that_compiled_code_makes(count, monkeypatch):
    tags = np.random.default_rng(count).integers(1, 2**64, count, dtype=np.uint64)
    made = TagSet.build(tags).make_bloom_filter()
    monkeypatch.setattr("data.tagsets.tagset._SMALL_SET", -1)
    assert (TagSet.build(tags).make_bloom_filter() == made).all()
