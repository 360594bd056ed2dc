"""The verdict matrix at the size of a large release, for a few kinds and disguises; its time, size and memory.

Everybody is made from a seed. The release is read in parts, as the examiner reads a file.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crawler.lineage.compared_sample import ComparedSample
from crawler.lineage.lineage import compare_sample
from crawler.lineage.typo_search import TypoSearch
from data.hashing.tags import Kind
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases
from data.releases.people import rows_with_key
from tests.synth import population as synth
from tests.synth.matrix import (
    DISGUISES,
    KEY,
    Cell,
    Disguise,
    Truth,
    forms_of,
    read_tables,
    right_verdicts,
    tags_of,
)
from tests.synth.population import Crowd, Dump

# Rows that are read at once.
STEP = 500_000
# Samples other than the release itself have at most so many people.
SAMPLE = 100_000
# all of the release again is judged in the first two
_CHOSEN = ("identical", "1 % typing errors", "no number", "capitals, no accents", "name and birth only")
_WHOLE = 2


def large(records: int, seed: int) -> None:
    """Register one large release, and judge samples beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = max(100, min(SAMPLE, records // 5))
        base, unseen = _people(seed, records, 3 * size)
        _register(base, folder)
        releases = KnownReleases.open(folder)
        cells = [
            _judged(truth, kind, disguise, seed, releases)
            for kind, truth in _truths(base, unseen, size, seed).items()
            for disguise in _disguises(kind)
        ]
    wrong, open_ = sum(each.wrong for each in cells), sum(each.undecided for each in cells)
    inside = sum(each.inside for each in cells)
    print("(seconds: read, and judged)")
    print(f"{len(cells)} cells beside {records:,} people: {wrong} wrong, {open_} undecided, truth inside in {inside}")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB\n")


def _people(seed: int, records: int, others: int) -> tuple[Crowd, Crowd]:
    everybody = synth.crowd(seed, records + others)
    # by practices, as in the small matrix
    everybody = everybody.take(np.argsort(everybody.practice, kind="stable"))
    return everybody.take(slice(0, records)), everybody.take(slice(records, None))


def _register(base: Crowd, folder: Path) -> None:
    builder = ReleaseBuilder("large")
    began = time.perf_counter()
    reading = 0.0
    for table in _tables(base, DISGUISES[0], 0):
        start = time.perf_counter()
        builder.add(*tags_of(forms_of(table)))
        reading += time.perf_counter() - start
    made = time.perf_counter() - began - reading
    began = time.perf_counter()
    builder.write(folder, {})
    writing = time.perf_counter() - began
    release = folder / "large"
    sets = sum((release / f"{kind.word}.tags").stat().st_size for kind in Kind if kind >= Kind.NAME_DOB)
    whole = sum(path.stat().st_size for path in release.rglob("*.tags"))
    print(
        f"a release of {len(base):,} records (text made in {made:.0f} s): normal forms and keys {reading:.1f} s, "
        f"written in {writing:.1f} s, together {reading + writing:.1f} s\n"
        f"{sets / len(base):.2f} bytes a record for six keys, {whole / len(base):.2f} in all"
    )


def _truths(base: Crowd, unseen: Crowd, size: int, seed: int) -> dict[str, Truth]:
    dice = np.random.default_rng([seed, 85])
    half, few = size // 2, max(1, size // 20)

    def known(count: int) -> Crowd:
        return base.take(dice.choice(len(base), count, replace=False))

    def truth(old: Crowd, new: Crowd, verdict: str, *, hits: bool = False) -> Truth:
        return Truth(old + new, np.repeat([False, True], [len(old), len(new)]), (verdict,), hits)

    nobody = base.take(slice(0, 0))
    return {
        "the same again": truth(base, nobody, "re-post"),
        "all and one more": truth(base, unseen.take(slice(0, 1)), "superset"),
        "a part of it": truth(known(size), nobody, "subset"),
        "a part and one more": truth(known(size), unseen.take(slice(1, 2)), "overlap"),
        "half of it new": truth(known(half), unseen.take(slice(0, half)), "overlap"),
        "mostly new": truth(known(few), unseen.take(slice(0, size)), "overlap"),
        "all new, with canaries": truth(nobody, unseen.take(slice(0, size)), "new", hits=True),
        "other people": truth(nobody, synth.crowd(seed + 50_000, size), "unrelated"),
        "filled up with invented people": truth(known(half), synth.recombined(known(size), half), "padded"),
    }


def _disguises(kind: str) -> list[Disguise]:
    chosen = _CHOSEN[:_WHOLE] if kind in {"the same again", "all and one more"} else _CHOSEN
    return [disguise for name in chosen for disguise in DISGUISES if disguise.name == name]


def _judged(truth: Truth, kind: str, disguise: Disguise, seed: int, releases: KnownReleases) -> Cell:
    began = time.perf_counter()
    read = read_tables(releases, _tables(truth.people, disguise, seed))
    middle = time.perf_counter()
    search = TypoSearch(KEY, read.uncertain, releases.contains)
    sample = ComparedSample(read.keys, read.values, has_hits=truth.hits, held=read.seen, typo_search=search)
    found = compare_sample(sample, releases)
    seconds = time.perf_counter() - middle
    keyed = rows_with_key(read.keys)
    right = right_verdicts(truth, disguise, keyed)
    if disguise.noisy and kind == "a part and one more":
        # one new person among known ones who look new: said within the interval, in either verdict
        right = (*right, "subset")
    cell = Cell(
        kind, disguise, len(truth.people), seed, found, right,
        len(np.flatnonzero(keyed)), int((truth.is_new & keyed).sum()), seconds,
    )  # fmt: skip
    print(
        f"{len(truth.people):>10,} {kind:31} {disguise.name:21} {'WRONG ' if cell.wrong else ''}{found.verdict:10} "
        f"new {found.new:,} of {cell.new:,} in {found.interval}, {middle - began:.1f} + {seconds:.1f} s",
        flush=True,
    )
    return cell


def _tables(people: Crowd, disguise: Disguise, seed: int) -> Iterator[Dump]:
    for number, begin in enumerate(range(0, len(people), STEP)):
        part = people.take(slice(begin, begin + STEP))
        table = synth.dump(part, dates=disguise.dates, columns=disguise.columns)
        yield disguise.change(table, seed + number)
