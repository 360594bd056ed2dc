from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.arrays.packed import Packed, join_packed, pair_packed
from data.hashing.tags import Kind, name_pair, record_input

quick = settings(deadline=None, max_examples=60)
values = st.binary(max_size=200)


@given(st.lists(values))
@quick
def test_packing_and_unpacking_gives_the_same_items(items):
    packed = Packed.of(items)
    assert packed.to_list() == items == [packed.item(i) for i in range(len(packed))]
    assert packed.lengths.tolist() == [len(item) for item in items]


def test_an_index_out_of_range_raises_an_index_error():
    with pytest.raises(IndexError):
        Packed.of([b"a"]).item(-1)
    with pytest.raises(IndexError):
        Packed.empty(1).item(1)


@given(st.lists(st.tuples(values, values)))
@quick
def test_joined_columns_are_joined_items(pairs):
    a, b = Packed.of([x for x, _ in pairs]), Packed.of([y for _, y in pairs])
    assert join_packed(a, b).to_list() == [record_input(Kind.NIR_DOB, x, y) for x, y in pairs]
    assert pair_packed(a, b).to_list() == [name_pair(x, y) for x, y in pairs] == pair_packed(b, a).to_list()
