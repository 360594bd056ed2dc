"""The central directory at the end of a zip archive lists its files."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.preview.zip_directory import Directory, find_directory, read_directory
from data.hashing.file_fingerprints import FileEntry

FILES = {"a.csv": b"one", "ordner/Müller.txt": b"", "ordner/b.bin": bytes(5000)}
EXPECTED = [FileEntry(name, len(body), zlib.crc32(body)) for name, body in FILES.items()]


def archive(comment: bytes = b"", before: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.mkdir("ordner")
        for name, body in FILES.items():
            made.writestr(name, body)
        made.comment = comment
    return before + out.getvalue()


def read(whole: bytes, tail: int) -> tuple[list[FileEntry], bool]:
    found = find_directory(whole[-tail:], len(whole))
    assert found is not None
    return read_directory(whole[found.start : found.start + found.size], found.entries)


@pytest.mark.parametrize("tail", [22, 60, 10**6])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n" * 9], ids=["plain", "bytes in front"])
def test_files_are_read_however_many_last_bytes_are_given(tail, before):
    assert read(archive(before=before), tail) == (EXPECTED, True)


def test_a_comment_that_looks_like_an_end_record_is_ignored():
    whole = archive(comment=b"see PK\x05\x06 there")
    assert read(whole, 500) == (EXPECTED, True)


def zip64(size: int) -> bytes:
    """The end of an archive with one file of this size, in the zip64 form for sizes above 4 GiB."""
    extra = struct.pack("<HHQQ", 1, 16, size, size)
    name = b"big.sql"
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\x01\x02", 45, 45, 0, 0, 0, 0, 7, 2**32 - 1, 2**32 - 1, len(name), len(extra), 0, 0, 0, 0, 0
    )
    entry += name + extra
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(entry), size)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, size + len(entry), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    return entry + end64 + locator + end


def test_sizes_over_four_gigabytes_are_read():
    size = 7 * 2**32
    tail = zip64(size)
    found = find_directory(tail, size + len(tail))
    assert found == Directory(size, found.size, 1)
    assert read_directory(tail[: found.size], 1) == ([FileEntry("big.sql", size, 7)], True)


def test_a_checksum_that_encryption_leaves_out_is_none():
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 51, 51, 1, 99, 0, 0, 0, 9, 5, 1, 0, 0, 0, 0, 0, 0) + b"x"
    assert read_directory(entry, 1) == ([FileEntry("x", 5, None)], True)


def test_a_truncated_directory_gives_the_files_before_the_cut():
    whole = archive()
    found = find_directory(whole, len(whole))
    files, complete = read_directory(whole[found.start : found.start + found.size - 5], found.entries)
    assert (files, complete) == (EXPECTED[:-1], False)


@given(st.binary(max_size=300), st.binary(max_size=30))
def test_random_bytes_raise_nothing(some, more):
    for data in (some + b"PK\x05\x06" + more, archive()[-100:] + some):
        if found := find_directory(data, len(data)):
            assert found.start >= 0
            read_directory(data[found.start : found.start + found.size], min(found.entries, 99))
    read_directory(b"PK\x01\x02" + some, 3)
