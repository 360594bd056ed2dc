from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.releases.kept_bits import KEY_BITS, VALUE_BITS, kept_bits_for
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tag_bits import KEPT_BITS, MIN_KEPT_BITS


@given(st.integers(1, 2**31), st.integers(0, 10_000))
def test_false_matches_are_as_rare_in_a_small_set_as_in_a_large_one(members: int, earlier: int) -> None:
    bits = kept_bits_for(members, KEY_BITS, earlier)
    assert MIN_KEPT_BITS <= bits <= KEPT_BITS
    if bits < KEPT_BITS:
        assert members / 2**bits <= 2.9e-7
        assert members / 2 ** kept_bits_for(members, VALUE_BITS, earlier) <= 64 * 2.9e-7


@given(st.integers(1, 2**31), st.integers(0, 10_000))
def test_larger_and_later_releases_keep_no_fewer_bits(members: int, earlier: int) -> None:
    assert kept_bits_for(members + 1, KEY_BITS, earlier) >= kept_bits_for(members, KEY_BITS, earlier)
    assert kept_bits_for(members, KEY_BITS, earlier + 1) >= kept_bits_for(members, KEY_BITS, earlier)


@pytest.mark.parametrize("members", [3_900, 4_000, 10_000, 40_000, 75_000])
def test_probabilities_of_false_matches_of_many_releases_add_up_slowly(members: int) -> None:
    chances = [members / 2 ** kept_bits_for(members, KEY_BITS, earlier) for earlier in range(1000)]
    # for comparison: 200 releases of a million records, all with 44 bits, have 1.1e-5
    assert sum(chances[:16]) < 4.6e-6
    assert sum(chances[:200]) < 1.3e-5
    assert sum(chances) < 1.9e-5


@pytest.mark.parametrize("members", [5_000, 9_700, 10_300, 16_384, 20_000, 32_767, 40_000, 65_536, 75_000, 100_000])
def test_six_keys_take_at_most_16_bytes_a_record(members: int) -> None:
    # A record has 4.96 keys on average; every key takes at most as much as in the largest set.
    tags = np.random.default_rng(members).integers(1, 2**64, members, np.uint64)
    held = EliasFanoSet.build(tags, kept_bits_for(members, KEY_BITS, 0))
    assert 4.96 * held.nbytes / members <= 16
