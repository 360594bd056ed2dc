from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.releases.cut_bits import KEY_BITS, VALUE_BITS, cut_bits
from data.tagsets.elias_fano import MIN_KEPT_BITS, EliasFanoSet
from data.tagsets.tagset import KEPT_BITS


@given(st.integers(1, 2**31), st.integers(0, 10_000))
def test_a_stranger_is_taken_for_a_member_as_seldom_in_a_small_set_as_in_a_large_one(
    members: int, earlier: int
) -> None:
    bits = cut_bits(members, KEY_BITS, earlier)
    assert MIN_KEPT_BITS <= bits <= KEPT_BITS
    if bits < KEPT_BITS:
        assert members / 2**bits <= 2.9e-7
        assert members / 2 ** cut_bits(members, VALUE_BITS, earlier) <= 64 * 2.9e-7


@given(st.integers(1, 2**31), st.integers(0, 10_000))
def test_larger_and_later_releases_keep_no_fewer_bits(members: int, earlier: int) -> None:
    assert cut_bits(members + 1, KEY_BITS, earlier) >= cut_bits(members, KEY_BITS, earlier)
    assert cut_bits(members, KEY_BITS, earlier + 1) >= cut_bits(members, KEY_BITS, earlier)


@pytest.mark.parametrize("members", [3_900, 4_000, 10_000, 40_000, 75_000])
def test_the_chances_of_many_releases_add_up_slowly(members: int) -> None:
    chances = [members / 2 ** cut_bits(members, KEY_BITS, earlier) for earlier in range(1000)]
    # 200 releases of a million records, at 44 bits all of them, have 1.1e-5
    assert sum(chances[:16]) < 4.6e-6
    assert sum(chances[:200]) < 1.3e-5
    assert sum(chances) < 1.9e-5


@pytest.mark.parametrize("members", [5_000, 9_700, 10_300, 16_384, 20_000, 32_767, 40_000, 65_536, 75_000, 100_000])
def test_six_keys_take_at_most_16_bytes_a_record(members: int) -> None:
    # 4.96 keys a record; what is left of them is known, and of fewer people than the largest set has
    tags = np.random.default_rng(members).integers(1, 2**64, members, np.uint64)
    held = EliasFanoSet.build(tags, cut_bits(members, KEY_BITS, 0))
    assert 4.96 * held.nbytes / members <= 16
