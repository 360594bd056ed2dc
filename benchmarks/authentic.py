"""Is a sample genuine? How well the answer tells genuine samples from shuffled, invented and filled-up ones.

`--seeds=1,2` `--sizes=10,50,200` `--people=100000` `--each=40`: so many samples of each kind, size and seed. Per size: the area under the curve
(AUC) of the weight, alarms on genuine samples, and the answers by kind. `--alarms=3600` counts alarms alone. Data that a careful forger makes, and data that is new as a whole, are no
part of the AUC: nothing in a sample tells these two from each other.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.authentic_people import COLUMNS, People, Row, half_columns, invented, recombined, shuffled, worn
from crawler.examiner.hits import HitConfirmer
from crawler.examiner.record_pass import RecordPass
from crawler.examiner.sample import SampleMember
from crawler.lineage.probability import share_bounds
from crawler.matching.byte_scanner import ByteScanner
from crawler.matching.canary_numbers import CanaryNumbers
from crawler.matching.watchlist_match import HitCollector
from crawler.records.row_batch import RowBatch
from data.case.watchlist import Watchlist
from data.model import Authenticity, Lineage
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases

KEY = bytes(range(16))
NAMES = ("nom", "prenom", "ddn")
Make = Callable[["World", int], list[Row]]


class World:
    """A release, people who are not in it, and the samples that are made of both."""

    def __init__(self, folder: Path, seed: int, people: int) -> None:
        self.people = People(seed)
        self.known = list(self.people.fill(people))
        self.parents = list(self.people.parents)
        self.new = list(self.people.fill(people // 10))
        self.people.parents = self.parents
        self.dice = np.random.default_rng([seed, 99])
        self.watchlist = Watchlist.open(folder / "watchlist", case="")
        self.numbers = CanaryNumbers(self.watchlist)
        self.releases = KnownReleases.open(folder / "releases")
        builder = ReleaseBuilder("known")
        self.read(self.known, COLUMNS, collects=True).add_to_release(builder)
        builder.write(folder / "releases", {"name": "known"})
        self.releases = KnownReleases.open(folder / "releases")

    def read(self, rows: Sequence[Row], columns: Sequence[str], *, collects: bool = False) -> RecordPass:
        found = RecordPass(
            KEY, self.watchlist, self.releases, None, HitConfirmer(self.numbers, bytes(32)), collects=collects
        )
        member = SampleMember(
            "sample", "delimited", HitCollector(self.numbers, bytes(32)),
            ByteScanner(KEY, self.watchlist.probe_values, tokens=False), hashlib.sha256(),
        )  # fmt: skip
        member.begin_table(list(columns))
        found.add_rows(member, RowBatch.of([[row[name] for name in columns] for row in rows]), (member,))
        found.end_text(member, (member,))
        return found

    def judge(self, rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> Lineage:
        found = self.read(rows, columns).lineage(has_hits=False)
        assert found is not None
        return found

    def some(self, count: int, *, new: bool = False) -> list[Row]:
        rows = self.new if new else self.known
        return [rows[at] for at in self.dice.choice(len(rows), count, replace=False)]

    def number(self) -> int:
        return int(self.dice.integers(2**31))


def _careful(world: World, count: int) -> list[Row]:
    """As somebody invents people who knows what is looked at: another population, with its own numbers."""
    return People(world.number()).fill(count)[:count]


GENUINE: dict[str, Make] = {
    "a part of the release": lambda w, n: w.some(n),
    "a later state of a part": lambda w, n: worn(w.some(n), w.people),
    "half known, half new": lambda w, n: w.some(n - n // 2) + w.some(n // 2, new=True),
    "half known, half their new children": lambda w, n: w.some(n - n // 2) + w.people.new_children(n // 2),
}
FORGED: dict[str, Make] = {
    "columns shuffled": lambda w, n: shuffled(w.some(n), w.dice),
    "a part of a shuffled release": lambda w, n: recombined(w.known, n, w.dice),
    "names and dates kept, the rest shuffled": lambda w, n: shuffled(w.some(n), w.dice, ("nir", "tel", "email")),
    "invented": lambda w, n: invented(n, w.number()),
    "half known, half invented": lambda w, n: w.some(n - n // 2) + invented(n // 2, w.number()),
    "half known, half recombined": lambda w, n: w.some(n - n // 2) + recombined(w.known, n // 2, w.dice),
    "names and dates known, the rest invented": lambda w, n: half_columns(w.some(n), w.number()),
}
APART: dict[str, tuple[bool, Make]] = {
    "all new": (True, lambda w, n: w.some(n, new=True)),
    "all new children of known people": (True, lambda w, n: w.people.new_children(n)),
    "telephones shuffled alone": (False, lambda w, n: shuffled(w.some(n), w.dice, ("tel",))),
    "mailboxes shuffled alone": (False, lambda w, n: shuffled(w.some(n), w.dice, ("email",))),
    "invented with care": (False, _careful),
}
"""Samples that are not in the AUC, and whether they are genuine."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--sizes", default="10,50,200")
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=40)
    parser.add_argument(
        "--alarms", type=int, default=0, help="only count alarms on so many genuine samples of each size"
    )
    options = parser.parse_args(arguments)
    sizes = [int(part) for part in options.sizes.split(",")]
    found: dict[tuple[int, str], list[Lineage]] = {}
    for seed in options.seeds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder), int(seed), options.people)
            if options.alarms:
                count_alarms(world, sizes, options.alarms)
                continue
            makes = {**GENUINE, **FORGED, **{name: make for name, (_, make) in APART.items()}}
            for size in sizes:
                for name, make in makes.items():
                    judged = [world.judge(make(world, size)) for _ in range(options.each)]
                    found.setdefault((size, name), []).extend(judged)
    for size in [] if options.alarms else sizes:
        report(size, {name: judged for (of, name), judged in found.items() if of == size})


