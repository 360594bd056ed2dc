"""Content-Encoding undone: what goes in comes out, whatever the cuts, and no piece is large."""

from __future__ import annotations

import gzip
import itertools
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from crawler.transport.content_encoding import Coding, Damaged


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: (
        gzip.compress(data[: len(data) // 2], mtime=0) + gzip.compress(data[len(data) // 2 :], mtime=0)
    ),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def unpacked(encodings: list[str], pieces: list[bytes]) -> bytes:
    coding = Coding(encodings)
    data = b"".join(piece for chunk in pieces for piece in coding.feed(chunk))
    coding.finish()
    return data


@pytest.mark.parametrize("name", PACKERS)
@given(data=st.binary(max_size=3000), cuts=st.lists(st.integers(0, 4000), max_size=6))
def test_what_was_packed_comes_out_however_it_is_cut(name, data, cuts):
    packed = PACKERS[name](data)
    places = sorted({0, len(packed), *(cut for cut in cuts if cut < len(packed))})
    pieces = [packed[start:end] for start, end in itertools.pairwise(places)]
    assert unpacked([name], pieces) == data


def test_several_encodings_are_undone_in_their_order_and_bare_deflate_is_known():
    assert unpacked(["gzip", "br"], [brotli.compress(gzip.compress(b"data", mtime=0))]) == b"data"
    assert unpacked(["deflate"], [_raw_deflate(b"data" * 99)]) == b"data" * 99
    assert unpacked(["identity"], [b"data"]) == unpacked([], [b"data"]) == b"data"


def test_an_encoding_that_is_not_known_leaves_the_bytes_as_they_are():
    assert unpacked(["odd"], [b"data"]) == b"data"
    assert unpacked(["odd", "gzip"], [gzip.compress(b"data", mtime=0)]) == b"data"


@pytest.mark.parametrize("name", PACKERS)
def test_what_ends_too_early_or_is_damaged_is_said(name):
    packed = PACKERS[name](bytes(range(256)) * 40)
    with pytest.raises(Damaged):
        unpacked([name], [packed[: len(packed) // 3]])
    with pytest.raises(Damaged):
        unpacked([name], [b"\x00\x11" + packed, packed])


@pytest.mark.parametrize("name", PACKERS)
def test_a_bomb_comes_out_in_small_pieces(name):
    packed = PACKERS[name](bytes(20_000_000))
    sizes = [len(piece) for piece in Coding([name]).feed(packed)]
    assert sum(sizes) == 20_000_000
    assert max(sizes) <= 2**24
