"""Verdicts over a matrix of releases and disguises, beside what near-duplicate hashes say of the same files; size and speed.

`--seeds=1,2` and `--sizes=10,50,1000` choose the matrix (100,000 takes minutes); `--records=15000000` the large release (needs 12 GB),
`--population=practices` judges patients of practices instead (`benchmarks.practices`); `--releases=200 --each=1000000` the many, `--bytes=1000,300000` the releases whose bytes are counted. Every number of this page comes from the run itself.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.lineage_bytes import table
from benchmarks.lineage_large import large
from benchmarks.practices import practices
from crawler.examiner.kernel_warmup import warm_up
from crawler.lineage.compared_sample import ComparedSample
from crawler.lineage.lineage import compare_sample
from data.identifiers.normalise_columns import normalise_column
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases
from tests.synth import population as synth
from tests.synth.matrix import DISGUISES, FORMAT_ONLY, Cell, World, cell, forms_of, matrix, tags_of

# AIL takes a paste for a copy of another from this similarity, 100 less the TLSH distance.
AIL_DUPLICATE = 52
# Values of two files in common by which MinHash calls one a copy: the usual threshold of datasketch's own examples.
MINHASH_DUPLICATE = 0.5
KNOWN = {"re-post", "re-packaged", "subset"}
# what a rival sees of a kind of release: the disguises that a thief or a forum makes without effort
RIVAL_DISGUISES = (
    "identical",
    "shuffled",
    "columns reversed",
    "capitals, no accents",
    "no number",
    "1 % typing errors",
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="11,12")
    parser.add_argument("--sizes", default="10,50,1000")
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--releases", type=int, default=200)
    parser.add_argument("--each", type=int, default=5_000)
    parser.add_argument("--bytes", default="1000,10000,300000,1000000")
    parser.add_argument("--population", choices=("matrix", "practices"), default="matrix")
    options = parser.parse_args(arguments)
    warm_up()
    seeds, sizes = ([int(part) for part in text.split(",")] for text in (options.seeds, options.sizes))
    if options.population == "practices":
        practices(seeds)
        return
    verdicts(list(matrix(seeds, sizes)))
    rivals(seeds[0])
    speed()
    large(options.records, seeds[0])
    many(options.releases, options.each)
    table([int(part) for part in options.bytes.split(",")], seeds[0])


# --- the matrix ------------------------------------------------------------------------------------------------------


def verdicts(cells: Sequence[Cell]) -> None:
    print(
        f"{'people':>8} {'cells':>6} {'wrong':>6} {'undecided':>10} {'all columns':>12} {'truth inside':>13} {'false new':>10} {'count error':>12}"
    )
    for size in sorted({each.size for each in cells}):
        part = [each for each in cells if each.size == size]
        open_ = [each for each in part if each.undecided]
        clean = [each for each in part if each.disguise.full and each.disguise.typos <= 0.01 and _is_bar(each)]
        print(
            f"{size:>8,} {len(part):>6} {sum(each.wrong for each in part):>6} {len(open_) / len(part):>10.1%} "
            f"{sum(each.disguise.full for each in open_):>12} {sum(each.inside for each in part) / len(part):>13.1%} "
            f"{sum(max(0, each.error) for each in part if each.disguise.name in FORMAT_ONLY):>10} "
            f"{max(abs(each.miscounted) / each.people for each in clean):>12.3%}"
        )
    for each in cells:
        if each.wrong:
            print(f"WRONG, seed {each.seed}: {each}")
    print(
        f"{len(cells)} cells; count error: the worst of all columns with at most 1 % typing errors, of the unmatched "
        "less those told to be mistyped\n"
    )


def _is_bar(each: Cell) -> bool:
    return each.disguise.name not in {"accents lost to ?", "women renamed", "birth dates a day later"}


# --- rivals ----------------------------------------------------------------------------------------------------------


def rivals(seed: int) -> None:
    """Whether a file holds anything new: ours beside near-duplicate hashes of the same bytes."""
    judges = {"TLSH": _tlsh(), "ssdeep": _ssdeep(), "MinHash": _minhash()}
    right = dict.fromkeys(["Tocsin", *judges], 0)
    hidden = dict.fromkeys(right, 0)
    asked = 0
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, 1000, Path(folder))
        known = [_csv(synth.dump(people)) for people in (world.base.take(slice(0, 20_000)), world.whole, world.other)]
        for kind, truth in world.truths().items():
            if kind == "other people":
                continue
            for disguise in DISGUISES:
                if disguise.name not in RIVAL_DISGUISES:
                    continue
                asked += 1
                has_new = bool(truth.is_new.any())
                found = cell(world, kind, truth, disguise).found
                # what rings: see crawler.alerts.events
                rings = found.new > found.mistyped + 3 * found.mistyped**0.5
                says = {"Tocsin": found.verdict not in KNOWN or rings}
                text = _csv(disguise.change(synth.dump(truth.people, columns=disguise.columns), seed))
                says |= {name: not judge(text, known) for name, judge in judges.items() if judge is not None}
                for name, new in says.items():
                    right[name] += new == has_new
                    hidden[name] += has_new and not new
    print(f"does a file hold anybody new? {asked} files of about 1,000 people")
    print(f"{'':10} {'right':>8} {'new data hidden':>16}")
    for name in right:
        if name != "Tocsin" and judges[name] is None:
            print(f"{name:10} not to be had here: see scripts/system-packages.sh bench and requirements-bench.lock")
        else:
            print(f"{name:10} {right[name] / asked:>8.0%} {hidden[name]:>16}")
    print()


def _csv(table: synth.Dump) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";")
    writer.writerow(table)
    writer.writerows(synth.rows_of(table))
    return out.getvalue().encode()


Judge = Callable[[bytes, list[bytes]], bool]


def _tlsh() -> Judge | None:
    """Debian's TLSH, in Debian's own Python."""
    script = (
        "import sys, tlsh\nparts = [open(p, 'rb').read() for p in sys.argv[1:]]\nmine = tlsh.hash(parts[0])\n"
        "print(min(tlsh.diffxlen(mine, tlsh.hash(each)) for each in parts[1:]))"
    )
    if subprocess.run(["/usr/bin/python3", "-c", "import tlsh"], check=False, capture_output=True).returncode:
        return None

    def judge(text: bytes, known: list[bytes]) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / str(number) for number in range(len(known) + 1)]
            for path, content in zip(paths, [text, *known], strict=True):
                path.write_bytes(content)
            done = subprocess.run(["/usr/bin/python3", "-c", script, *map(str, paths)], check=True, capture_output=True)
        return 100 - min(100, int(done.stdout)) >= AIL_DUPLICATE

    return judge


def _ssdeep() -> Judge | None:
    try:
        import ppdeep
    except ImportError:
        return None
    kept: dict[int, str] = {}

    def hashed(content: bytes) -> str:
        if id(content) not in kept:
            kept[id(content)] = ppdeep.hash(content)
        return kept[id(content)]

    return lambda text, known: any(ppdeep.compare(ppdeep.hash(text), hashed(each)) > 0 for each in known)


def _minhash() -> Judge | None:
    try:
        from datasketch import MinHash
    except ImportError:
        return None
    kept: dict[int, MinHash] = {}

    def sketch(content: bytes) -> MinHash:
        made = MinHash(num_perm=128)
        made.update_batch(list(set(content.replace(b"\n", b";").split(b";"))))
        return made

    def judge(text: bytes, known: list[bytes]) -> bool:
        mine = sketch(text)
        for each in known:
            if id(each) not in kept:
                kept[id(each)] = sketch(each)
        return any(mine.jaccard(kept[id(each)]) >= MINHASH_DUPLICATE for each in known)

    return judge


# --- speed and size --------------------------------------------------------------------------------------------------


def speed(rows: int = 200_000) -> None:
    """Lineage of full rows: normal forms, keys, look-up and verdict, one core."""
    people = synth.crowd(5, 2 * rows)
    with tempfile.TemporaryDirectory() as name:
        builder = ReleaseBuilder("base")
        builder.add(*tags_of(forms_of(synth.dump(people.take(slice(0, rows))))))
        builder.write(Path(name), {})
        releases = KnownReleases.open(Path(name))
        table = synth.dump(people.take(slice(rows // 2, rows // 2 + rows)))
        columns = {role: synth.packed(column) for role, column in table.items()}
        best = {"forms and keys": float("inf"), "look-up and verdict": float("inf")}
        for _ in range(3):
            began = time.process_time()
            keys, values = tags_of({role: _normal(role, column) for role, column in columns.items()})
            middle = time.process_time()
            compare_sample(ComparedSample(keys, values, has_hits=False), releases)
            end = time.process_time()
            for part, seconds in (("forms and keys", middle - began), ("look-up and verdict", end - middle)):
                best[part] = min(best[part], seconds)
    for part, seconds in best.items():
        print(f"{part:22} {rows / seconds / 1e6:6.2f} M rows/s")
    print(f"{'lineage of full rows':22} {rows / sum(best.values()) / 1e6:6.2f} M rows/s of one core\n")


def _normal(role: str, column: synth.Packed) -> synth.Packed:

    return normalise_column(role, column)


def many(count: int, each: int) -> None:
    """Many releases: seconds to open them, milliseconds to find those that explain a sample."""
    dice = np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as name:
        kept = []
        began = time.perf_counter()
        for number in range(count):
            keys = dice.integers(1, 2**64, (each, 6), np.uint64)
            builder = ReleaseBuilder(f"r{number}")
            builder.add(keys, {})
            builder.write(Path(name), {})
            if number in {3, count // 2}:
                kept.append(keys)
        print(f"{count} releases of {each:,} records, one after another: {time.perf_counter() - began:.1f} s")
        began = time.perf_counter()
        releases = KnownReleases.open(Path(name))
        print(f"opened in {time.perf_counter() - began:.2f} s")
        sample = np.concatenate([kept[0][: each // 2], kept[1][: each // 2]])
        seen = releases.find_known_keys(sample)
        began = time.perf_counter()
        releases.rank_candidates(sample, seen)
        first = time.perf_counter() - began
        began = time.perf_counter()
        ranked = releases.rank_candidates(sample, seen)
        later = time.perf_counter() - began
        names = sorted(release.id for release, _ in ranked[:2])
        print(
            f"{count} releases triaged in {1000 * later:.0f} ms (the first time {1000 * first:.0f} ms, the index is made then): {', '.join(names)}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
