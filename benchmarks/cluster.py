"""How a scan on a Dask cluster grows with its workers: time, processor time and memory of each stage, and a model of them.

`python -m benchmarks cluster --rows=800000 --files=2 --workers=1,2,4,8` makes tables, scans them with one machine's
command and with each number of workers in turn, and compares the findings. Each worker has one thread and, as long as
there are enough, one processor to itself, so that it is a machine of one processor; so has the local command. More workers
than processors say nothing but whether the finding is the same, and their lines say so.

The stages: start (what a scan of an empty file takes), index (where each file can be cut; files at the same time), chunks
(everything else that workers do), fold (by the examiner of the command). T(n) = start + index / min(n, files) + chunks / n + fold.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.patients import emails, patients
from benchmarks.scan import _cpu, _memory, _tree, tocsin
from benchmarks.whole_scan import PLANTED, _make_home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.dask_cluster import DaskCluster

BY_NAME_ONLY = True


@dataclass(slots=True)
class Spent:
    """What processes took: seconds of the processor by their ids, and the most megabytes that they had together."""

    seconds: dict[int, float]
    peak: float = 0.0

    def look(self, root: int) -> None:
        """Look at a process and all that it has started."""
        tree = _tree(root)
        for pid in tree:
            self.seconds[pid] = max(_cpu(pid), self.seconds.get(pid, 0.0))
        self.peak = max(self.peak, sum(map(_memory, tree)))

    @property
    def total(self) -> float:
        """Seconds of all."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True)
class Measured:
    """One scan. Seconds by the clock: start, index, chunks, fold. Processor seconds: of the command, of all workers.

    `peak` is the megabytes of the worker that needed most, `found` what the command printed.
    """

    stages: tuple[float, float, float, float]
    command: float
    workers: float
    peak: float
    found: Any

    @property
    def wall(self) -> float:
        """Seconds by the clock."""
        return sum(self.stages)


def _run(
    command: list[str], environ: Mapping[str, str], out: Path | None, workers: Mapping[str, int], start: float = 0.0
) -> Measured:
    """Run a scan.

    Args:
        command: the scan. environ: for it.
        out: the folder of its results, None on one machine. workers: the processes of the workers, by name.
        start: seconds that a scan of nothing took.
    """
    mine, theirs = Spent({}), {name: Spent({}) for name in workers}
    for name, pid in workers.items():
        theirs[name].look(pid)
    before = sum(each.total for each in theirs.values())
    begun = time.time()
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.PIPE, env={**os.environ, **environ})
        if not workers:
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        while process.poll() is None:
            mine.look(process.pid)
            for name, pid in workers.items():
                theirs[name].look(pid)
            time.sleep(0.1)
        ended = time.time()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        printed.seek(0)
        if process.returncode not in (0, 1):
            raise SystemExit(f"the scan ended with {process.returncode}: {said}")
        found = json.loads(printed.read())
    marks = [min(ended, begun + start)] * 3 + [ended]
    if out is not None:
        made = [path.stat().st_mtime for path in out.glob("*.index")]
        marks[1] = max(marks[0], max(made, default=0.0))
        marks[2] = max(marks[1], *(path.stat().st_mtime for path in out.glob("*.result")))
    stages = (marks[0] - begun, marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2])
    used = sum(each.total for each in theirs.values()) - before
    return Measured(stages, mine.total, used, max((each.peak for each in theirs.values()), default=mine.peak), found)


def _wait_for_workers(cluster: DaskCluster, count: int) -> None:
    """Wait until so many workers have come."""
    code = (
        "import sys\nfrom distributed import Client, Security\n"
        "if __name__ == '__main__':\n"
        "    with Client(sys.argv[1], security=Security(require_encryption=True)) as client:\n"
        "        client.wait_for_workers(int(sys.argv[2]), timeout=600)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, cluster.address, str(count)],
        check=True,
        env={**os.environ, **cluster.environ},
        capture_output=True,
    )


def _show(name: str, each: Measured, note: str) -> None:
    start, index, chunks, fold = each.stages
    print(
        f"{name:<12}{each.wall:>8.1f}{start:>8.1f}{index:>8.1f}{chunks:>8.1f}{fold:>8.1f}{each.command:>10.2f}"
        f"{each.workers:>10.2f}{each.peak:>8.0f}  {note}",
        flush=True,
    )


