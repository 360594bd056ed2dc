"""A vendor's database on its way through the real commands: enrolment, import, a scan of nothing but its people, tables.

`--people=150000 --practices=1500`; 15000000 people are the case itself, and take 10 GB of disk. Seconds are of the
processor, of all processes of a command together, with those of the clock beside them; a bar that is missed is marked.
What a dump of nothing but canaries costs is told beside the same rows and an empty watch-list.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.case import HEADERS, Vendor, parts, write_csv
from benchmarks.scan import run_tree, tocsin

TITLE = f"{'step':<46}{'cpu s':>9}{'wall s':>9}{'MB':>8}  bar and ratio"
INCIDENT = "vendor-breach"


@dataclass(frozen=True, slots=True)
class Run:
    """One command: seconds of the processor and by the clock, peak megabytes of its processes, and what it printed."""

    cpu: float
    wall: float
    peak: float
    said: str


def run(home: Path | None, *arguments: str | Path, repeats: int = 1, statuses: tuple[int, ...] = (0, 1)) -> Run:
    """Run a command, and take the run that needed least of the processor."""
    place = () if home is None else ("--home", str(home))
    runs = []
    for _ in range(repeats):
        wall, cpu, peak, said = run_tree(tocsin(*place, *map(str, arguments)), statuses=statuses)
        runs.append(Run(cpu, wall, peak, said))
    return min(runs, key=lambda one: one.cpu)


def tell(step: str, one: Run, verdict: str = "", *, held: bool = True) -> None:
    """Print the line of a step."""
    missed = "" if held else "  MISSED"
    print(f"{step:<46}{one.cpu:>9.2f}{one.wall:>9.1f}{one.peak:>8,.0f}  {verdict}{missed}", flush=True)


def play(folder: Path, people: int, practices: int) -> None:
    """Run all steps in an empty folder, and print a line for each."""
    vendor = Vendor.make(1, people, practices)
    everybody, tenth = folder / "vendor.csv", folder / "tenth.csv"
    write_csv(everybody, parts(vendor.people, np.arange(people)))
    write_csv(tenth, parts(vendor.people, np.arange(people // 10)))
    empty, home = folder / "empty", folder / "home"
    for each in (empty, home):
        run(None, "init", each)
    # kernels are compiled once on a machine
    run(empty, "scan", tenth)
    print(f"{people:,} people of {practices:,} practices, {everybody.stat().st_size / 1e6:,.0f} MB\n{TITLE}")

    def enrol(table: Path) -> Run:
        where = ("--key", home / "keys" / "enrol.key", "--out", table.with_suffix(".bundle"))
        return run(None, "canary", "enrol", *where, "--client-column", HEADERS["practice"], table)

    few = enrol(tenth)
    tell("enrol a tenth of it", few)
    every = enrol(everybody)
    rate = (people - people // 10) / max(every.cpu - few.cpu, 1e-9)
    verdict = (
        f"{rate:,.0f} rows/s a core beside the start (bar 100,000), {every.peak / few.peak:.1f} x the memory of a tenth"
    )
    tell("enrol the database, --client-column", every, verdict, held=rate >= 100_000)
    imported = run(home, "canary", "import", everybody.with_suffix(".bundle"))
    size = sum(path.stat().st_size for path in (home / "watchlist").rglob("*") if path.is_file())
    tags = int(re.search(r"([\d,]+) tags", every.said)[1].replace(",", ""))
    verdict = f"{tags:,} tags, {size / tags:.1f} bytes a tag on the disk (bar 20 from 10 million tags on)"
    tell("import it", imported, verdict, held=size / tags <= 20 or tags < 10**7)

    bare = run(empty, "scan", everybody, repeats=2)
    tell("scan its rows, empty watch-list", bare)
    hits = run(home, "scan", everybody, repeats=2)
    assert f"of {practices:,} of {practices:,} clients" in hits.said, hits.said
    ratio, memory = hits.cpu / bare.cpu, hits.peak / bare.peak
    verdict = f"{ratio:.2f} x the time and {memory:.2f} x the memory of the empty list (bar 2.5)"
    tell("scan its rows, all of them canaries", hits, verdict, held=max(ratio, memory) <= 2.5)

    run(home, "scan", "--record", "--no-deliver", everybody)
    added = run(home, "incident", "add", INCIDENT, "--all-clients")
    tell("incident add --all-clients", added)
    for bar, *command in (
        (1.0, "incident", "show", INCIDENT),
        (1.0, "canary", "list"),
        (0.5, "status"),
    ):
        # an alert that waits for a channel is a problem of `status`
        one = run(home, *command, repeats=3, statuses=(0, 2))
        tell(" ".join(command), one, f"bar {bar:g} s", held=one.cpu <= bar)


def main() -> None:
    """Play the steps at the size that the options give."""
    parser = argparse.ArgumentParser(prog="benchmarks vendor", description=__doc__)
    parser.add_argument("--people", type=int, default=150_000)
    parser.add_argument("--practices", type=int, default=1_500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-vendor-") as name:
        play(Path(name), options.people, options.practices)


if __name__ == "__main__":
    main()
