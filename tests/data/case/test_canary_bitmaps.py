"""Sets of canaries as bitmaps."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.case.canary_bitmaps import (
    bitmaps_of_codes,
    count_canaries,
    decode_bitmaps,
    encode_bitmaps,
    merge_bitmap_sets,
    merge_bitmaps,
)
from data.errors import WireError

canaries = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 500)), max_size=60)


def bitmaps(codes: set[tuple[int, int]]) -> dict[str, bytes]:
    return bitmaps_of_codes(np.array([bundle << 32 | number for bundle, number in codes], np.uint64), str)


@given(canaries, canaries)
@pytest.mark.slow
def test_merged_bitmaps_hold_each_canary_of_both_once(one, other):
    whole = merge_bitmap_sets([bitmaps(one), bitmaps(other)])
    assert {bundle: count_canaries(bitmap) for bundle, bitmap in whole.items()} == {
        str(bundle): len({number for each, number in one | other if each == bundle}) for bundle, _ in one | other
    }


@given(canaries)
def test_encoded_bitmaps_decode_to_the_same(codes):
    assert decode_bitmaps(encode_bitmaps(bitmaps(codes))) == bitmaps(codes)


def test_a_bitmap_merged_with_itself_is_unchanged():
    bitmap = bitmaps({(0, 3), (0, 400)})["0"]
    assert merge_bitmaps(bitmap, bitmap) == bitmap


@pytest.mark.parametrize(
    "text",
    ["?", "AAAA", base64.b64encode(zlib.compress(b"x" * 99)[:-5]).decode(), 7],
    ids=["no base64", "no zlib", "cut", "no text"],
)
def test_text_that_is_no_encoded_bitmap_is_refused(text):
    with pytest.raises(WireError):
        decode_bitmaps({"a": text})


@pytest.mark.slow
def test_a_bitmap_that_decompresses_beyond_the_limit_is_refused():
    with pytest.raises(WireError, match="too large"):
        decode_bitmaps({"a": base64.b64encode(zlib.compress(bytes(2**26 + 1))).decode()})
