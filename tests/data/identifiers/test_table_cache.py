"""Cached tables are loaded from their file, and made again when it is absent or damaged."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from data.identifiers.table_cache import cached_table

TABLE = np.arange(5, dtype=np.uint32)


def must_not_be_called() -> np.ndarray:
    raise AssertionError("the table should have been loaded from its file")


def test_a_table_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert np.array_equal(cached_table("t", TABLE.copy), TABLE)
    loaded = cached_table("t", must_not_be_called)
    assert np.array_equal(loaded, TABLE)
    assert loaded.dtype == TABLE.dtype
    # for a read-only or strided array numba would compile every kernel a second time
    assert loaded.flags.writeable
    assert loaded.flags.c_contiguous


@pytest.mark.parametrize("damage", [b"", b"x", b"\x93NUMPY\x01\x00", None])
def test_a_damaged_table_file_is_replaced(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    cached_table("t", TABLE.copy)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-3] if damage is None else damage)
    assert np.array_equal(cached_table("t", TABLE.copy), TABLE)
    assert np.array_equal(cached_table("t", must_not_be_called), TABLE)


def test_a_table_is_made_when_the_cache_folder_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "gone"))
    assert np.array_equal(cached_table("t", TABLE.copy), TABLE)


def test_no_partial_file_is_left_on_a_full_disk(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    assert np.array_equal(cached_table("t", TABLE.copy), TABLE)
    assert list(tmp_path.iterdir()) == []
