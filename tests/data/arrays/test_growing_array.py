from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.arrays import growing_array
from data.arrays.growing_array import GrowingArray

words = st.lists(st.integers(0, 2**64 - 1), max_size=3000)


@pytest.mark.parametrize("chunk", [3, 1 << 20])
@given(st.lists(st.one_of(words, st.lists(st.integers(0, 9), max_size=50)), max_size=6))
def test_rows_added_in_parts_come_back_complete(chunk, parts):
    held, flat = GrowingArray(np.uint64, 1), GrowingArray(np.uint64, 1)
    for part in parts:
        held.add(np.array(part, np.uint64).reshape(-1, 1))
        flat.add(np.array(part, np.uint64))
    whole = [word for part in parts for word in part]
    assert len(held) == len(whole)
    assert held.rows().ravel().tolist() == whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing_array, "_CHUNK", chunk)
        assert flat.distinct().tolist() == sorted(set(whole))


@pytest.mark.parametrize("kind", [np.uint64, np.uint8])
def test_rows_keep_their_width_however_often_the_array_grows(kind):
    held = GrowingArray(kind, 6)
    assert held.rows().shape == (0, 6)
    rows = np.arange(60_000).astype(kind).reshape(-1, 6)
    for at in range(0, len(rows), 7):
        held.add(rows[at : at + 7])
    assert (held.rows() == rows).all()


def test_an_array_without_rows_has_their_width_and_no_memory():
    array = GrowingArray(np.uint64, 6)
    array.add(np.zeros((0, 6), np.uint64))
    assert array.rows().shape == (0, 6)
    assert len(array) == len(array.distinct()) == 0
