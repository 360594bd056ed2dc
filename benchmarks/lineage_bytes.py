"""Bytes that releases of several sizes take on the disk: sets of keys and values, what is fixed, and the union of two."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.hashing.tags import RECORD_KINDS
from data.releases.builder import ReleaseBuilder
from data.releases.merged_sets import MERGED_FOLDER
from tests.synth import population as synth
from tests.synth.matrix import forms_of, tags_of

STEP = 500_000


def table(sizes: Sequence[int], seed: int) -> None:
    """Print one row for each size: two releases of so many records, of different people."""
    print("bytes a record of a release, and of the union of two such (`disk`: whole blocks of the file system)")
    print(
        f"{'records':>12} {'keys a rec.':>11} {'six sets':>9} {'values':>8} {'rest':>8} {'disk':>8} {'union':>8} {'bits cut':>9}"
    )
    for size in sizes:
        people = synth.crowd(seed, 2 * size)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for number in range(2):
                builder = ReleaseBuilder(f"part-{number}")
                for begin in range(number * size, (number + 1) * size, STEP):
                    some = people.take(slice(begin, min(begin + STEP, (number + 1) * size)))
                    builder.add(*tags_of(forms_of(synth.dump(some))))
                manifest = builder.write(folder, {})
            release = folder / "part-0"
            sets = _bytes(release / f"{kind.word}.tags" for kind in RECORD_KINDS)
            values = _bytes((release / "values").iterdir())
            whole = _bytes(path for path in release.rglob("*") if path.is_file())
            union = _bytes(path for path in (folder / MERGED_FOLDER).rglob("*") if path.is_file())
            blocks = sum(512 * path.stat().st_blocks for path in [release, *release.rglob("*")])
        keys = sum(manifest["sets"].values()) / size
        print(
            f"{size:>12,} {keys:>11.2f} {sets / size:>9.2f} {values / size:>8.2f} {(whole - sets - values) / size:>8.2f} "
            f"{blocks / size:>8.2f} {union / 2 / size:>8.2f} {'/'.join(map(str, manifest['cuts'])):>9}",
            flush=True,
        )
    print()


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)