def count_alarms(world: World, sizes: Sequence[int], count: int) -> None:
    """Print how many genuine samples of each size are called anything but genuine or open."""
    makes = [*GENUINE.values(), *(make for is_real, make in APART.values() if is_real)]
    for size in sizes:
        answers = Counter(answer_of(world.judge(makes[at % len(makes)](world, size))).answer for at in range(count))
        alarms = count - answers["genuine"] - answers["open"]
        told = ", ".join(f"{answer} {number}" for answer, number in answers.most_common())
        print(f"{size} rows: {alarms} alarms on {count} genuine samples (at most {share_bounds(alarms, count, 0.9)[1]:.3%}, 95 %): {told}")  # fmt: skip


def report(size: int, found: dict[str, list[Lineage]]) -> None:
    """Print what was found of the samples of one size."""
    weights = {name: [answer_of(each).weight for each in judged] for name, judged in found.items()}
    genuine = [weight for name in GENUINE for weight in weights[name]]
    forged = [weight for name in FORGED for weight in weights[name]]
    real = [*GENUINE, *(name for name, (is_real, _) in APART.items() if is_real)]
    alarms = sum(answer_of(each).answer not in {"genuine", "open"} for name in real for each in found[name])
    count = sum(len(found[name]) for name in real)
    print(f"{size} rows: AUC {auc(genuine, forged):.5f} ({len(genuine)} genuine, {len(forged)} forged samples); "
          f"{alarms} alarms on {count} genuine samples (at most {share_bounds(alarms, count, 0.9)[1]:.2%}, 95 %)")  # fmt: skip
    for name, judged in found.items():
        answers = Counter(answer_of(each).answer for each in judged)
        verdicts = Counter(each.verdict for each in judged)
        low, middle, high = np.quantile(weights[name], [0, 0.5, 1])
        told = ", ".join(f"{answer} {number}" for answer, number in answers.most_common())
        said = ", ".join(f"{verdict} {number}" for verdict, number in verdicts.most_common(3))
        print(f"  {name:42} weight {low:8.1f} {middle:8.1f} {high:8.1f}  {told:40} ({said})")


def answer_of(lineage: Lineage) -> Authenticity:
    assert lineage.authentic is not None
    return lineage.authentic


def auc(genuine: Sequence[float], forged: Sequence[float]) -> float:
    """The probability that a genuine sample has a larger weight than a forged one; half for equals."""
    ordered = np.sort(forged)
    below, upto = (np.searchsorted(ordered, genuine, side) for side in ("left", "right"))
    return float((below + upto).sum() / (2 * len(genuine) * len(forged)))


if __name__ == "__main__":
    main()
