from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.arrays.packed import Packed, hex_digits, join_packed, pair_packed, side_by_side
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


@given(st.lists(st.tuples(values, values, values)))
@quick
def test_columns_side_by_side_are_their_items_one_behind_the_other(rows):
    columns = [Packed.of([row[at] for row in rows]) for at in range(3)]
    assert side_by_side(columns).to_list() == [b"".join(row) for row in rows]


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300)))
@quick
def test_numbers_in_hexadecimal_digits_have_no_leading_zeros(numbers):
    assert hex_digits(np.array(numbers, np.uint64)).to_list() == [b"%x" % number for number in numbers]


@given(st.lists(st.text(st.sampled_from(" \t\r\n\x0b\x0cab\xa0"), max_size=6).map(str.encode)))
@quick
def test_stripped_items_have_no_white_space_at_their_ends(items):
    assert Packed.of(items).stripped().to_list() == [item.strip() for item in items]
