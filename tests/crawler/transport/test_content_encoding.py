"""Decoding of Content-Encoding: the original bytes come out, however the input is split, and no piece is large."""

from __future__ import annotations

import gzip
import itertools
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from crawler.transport.content_encoding import ContentDecoder, DamagedEncoding


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


COMPRESSORS = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: (
        gzip.compress(data[: len(data) // 2], mtime=0) + gzip.compress(data[len(data) // 2 :], mtime=0)
    ),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def decoded(encodings: list[str], pieces: list[bytes]) -> bytes:
    decoder = ContentDecoder(encodings)
    data = b"".join(piece for chunk in pieces for piece in decoder.feed(chunk))
    decoder.finish()
    return data


@pytest.mark.parametrize("name", COMPRESSORS)
@given(data=st.binary(max_size=3000), cuts=st.lists(st.integers(0, 4000), max_size=6))
@pytest.mark.slow
def test_the_original_bytes_come_out_however_the_input_is_split(name, data, cuts):
    encoded = COMPRESSORS[name](data)
    places = sorted({0, len(encoded), *(cut for cut in cuts if cut < len(encoded))})
    pieces = [encoded[start:end] for start, end in itertools.pairwise(places)]
    assert decoded([name], pieces) == data


def test_several_encodings_are_decoded_in_reverse_order_and_raw_deflate_is_accepted():
    assert decoded(["gzip", "br"], [brotli.compress(gzip.compress(b"data", mtime=0))]) == b"data"
    assert decoded(["deflate"], [_raw_deflate(b"data" * 99)]) == b"data" * 99
    assert decoded(["identity"], [b"data"]) == decoded([], [b"data"]) == b"data"


def test_an_unknown_encoding_leaves_the_bytes_as_they_are_and_is_reported():
    for encodings, body in ((["odd"], b"data"), (["odd", "gzip"], gzip.compress(b"data", mtime=0))):
        decoder = ContentDecoder(encodings)
        assert b"".join(decoder.feed(body)) == b"data"
        with pytest.raises(DamagedEncoding, match="unknown Content-Encoding"):
            decoder.finish()


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("step", [7, 10**6])
def test_bytes_behind_the_compressed_body_are_reported_and_padding_is_not(name, step):
    encoded = COMPRESSORS[name](b"first half")

    def fed(data: bytes) -> tuple[ContentDecoder, bytes]:
        decoder = ContentDecoder([name])
        pieces = (data[at : at + step] for at in range(0, len(data), step))
        return decoder, b"".join(part for piece in pieces for part in decoder.feed(piece))

    with pytest.raises(DamagedEncoding):
        fed(encoded + b"second half")[0].finish()
    if name in {"gzip", "x-gzip", "deflate"}:
        assert fed(encoded + b"second half")[1] == b"first halfsecond half"
        decoder, data = fed(encoded + bytes(512) + b"\r\n")
        decoder.finish()
        assert data == b"first half"


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_truncated_or_damaged_body_is_reported(name):
    encoded = COMPRESSORS[name](bytes(range(256)) * 40)
    with pytest.raises(DamagedEncoding):
        decoded([name], [encoded[: len(encoded) // 3]])
    with pytest.raises(DamagedEncoding):
        decoded([name], [b"\x00\x11" + encoded, encoded])


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_decompression_bomb_is_decoded_in_small_pieces(name):
    encoded = COMPRESSORS[name](bytes(20_000_000))
    sizes = [len(piece) for piece in ContentDecoder([name]).feed(encoded)]
    assert sum(sizes) == 20_000_000
    assert max(sizes) <= 2**24
