"""Tables that are kept: loaded where they are whole, made where they are not."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from data.identifiers.table_cache import kept

TABLE = np.arange(5, dtype=np.uint32)


def never() -> np.ndarray:
    raise AssertionError("it was to be loaded")


def test_a_table_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert np.array_equal(kept("t", TABLE.copy), TABLE)
    loaded = kept("t", never)
    assert np.array_equal(loaded, TABLE)
    assert loaded.dtype == TABLE.dtype
    # another kind of array would have every kernel compiled once more
    assert loaded.flags.writeable
    assert loaded.flags.c_contiguous


@pytest.mark.parametrize("damage", [b"", b"x", b"\x93NUMPY\x01\x00", None])
def test_a_table_that_is_not_whole_is_made_anew(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    kept("t", TABLE.copy)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-3] if damage is None else damage)
    assert np.array_equal(kept("t", TABLE.copy), TABLE)
    assert np.array_equal(kept("t", never), TABLE)


def test_a_table_that_cannot_be_kept_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "gone"))
    assert np.array_equal(kept("t", TABLE.copy), TABLE)


def test_a_disk_that_is_full_keeps_nothing_of_a_table(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    assert np.array_equal(kept("t", TABLE.copy), TABLE)
    assert list(tmp_path.iterdir()) == []
