"""Limits on everything inside a sample: decompression bombs end by themselves, and files beside them are read."""

from __future__ import annotations

import gzip
import random

import pytest

from crawler.readers.core.limits import ENTRY_FLOORS, TREE_FLOORS
from tests.crawler.readers.frames import Member, read
from tests.synth import archives
from tests.synth.hostile import make_zip

ROWS = [["nom", "prenom", "naissance", "ville"], *([f"Martin{i}", "Paul", "1970-01-01", "Lyon"] for i in range(300))]
TABLE = "".join(";".join(row) + "\n" for row in ROWS).encode()


def _tree(levels: int) -> bytes:
    """A zip of 16 zips of 16 zips and so on; none of the innermost files is a bomb by itself."""
    inner = make_zip({"zeros.bin": bytes(3_000_000)})
    for _ in range(levels):
        inner = make_zip([(f"{number}.zip", inner) for number in range(16)])
    return inner


def _decompressed(found: Member) -> int:
    return sum(len(member.raw) for member in found.walk())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zip", "tar pax", "zip in a zip", "rar5"])
def test_a_tree_of_small_bombs_is_ended_and_the_next_member_is_read(name: str) -> None:
    tree = _tree(3)
    data = {
        "zip": lambda: make_zip([("tree.zip", tree), ("table.csv", TABLE)]),
        "tar pax": lambda: archives.tar([("tree.zip", tree), ("table.csv", TABLE)]),
        "zip in a zip": lambda: make_zip([("a.zip", make_zip([("tree.zip", tree), ("table.csv", TABLE)]))]),
        "rar5": lambda: archives.rar5([("tree.zip", tree), ("table.csv", TABLE)]),
    }[name]()
    found = read(data)
    [table] = [member for member in found.walk() if member.name == "table.csv"]
    assert table.rows == ROWS
    assert table.all_complete
    # most of the 4,096 files of 3 MB in the tree were not decompressed
    assert _decompressed(found) < 2 * TREE_FLOORS[1]
    [whole] = [member for member in found.walk() if member.name == "tree.zip"]
    assert "ratio" in whole.problems
    assert len(whole.raw) == whole.bytes == len(tree), "the bytes of the tree itself are examined"
    for member in found.walk():
        assert member.complete or {"ratio", "limit"} & set(member.problems)
    assert "limit" not in found.problems


@pytest.mark.slow
def test_a_tree_of_very_many_members_is_ended_and_the_next_member_is_read() -> None:
    """A tree of 16 million files in 2 kB."""
    inner = make_zip({"a.txt": b"x"})
    for _ in range(6):
        inner = make_zip([(f"{number}.zip", inner) for number in range(16)])
    found = read(make_zip([("tree.zip", inner), ("table.csv", TABLE)]))
    assert sum(1 for _ in found.walk()) < 100_000
    assert "ratio" in found.members[0].problems
    assert found.members[1].rows == ROWS
    assert "limit" not in found.problems


@pytest.mark.slow
def test_all_members_of_a_large_archive_are_read() -> None:
    names = [f"{number:05}" for number in range(2 * ENTRY_FLOORS[1])]
    found = read(gzip.compress(archives.tar([(name, b"") for name in names]), mtime=0))
    assert [member.name for member in found.members[0].members] == names
    assert found.all_complete


@pytest.mark.slow
def test_many_trees_of_bombs_end_the_sample_with_a_problem() -> None:
    tree = _tree(2)
    found = read(make_zip([(f"{number}.zip", tree) for number in range(40)]))
    assert "limit" in found.problems
    assert not found.complete
    assert _decompressed(found) < 1.1 * TREE_FLOORS[0]


@pytest.mark.slow
def test_a_file_with_a_high_compression_ratio_is_read_completely() -> None:
    """A log of 40 MB in some 200 kB, in three layers: it is far larger than the sample, but no bomb."""
    generator = random.Random(1)
    log = b"".join(b"2024-05-02 %08x INFO nothing happened\n" % generator.getrandbits(32) * 100 for _ in range(10_000))
    found = read(make_zip({"all.tar.gz": gzip.compress(archives.tar([("a.log", log), ("table.csv", TABLE)]), mtime=0)}))
    assert found.all_complete
    assert not found.all_problems
    assert [member.rows for member in found.walk() if member.name == "table.csv"] == [ROWS]
