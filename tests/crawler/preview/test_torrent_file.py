"""Torrent files list the files that they describe."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.preview.torrent_file import read_torrent
from data.errors import InputError
from data.hashing.file_fingerprints import FileEntry


def bencode(value: Any) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(each) for pair in sorted(value.items()) for each in pair) + b"e"


V2 = {b"a.csv": {b"": {b"length": 5}}, b"d": {b"b.sql": {b"": {b"length": 7, b"pieces root": b"r" * 32}}}}
MANY = [
    {b"length": 5, b"path": [b"a.csv"]},
    {b"length": 99, b"path": [b".pad", b"99"], b"attr": b"p"},
    {b"length": 7, b"path": [b"d", b"b.sql"]},
]


@pytest.mark.parametrize(
    ("info", "files"),
    [
        ({b"name": b"one.zip", b"length": 9, b"pieces": b"x" * 20}, [FileEntry("one.zip", 9)]),
        ({b"name": b"n", b"files": MANY}, [FileEntry("a.csv", 5), FileEntry("d/b.sql", 7)]),
        ({b"name": b"n", b"meta version": 2, b"file tree": V2}, [FileEntry("a.csv", 5), FileEntry("d/b.sql", 7)]),
        ({b"name": b"n", b"files": MANY, b"file tree": V2}, [FileEntry("a.csv", 5), FileEntry("d/b.sql", 7)]),
    ],
    ids=["one file", "version 1", "version 2", "both"],
)
def test_files_are_read(info, files):
    assert read_torrent(bencode({b"announce": b"http://x/", b"info": info})) == files


@pytest.mark.parametrize(
    "data",
    [
        b"", b"d", b"le", b"i5e", b"d4:infoi1ee", b"99:x", b"d4:infod4:name", b"l" * 100_000, b"di1ei2ee",
        bencode({b"info": {b"name": b"x"}}), bencode({b"info": {b"name": b"x", b"length": -1}}),
        bencode({b"info": {b"name": b"x", b"length": 1}}) + b"rest",
    ],
    ids=str,
)  # fmt: skip
def test_data_that_is_not_a_torrent_is_refused(data):
    with pytest.raises(InputError):
        read_torrent(data)


@given(st.binary(max_size=60))
def test_random_bytes_raise_only_our_error(data):
    for each in (data, b"d4:infod" + data + b"ee"):
        with contextlib.suppress(InputError):
            read_torrent(each)
