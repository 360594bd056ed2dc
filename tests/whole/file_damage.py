"""Damage to files: bits that flip, and reading that fails."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest


def flip_bits(files: list[Path]) -> Callable[[], None]:
    """Flip bits of files in place, as a disk that decays does; returns what mends them."""
    places = [(file, at) for file in files for at in places_to_flip(file)]
    databases = [file for file in files if file.suffix == ".db"]
    assert places

    def flip(*, also_databases: bool) -> None:
        for file, at in places:
            if file in databases and not also_databases:
                continue
            with file.open("r+b") as stream:
                stream.seek(at)
                byte = stream.read(1)[0]
                stream.seek(at)
                stream.write(bytes([byte ^ 1]))

    def mend() -> None:
        flip(also_databases=False)
        for file in databases:
            # the page may have been written meanwhile; what was damaged is a copy of the rows
            with contextlib.closing(sqlite3.connect(file)) as db:
                db.execute("reindex finding_copy")

    flip(also_databases=True)
    return mend


def places_to_flip(file: Path) -> list[int]:
    if file.suffix == ".db":
        with contextlib.closing(sqlite3.connect(file)) as db:
            db.execute("reindex finding_copy")
            db.execute("pragma wal_checkpoint(truncate)")
            (size,) = db.execute("pragma page_size").fetchone()
        content = file.read_bytes()
        # on a page of an index, of which the first byte is 10 or 2: the copy of a finding
        found = [match.start() for match in re.finditer(b'"delimited"', content)]
        return [next(at for at in found if content[at - at % size] in {10, 2}) + 1]
    content = file.read_bytes()
    if file.suffix == ".part":
        return list(range(len(content) // 8, len(content), 5))
    if file.suffix == ".toml":
        return [content.index(b"\n[") + 1]
    if file.suffix == ".yaml":
        return [content.index(b"platform")]
    return [len(content) // 2]


def fail_reading(files: list[Path]) -> Callable[[], None]:
    """Put files aside, and in their place links to one whose first byte can be neither read nor written (EIO)."""
    for file in files:
        file.rename(file.with_name(f".{file.name}.aside"))
        file.symlink_to("/proc/self/mem")
    with pytest.raises(OSError, match="Input/output error"):
        files[0].read_bytes()

    def repair() -> None:
        for file in files:
            file.unlink()
            file.with_name(f".{file.name}.aside").rename(file)

    return repair