def main() -> None:
    """Print a line for the local road and for each number of workers, and the model.

    Raises:
        SystemExit: a scan failed, or found something else than one machine.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks cluster", description=__doc__)
    parser.add_argument("--rows", type=int, default=800_000, help="of each file")
    parser.add_argument("--files", type=int, default=2)
    parser.add_argument("--workers", default="1,2,4,8", help="numbers of workers")
    parser.add_argument("--chunk", type=int, default=16, help="MiB")
    parser.add_argument("--rounds", type=int, default=1, help="all are measured in turns, so often; medians are shown")
    options = parser.parse_args()
    counts = [int(each) for each in options.workers.split(",")]
    processors = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as made:
        folder = Path(made)
        dump, empty = folder / "dump", folder / "empty"
        dump.mkdir()
        empty.mkdir()
        (empty / "empty.csv").write_bytes(b"")
        for number in range(options.files):
            with (dump / f"{number}.csv").open("wb") as out:
                for piece in patients(options.rows, seed=number + 1):
                    out.write(piece)
        size = sum(path.stat().st_size for path in dump.iterdir()) / 1e6
        home = _make_home(folder / "home", list(emails(10 * PLANTED)[::10]), tocsin())
        scan = tocsin("--home", str(home), "scan", "--json")
        print(f"{size:,.0f} MB in {options.files} files, chunks of {options.chunk} MiB, {len(processors)} processors")
        print(f"{'':<12}{'wall s':>8}{'start':>8}{'index':>8}{'chunks':>8}{'fold':>8}{'CPU here':>10}"
              f"{'workers':>10}{'peak MB':>8}")  # fmt: skip
        measured: dict[int, list[Measured]] = {count: [] for count in (0, *counts)}
        _run([*scan, str(empty)], {}, None, {})
        for number in range(options.rounds):
            measured[0].append(_run([*scan, str(dump)], {}, None, {}))
            _show("local", measured[0][-1], "")
            for count in counts:
                measured[count].append(
                    _with_workers(folder / f"{number}-{count}", scan, dump, empty, count, options.chunk)
                )
                if measured[count][-1].found != measured[0][0].found:
                    raise SystemExit(f"{count} workers found something else than one machine")
                note = "the finding of one machine"
                if count > len(processors):
                    note += "; more workers than processors: the times say nothing"
                _show(f"{count} workers", measured[count][-1], note)
    _judge(measured, counts, options.files, len(processors))


def _with_workers(folder: Path, scan: list[str], dump: Path, empty: Path, count: int, chunk: int) -> Measured:
    from tests.servers.dask_cluster import DaskCluster

    processors = sorted(os.sched_getaffinity(0))
    with DaskCluster(folder) as cluster:
        for number in range(count):
            cluster.start_worker(processor=processors[number % len(processors)])
        _wait_for_workers(cluster, count)
        out = folder / "out"
        arguments = [*scan, "--cluster", cluster.address, "--chunk-size", str(chunk)]
        pids = {name: process.pid for name, process in cluster.workers.items()}
        start = _run([*arguments, str(empty)], cluster.environ, None, pids).wall
        return _run([*arguments, "--out", str(out), str(dump)], cluster.environ, out, pids, start)


def _judge(measured: Mapping[int, list[Measured]], counts: list[int], files: int, processors: int) -> None:
    """Print the model, and each number of workers beside it."""

    def median(count: int, what: Any) -> float:
        return statistics.median(what(each) for each in measured[count])

    if 1 not in counts:
        return
    one = [median(1, lambda each, at=at: each.stages[at]) for at in range(4)]
    local = median(0, lambda each: each.command)
    work = median(1, lambda each: each.command + each.workers)
    print(f"processor time of the road with one worker: {work / local:.2f} times that of the local road")
    for count in counts:
        wall = median(count, lambda each: each.wall)
        model = one[0] + one[1] / min(count, files) + one[2] / count + one[3]
        extra = median(count, lambda each: each.workers) / median(1, lambda each: each.workers)
        line = f"{count} workers: model {model:.1f} s (efficiency {sum(one) / model / count:.2f})"
        if count <= processors:
            line += f", measured {wall:.1f} s (efficiency {sum(one) / wall / count:.2f}; of the chunks alone "
            line += f"{one[2] / median(count, lambda each: each.stages[2]) / count:.2f})"
        print(f"{line}; processor time of the workers {extra:.2f} times that of one")


if __name__ == "__main__":
    main()
