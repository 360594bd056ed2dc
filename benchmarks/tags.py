"""Speed of normal forms, tags, digests, record keys and look-ups, on one core, beside plain Python and numpy."""

from __future__ import annotations

import hashlib
import hmac
import random
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from crawler.examiner.kernel_warmup import warm_up_tags
from data.arrays.packed import Packed
from data.hashing import case_keys, tags
from data.hashing.tags import Kind
from data.identifiers import normalise
from data.identifiers.normalise_columns import normalise_column
from data.tagsets.tagset import TagSet

KEYS = case_keys.MatchKey(bytes(range(32))).derive()
ROWS = 1_000_000
# plain Python runs on a part of the rows, and is reported per row
PART = 50_000
SIX = ("first", "surname", "dob", "nir", "email", "phone")


def people(rows: int) -> dict[str, list[str]]:
    """Columns as they stand in French exports."""
    draw = random.Random(1)
    firsts = ("Jean-Pierre", "Élodie", "MARIE", "Zoé", "François", "paul", "Anne Sophie", "Léa", "Hugo", "Chloé")
    surnames = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyzé", k=8)).upper() for _ in range(rows // 10)]
    digits = [f"{draw.randrange(10**9):09}" for _ in range(rows)]
    return {
        "first": draw.choices(firsts, k=rows),
        "surname": draw.choices(surnames, k=rows),
        "dob": [f"{1 + int(d[:2]) % 28:02}/{1 + int(d[2:4]) % 12:02}/{1920 + int(d[4:6])}" for d in digits],
        "nir": [f"{1 + int(d[0]) % 2} {d[1:3]} {1 + int(d[3:5]) % 12:02} 75 {d[5:8]} {d[:3]}" for d in digits],
        "email": [f"{name}.{d}@exemple.fr" for name, d in zip(draw.choices(surnames, k=rows), digits, strict=True)],
        "phone": [f"06 {d[:2]} {d[2:4]} {d[4:6]} {d[6:8]}" for d in digits],
    }


def seconds(run: Callable[[], Any], repeats: int = 3) -> float:
    """The best of a few runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def line(what: str, count: int, ours: float, rival: str, rival_count: int, theirs: float) -> None:
    """One row of the table: both rates in millions a second, and how many times faster we are."""
    mine, other = count / ours / 1e6, rival_count / theirs / 1e6
    print(f"{what:<34} {mine:8.2f} M/s   {rival:<34} {other:8.2f} M/s   x{mine / other:.1f}", flush=True)


def main() -> None:
    """Print the table."""
    warm_up_tags()
    people_columns = people(ROWS)
    for kind, cells in people_columns.items():
        ours = seconds(lambda kind=kind, cells=cells: normalise_column(kind, cells), 2)
        theirs = seconds(lambda kind=kind, cells=cells: [normalise.normalise(kind, cell) for cell in cells[:PART]], 1)
        line(f"normalise_column {kind}", ROWS, ours, "one by one", PART, theirs)
    packed = {kind: normalise_column(kind, people_columns[kind]) for kind in SIX}
    ours = seconds(lambda: [normalise_column(kind, people_columns[kind]) for kind in SIX], 1)
    theirs = seconds(lambda: [normalise.normalise(kind, c) for kind in SIX for c in people_columns[kind][:PART]], 1)
    line("normalise, rows of six fields", ROWS, ours, "one by one", PART, theirs)

    nirs = packed["nir"]
    items = nirs.to_list()[:PART]
    ours = seconds(lambda: tags.probe_tags(KEYS.probe, Kind.NIR, nirs))
    theirs = seconds(lambda: [hashlib.blake2b(b"\x03" + i, digest_size=8, key=KEYS.probe).digest() for i in items])
    line("probe tags", ROWS, ours, "hashlib.blake2b, keyed, 8 bytes", PART, theirs)
    ours = seconds(lambda: tags.confirm_digests(KEYS.confirm, Kind.NIR, nirs))
    theirs = seconds(lambda: [hmac.digest(KEYS.confirm, b"\x03" + item, "sha256")[:16] for item in items])
    line("confirm digests", ROWS, ours, "hmac.digest", PART, theirs)
    ours = seconds(lambda: tags.record_keys(KEYS.probe, **packed))
    theirs = seconds(lambda: single_record_keys(packed, 2000), 1)
    line("rows to six record keys", ROWS, ours, "one by one", 2000, theirs)
    look_ups()


def single_record_keys(packed: dict[str, Packed], rows: int) -> list[list[int]]:
    """What `record_keys` does, with the functions for single values."""
    people_inputs = (tags.record_inputs(**{kind: packed[kind].item(row) for kind in SIX}) for row in range(rows))
    return [[tags.probe_tag(KEYS.probe, kind, value) for kind, value in inputs] for inputs in people_inputs]


def python_set(members: list[int], asked: list[int]) -> float:
    """Seconds of looking up in a set of integers."""
    known = set(members)
    return seconds(lambda: [tag in known for tag in asked])


def look_ups() -> None:
    """A million look-ups that miss, which is what a dump is made of."""
    draw = np.random.default_rng(1)
    asked = draw.integers(1, 2**64, ROWS, np.uint64)
    with TemporaryDirectory() as folder:
        for count in (10**6, 10**7):
            members = draw.integers(1, 2**64, count, np.uint64)
            build = seconds(lambda members=members: TagSet.build(members), 1)
            theirs = seconds(lambda members=members: np.sort(members), 1)
            line(f"build a set of {count / 1e6:.0f} M", count, build, "numpy.sort alone", count, theirs)
            path = Path(folder) / "set.tags"
            TagSet.build(members).save(path)
            opening = seconds(lambda path=path: TagSet.open(path))
            opened, ordered = TagSet.open(path), np.sort(members)
            ours = seconds(lambda opened=opened: opened.lookup(asked))
            theirs = seconds(lambda ordered=ordered: np.searchsorted(ordered, asked), 1)
            line(f"look-ups in {count / 1e6:.0f} M", ROWS, ours, "numpy.searchsorted", ROWS, theirs)
            if count == 10**6:
                theirs = python_set(members.tolist(), asked.tolist())
                line(f"look-ups in {count / 1e6:.0f} M", ROWS, ours, "Python set", ROWS, theirs)
            print(f"{'':<34} {opened.nbytes / count:.2f} bytes a tag (numpy: 8), opened in {opening * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
