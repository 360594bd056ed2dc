"""Sets of canaries as bitmaps."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.case.canary_bitmaps import count, of_codes, packed, union, unions, unpacked
from data.errors import WireError

canaries = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 500)), max_size=60)


def bitmaps(codes: set[tuple[int, int]]) -> dict[str, bytes]:
    return of_codes(np.array([bundle << 32 | number for bundle, number in codes], np.uint64), str)


@given(canaries, canaries)
def test_a_union_holds_each_canary_of_both_once(one, other):
    whole = unions([bitmaps(one), bitmaps(other)])
    assert {bundle: count(bitmap) for bundle, bitmap in whole.items()} == {
        str(bundle): len({number for each, number in one | other if each == bundle}) for bundle, _ in one | other
    }


@given(canaries)
def test_what_is_packed_comes_out_as_it_went_in(codes):
    assert unpacked(packed(bitmaps(codes))) == bitmaps(codes)


def test_a_bitmap_is_its_union_with_itself():
    bitmap = bitmaps({(0, 3), (0, 400)})["0"]
    assert union(bitmap, bitmap) == bitmap


@pytest.mark.parametrize(
    "text",
    ["?", "AAAA", base64.b64encode(zlib.compress(b"x" * 99)[:-5]).decode(), 7],
    ids=["no base64", "no zlib", "cut", "no text"],
)
def test_what_is_no_set_is_refused(text):
    with pytest.raises(WireError):
        unpacked({"a": text})


def test_what_unpacks_without_end_is_refused():
    with pytest.raises(WireError, match="too large"):
        unpacked({"a": base64.b64encode(zlib.compress(bytes(2**26 + 1))).decode()})
