"""A watch-list of many clients: import of all bundles, of one more, disk, opening, memory, look-ups and retirement.

`--clients=1500 --people=1000` (for each client; 10000 make the 15 million people of the case). Bundles are written
directly, with random tags; enrolment has the benchmarks `canary` and `enrolment`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TAGS_EACH = 9.3
"""Tags of one person: as many as enrolment makes of a table with names, birth, number, telephone and mail address."""

# Opens the list in a process of its own, and prints seconds of opening and memory (MiB) before and after it, at rest and
# after a million look-ups.
OPEN = """
import json, sys, time
from pathlib import Path
import numpy as np
from crawler.examiner.kernel_warmup import warm_up_tags
from data.case.watchlist import Watchlist
warm_up_tags()
def memory(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) / 1024
before = memory("RssAnon")
began = time.perf_counter()
watchlist = Watchlist.open(Path(sys.argv[1]), case=sys.argv[2])
took = time.perf_counter() - began
rest, mapped = memory("RssAnon"), memory("RssFile")
tags = np.random.default_rng(1).integers(1, 2**64, 10**6, dtype=np.uint64)
began = time.perf_counter()
watchlist.probe_records.lookup(tags)
foreign = time.perf_counter() - began
began = time.perf_counter()
lost = watchlist.count_unreachable(100_000)
own = time.perf_counter() - began
print(json.dumps([took, before, rest, mapped, memory("RssAnon"), memory("RssFile"), foreign, own, lost, len(watchlist)]))
"""


def _write_bundles(folder: Path, keys: object, clients: range, people: int) -> int:
    """Write one bundle of random tags for each client; returns their bytes."""
    import numpy as np

    from data.case.bundle import RECORD_DTYPE, write_bundle
    from data.hashing.tags import Kind

    kinds = np.array(
        [Kind.EMAIL, Kind.PHONE, Kind.NIR, Kind.NAME_DOB, Kind.NIR_FIRST, Kind.NIR_DOB, Kind.EMAIL_FIRST,
         Kind.PHONE_FIRST, Kind.PHONE_DOB], np.uint8,
    )  # fmt: skip
    size = 0
    for client in clients:
        dice = np.random.default_rng(client)
        count = round(people * TAGS_EACH)
        records = np.frombuffer(bytearray(dice.bytes(count * RECORD_DTYPE.itemsize)), RECORD_DTYPE)
        records["canary"] = np.arange(count) * people // count
        records["kind"] = kinds[np.arange(count) % len(kinds)]
        path = folder / f"client-{client:05}.bundle"
        write_bundle(path, keys, records, client=f"cabinet-{client:05}", name=f"Cabinet {client}", canaries=people)  # type: ignore[arg-type]
        size += path.stat().st_size
    return size


def _timed(*command: str) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and peak memory (MiB), of a command."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[:6])} ended with status {status}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print one line for each step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=1500)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    from data.hashing.case_keys import parse_enrol_key

    tocsin = (sys.executable, "-m", "scheduler")
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        home = folder / "home"
        _timed(*tocsin, "init", str(home))
        keys = parse_enrol_key((home / "keys" / "enrol.key").read_text())
        command = (*tocsin, "--home", str(home), "canary")
        (folder / "many").mkdir()
        (folder / "one").mkdir()
        size = _write_bundles(folder / "many", keys, range(chosen.clients), chosen.people)
        _write_bundles(folder / "one", keys, range(chosen.clients, chosen.clients + 3), chosen.people)
        more = [str(path) for path in sorted((folder / "one").iterdir())]
        rows = [
            (
                f"import {chosen.clients:,} bundles ({size / 2**20:,.0f} MiB)",
                *_timed(*command, "import", str(folder / "many")),
            )
        ]
        shutil.rmtree(folder / "many")
        rows += [
            (f"import bundle {number} more", *_timed(*command, "import", path)) for number, path in enumerate(more, 1)
        ]
        rows += [("retire one client", *_timed(*command, "retire", "cabinet-00007"))]
        rows += [("list", *_timed(*command, "list"))]
        disk = sum(path.stat().st_size for path in (home / "watchlist").rglob("*") if path.is_file())
        opened = []
        for _ in range(2):
            answer = subprocess.run(
                [sys.executable, "-c", OPEN, str(home / "watchlist"), keys.case], check=True, capture_output=True
            )
            opened.append(json.loads(answer.stdout))
    first, second = opened
    tags = second[9]
    print(
        f"{f'{chosen.clients:,} clients x {chosen.people:,} people, {tags:,} tags':<52}{'wall s':>9}{'cpu s':>9}{'peak MiB':>10}  bar, for the processor"
    )
    bars = [60.0 if chosen.clients * chosen.people <= 1_500_000 else 900.0, *[2.0] * len(more)]
    for (label, took, cpu, peak), bar in itertools.zip_longest(rows, bars):
        told = "" if bar is None else f"  {bar:g} s{'' if cpu <= bar else '  MISSED'}"
        print(f"{label:<52}{took:>9.2f}{cpu:>9.2f}{peak:>10,.0f}{told}")
    print(f"{'open (all bytes verified if that was not noted)':<52}{first[0]:>9.2f}")
    print(f"{'open again':<52}{second[0]:>9.2f}   bar 1 s{'' if max(first[0], second[0]) <= 1 else '  MISSED'}")
    print(f"{'10**6 look-ups of foreign record keys':<52}{second[6]:>9.2f}")
    print(f"{'100,000 own entries looked up and confirmed':<52}{second[7]:>9.2f}   {second[8]} not found")
    print(
        f"disk {disk / tags:.1f} bytes a tag (bar 20{'' if disk <= 20 * tags else ', MISSED'}); private memory"
        f" {second[1]:.0f} MiB before, {second[2]:.0f} MiB after opening (bar 300{'' if second[2] <= 300 else ', MISSED'}),"
    )
    print(f"{second[4]:.0f} MiB after look-ups; mapped pages {second[3]:.0f} and {second[5]:.0f} MiB")


if __name__ == "__main__":
    main()
