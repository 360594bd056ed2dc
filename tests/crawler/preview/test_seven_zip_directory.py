"""Headers of 7z archives: as libarchive writes them, built by hand, and damaged."""

from __future__ import annotations

import random
import struct
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.preview.seven_zip_directory import HEAD, compressed_header, decompress_header, find_header, read_header
from data.errors import InputError
from data.hashing.file_fingerprints import FileEntry
from tests.synth import archives

MEMBERS = [
    *((f"DUPONT Jean {at}.csv", random.Random(at).randbytes(700 + at)) for at in range(30)),
    ("Béa/légende 漢.txt", b"abc"),
    ("empty.txt", b""),
]


def header_of(data: bytes) -> bytes:
    location = find_header(data[:HEAD], len(data))
    assert location is not None
    header = data[location.start : location.start + location.size]
    assert location.holds(header)
    return header


def files_of(data: bytes) -> list[FileEntry]:
    header = header_of(data)
    inner = compressed_header(header)
    if inner is not None:
        header = decompress_header(inner, data[inner.location.start : inner.location.start + inner.location.size])
    return read_header(header)


def with_header(header: bytes, streams: bytes = b"") -> bytes:
    start = struct.pack("<QQI", len(streams), len(header), crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", crc32(start)) + start + streams + header


def encoded(compressed: bytes, size: int, method: bytes, properties: bytes = b"") -> bytes:
    """A header that describes another one, which is compressed; all sizes are below 128."""
    flags = len(method) | (0x20 if properties else 0)
    coder = bytes([flags]) + method + (bytes([len(properties)]) + properties if properties else b"")
    return (
        b"\x17\x06\0\1\x09" + bytes([len(compressed)]) + b"\0\x07\x0b\1\0\1" + coder + b"\x0c" + bytes([size]) + b"\0\0"
    )


@pytest.mark.parametrize("compression", ["lzma1", "lzma2", "bzip2", "deflate", "ppmd", "store"])
def test_names_sizes_and_checksums_are_those_of_the_files(compression: str) -> None:
    found = files_of(archives.written("7zip", MEMBERS, compression=compression))
    assert sorted((each.name, each.size, each.crc) for each in found) == sorted(
        (name, len(data), crc32(data) if data else None) for name, data in MEMBERS
    )


def test_a_header_that_is_not_compressed_is_read() -> None:
    table = b"nom;prenom\n" * 9
    whole = archives.seven_zip("people.csv", table, len(table), b"\0", b"", crc32(table))
    assert files_of(whole) == [FileEntry("people.csv", len(table), crc32(table))]


def test_a_stored_header_is_read_and_an_unknown_compression_is_reported() -> None:
    plain = header_of(archives.seven_zip("a.csv", b"abc", 3, b"\0", b""))
    assert files_of(with_header(encoded(plain, len(plain), b"\0"), plain)) == [FileEntry("a.csv", 3)]
    with pytest.raises(InputError, match="not supported here"):
        files_of(with_header(encoded(plain, len(plain), b"\4\1\x08"), plain))


def test_an_encrypted_header_is_recognised_as_locked() -> None:
    inner = compressed_header(header_of(archives.seven_zip_locked()))
    assert inner is not None
    assert inner.locked


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"PK" + data[2:],
        lambda data: data[:31],
        lambda data: data[:20] + b"\xff" + data[21:],
        # the header would be behind the end of the file
        lambda data: with_header(b"")[:HEAD],
    ],
)
def test_bytes_that_do_not_begin_as_a_7z_archive_have_no_header(change) -> None:
    data = change(archives.written("7zip", MEMBERS))
    assert find_header(data[:HEAD], len(data)) is None


def test_a_header_that_claims_more_than_there_is_costs_no_memory() -> None:
    huge = b"\xff" + struct.pack("<Q", 2**62)
    for header in (
        b"\1\5" + huge,
        b"\1\4\6\0" + huge,
        b"\1\4\7\x0b" + huge,
        b"\1\4\7\x0b\1\0\1\1\0\x0c\5\0\x08\x0d" + huge,
        b"\1\4\7\x0b\1\0\1\1\0\x0c\5\0\x08\x0d\2\x09" + huge + b"\0\0\0",
    ):
        with pytest.raises(InputError):
            read_header(header)
    # decompressed sizes are accepted up to 16 MiB
    with pytest.raises(InputError, match="not supported here"):
        compressed_header(b"\x17\x06\0\1\x09\5\0\x07\x0b\1\0\1\x21\x21\1\x28\x0c" + huge + b"\0\0")


_WHOLE = {kind: archives.written("7zip", MEMBERS[:5], compression=kind) for kind in ("lzma1", "store")}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_damage_raises_anything_but_our_error(data: st.DataObject) -> None:
    whole = _WHOLE[data.draw(st.sampled_from(["lzma1", "store"]))]
    header = bytearray(header_of(whole))
    inner = compressed_header(bytes(header))
    if inner is not None and data.draw(st.booleans()):
        header = bytearray(decompress_header(inner, whole[inner.location.start :][: inner.location.size]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(header) - 1))
        header[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        inner = compressed_header(bytes(header))
        if inner is None:
            read_header(bytes(header))
        elif not inner.locked:
            decompress_header(inner, whole[inner.location.start :][: inner.location.size])
    except InputError:
        pass
