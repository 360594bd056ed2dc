"""Dumps of pg_dump whose tables are compressed by LZ4 or Zstandard, or are no tables; those of real programs are shapes.

The builds of PostgreSQL at hand lack these two methods, so real dumps without compression are compressed here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from tests.crawler.readers.frames import read

SHAPES = Path(__file__).parents[3] / "samples" / "shapes"
STORED = (SHAPES / "59-pg-custom-stored-16.dump").read_bytes()
# of version 1.15: the method of compression in the header, and the sizes of numbers
METHOD, NONE, LZ4, ZSTD = 11, 0, 2, 3


def number(value: int) -> bytes:
    return b"\0" + struct.pack("<I", value)


def compressed(method: int, compress: Callable[[bytes], bytes], split: int = 700) -> bytes:
    """The stored dump with the data of its first table compressed, in chunks."""
    assert STORED[METHOD] == NONE
    copy = STORED.index(b"1000\tVirecourt") - 5
    parts, at = [], copy
    while size := struct.unpack_from("<I", STORED, at + 1)[0]:
        parts.append(STORED[at + 5 : at + 5 + size])
        at += 5 + size
    data = compress(b"".join(parts))
    chunks = [data[start : start + split] for start in range(0, len(data), split)]
    body = b"".join(number(len(chunk)) + chunk for chunk in chunks)
    return STORED[:METHOD] + bytes([method]) + STORED[METHOD + 1 : copy] + body + number(0)


@pytest.mark.parametrize(
    ("method", "compress"),
    [(LZ4, lambda data: pa.compress(data, "lz4", asbytes=True)), (ZSTD, zstandard.compress)],
    ids=["lz4", "zstd"],
)
def test_tables_compressed_by_newer_methods_are_read_with_their_columns(
    method: int, compress: Callable[[bytes], bytes]
) -> None:
    found = read(compressed(method, compress))
    assert found.all_complete, found.all_problems
    [table] = [table for member in found.walk() for table in member.tables]
    assert table.columns is not None
    assert table.columns[:4] == ["id", "nom", "prenom", "ddn"]
    assert len(table.rows) == 60


def test_an_unknown_method_or_version_is_unread():
    method = read(compressed(9, lambda data: data))
    version = read(STORED[:6] + b"\x63" + STORED[7:])
    for found in (method, version):
        assert not found.all_complete
        assert "unread" in found.problems


def test_a_table_of_contents_beside_its_tables_is_complete_and_says_so():
    found = read((SHAPES / "59-pg-directory-16.zip").read_bytes())
    [contents] = [member for member in found.walk() if member.format == "pg_archive"]
    assert contents.name == "d/toc.dat"
    assert contents.problems == ["beside"]
    assert found.all_complete


@pytest.mark.slow
def test_a_bomb_in_a_table_ends_at_the_ratio():
    bomb = compressed(ZSTD, lambda data: zstandard.compress(bytes(2**27), 19))
    found = read(bomb)
    assert not found.all_complete
    assert "ratio" in found.all_problems
