"""Whole commands, as a user waits for them: `tocsin scan FILE` beside searches for the same addresses in clear.

Tocsin scans with both passes, lineage and a watch-list that holds nothing but keyed tags. The rivals get the addresses
themselves: `rg -F -f`, GNU `grep -F -f`, and a few lines of Python over Hyperscan and over an Aho-Corasick automaton,
where these are installed. Each is also run on an empty file, which shows what its start takes. A rival that takes longer
than the limit is ended, and its line says so.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.patients import emails, patients

if TYPE_CHECKING:
    from benchmarks.scan import Report

# So many of the addresses are in the file.
PLANTED = 1000

_HYPERSCAN = """
import sys, mmap, hyperscan
words = open(sys.argv[1], "rb").read().split()
base = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
base.compile(expressions=words, elements=len(words), literal=True, flags=hyperscan.HS_FLAG_SINGLEMATCH)
found = set()
data = open(sys.argv[2], "rb").read()
base.scan(data, match_event_handler=lambda number, *_: found.add(number))
print(len(found))
"""
_AUTOMATON = """
import sys, ahocorasick_rs
words = open(sys.argv[1]).read().split()
base = ahocorasick_rs.AhoCorasick(words)
print(len({match[0] for match in base.find_matches_as_indexes(open(sys.argv[2]).read())}))
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command: seconds by the clock and of the processor, peak megabytes, and addresses that were found."""

    wall: float
    cpu: float
    peak: float
    found: int


def whole_group(report: Report, folder: Path, patterns: int, rows: int, repeats: int, limit: float) -> None:
    """Compare whole commands over one file of `rows` rows, with so many addresses; a rival may take `limit` seconds."""
    from benchmarks.scan import run_tree, tocsin

    file, empty, words = folder / "whole.csv", folder / "empty.csv", folder / f"words-{patterns}"
    if not file.exists():
        with file.open("wb") as out:
            for piece in patients(rows):
                out.write(piece)
        empty.write_bytes(b"")
    # a tenth of the first rows' addresses; the others are of people who are not in the file
    wanted = [*emails(10 * PLANTED)[::10], *emails(patterns - PLANTED, seed=2)]
    words.write_bytes(b"\n".join(wanted) + b"\n")
    home = _make_home(folder / f"home-{patterns}", wanted, tocsin())

    def search(command: list[str], *, is_json: bool = False) -> Run:
        environ = {**os.environ, "LC_ALL": "C"}
        most = math.inf if is_json else limit
        runs = [run_tree(command, environ=environ, limit=most) for _ in range(repeats)]
        wall, cpu, peak, said = min(runs, key=lambda run: run[0])
        if is_json:
            (one,) = json.loads(said[said.index("{") :])["inputs"]
            return Run(wall, cpu, peak, sum(hit["canaries"] for hit in one["hits"]))
        lines = set(said.split())
        return Run(wall, cpu, peak, int(lines.pop()) if len(lines) == 1 else len(lines))

    megabytes = file.stat().st_size / 1e6
    rivals: dict[str, Run] = {}
    for name, command in _rivals(words):
        try:
            start, run = search([*command, str(empty)]), search([*command, str(file)])
        except TimeoutError as late:
            report.add(f"{name}, {patterns:,} patterns, {megabytes:,.0f} MB", limit, "s", "", f"did not finish: {late}")
            continue
        rivals[name] = run
        _tell(report, f"{name}, {patterns:,} patterns, {megabytes:,.0f} MB", run, start, "")
    scan = tocsin("--home", str(home), "scan", "--json")
    # the first scan after an upgrade compiles
    run_tree([*scan, str(empty)])
    start, ours = search([*scan, str(empty)], is_json=True), search([*scan, str(file)], is_json=True)
    ratios = ", ".join(
        f"{run.wall / ours.wall:.2f} x {name}, {ours.peak / run.peak:.2f} of its memory" for name, run in rivals.items()
    )
    _tell(report, f"tocsin scan, {patterns:,} canaries, {megabytes:,.0f} MB", ours, start, ratios)
    for name, run in rivals.items():
        if run.found > ours.found:
            raise SystemExit(f"{name} found {run.found} addresses, tocsin scan {ours.found}")


def _tell(report: Report, what: str, run: Run, start: Run, ratios: str) -> None:
    report.add(
        what,
        run.wall,
        "s",
        "",
        f"{start.wall:.2f} s of it to start; {run.cpu:.2f} s of processor time ({start.cpu:.2f} to start), "
        f"{run.peak:,.0f} MB, "
        f"{run.found} of {PLANTED} found{f'; {ratios}' if ratios else ''}",
    )


def _rivals(words: Path) -> list[tuple[str, list[str]]]:
    """Names and commands of the rivals that are installed; each command still takes the file."""
    found = []
    for name, options in (("rg", ["--no-config", "-F", "-o", "-N", "-I"]), ("grep", ["-F", "-o", "-h"])):
        if program := shutil.which(name):
            found.append((f"{name} -F -f", [program, *options, "-f", str(words)]))
        else:
            print(f"{name} is not installed: its line is missing")
    for module, code in (("hyperscan", _HYPERSCAN), ("ahocorasick_rs", _AUTOMATON)):
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed (Python package of that name): its line is missing")
        else:
            found.append((module, [sys.executable, "-c", code, str(words)]))
    return found


def _make_home(home: Path, wanted: list[bytes], tocsin: list[str]) -> Path:
    """A home whose only canaries are these addresses."""
    people, bundle = home.with_suffix(".csv"), home.with_suffix(".bundle")
    people.write_bytes(b"email\n" + b"\n".join(wanted) + b"\n")
    for arguments in (
        ["init", str(home)],
        [
            "canary",
            "enrol",
            str(people),
            "--key",
            str(home / "keys" / "enrol.key"),
            "--client",
            "p",
            "--out",
            str(bundle),
        ],
        ["--home", str(home), "canary", "import", str(bundle)],
    ):
        subprocess.run([*tocsin, *arguments], check=True, capture_output=True)
    return home
