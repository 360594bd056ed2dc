"""Speed of examining, beside what one would take instead: each pass alone, `tocsin scan` of a whole file and of its
gzip and zip, pastes in a warm examiner, starts, and whole commands beside `rg`, `grep` and others. Speeds of one core
are bytes for each second of processor time, for a shared machine makes wall time say little; what takes several
processes is timed by the clock, with both beside it.

Options: --rows=N of the file that is scanned (1,000,000; the bars are for 15,000,000), --repeats=N, --full (a set of
100 M tags: 3 GB of memory; a million patterns for rg: 10 GB; 10,000 pastes), --only=WORD,WORD of the groups,
--limit=SECONDS for each rival of a whole command (120).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import hmac
import math
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.patients import HEADER, emails, patients
from benchmarks.whole_scan import whole_group
from crawler.process.examiner_client import ExaminerClient

KEY = bytes(range(16))
PIECE = 2**20
GROUPS = ("bytes", "records", "file", "pastes", "starts", "whole")


class Report:
    """One table: what, how much, its bar, and how many times a rival's."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []
        self.group = ""

    def add(self, what: str, value: float, unit: str, bar: str = "", ratio: str = "") -> None:
        self.rows.append((what, f"{value:,.2f} {unit}" if value < 100 else f"{value:,.0f} {unit}", bar, ratio))
        print(f"  {what}: {self.rows[-1][1]} {f'(bar {bar})' if bar else ''} {ratio}", flush=True)

    def show(self) -> None:
        rows = [("what", "measured", "bar", "against rivals"), *self.rows]
        widths = [max(len(row[at]) for row in rows) for at in range(4)]
        print()
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def on_cpu(run: Callable[[], object], repeats: int) -> float:
    """The median of seconds of this process's processor time."""
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def rival_cpu(command: list[str], data: bytes) -> tuple[float, float]:
    """Seconds of processor time and megabytes of memory that a program takes, fed by its standard input."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        process = subprocess.Popen(command, stdin=file, stdout=subprocess.DEVNULL)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(0.05)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak


# --- processes -------------------------------------------------------------------------------------------------------


def _tree(pid: int) -> list[int]:
    found = [pid]
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += _tree(int(child))
    return found


def _memory(pid: int) -> float:
    """Megabytes of a process, what it shares counted by its share."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def run_tree(
    command: list[str],
    *,
    environ: dict[str, str] | None = None,
    statuses: tuple[int, ...] = (0, 1),
    limit: float = math.inf,
) -> tuple[float, float, float, str]:
    """Seconds by the clock, seconds of processor time and peak megabytes of a program and its processes; its output.

    Raises:
        TimeoutError: it took longer than `limit` seconds and was ended; the text says what it had taken until then.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)
        peak, spent = 0.0, {}
        while process.poll() is None:
            tree = _tree(process.pid)
            spent |= {pid: max(_cpu(pid), spent.get(pid, 0.0)) for pid in tree}
            peak = max(peak, sum(map(_memory, tree)))
            if time.perf_counter() - began > limit:
                process.kill()
                process.wait()
                raise TimeoutError(
                    f"ended after {limit:.0f} s, {sum(spent.values()):.0f} s of processor time, {peak:,.0f} MB"
                )
            time.sleep(0.1)
        wall = time.perf_counter() - began
        out.seek(0)
        said = out.read().decode()
    if process.returncode not in statuses:
        raise SystemExit(f"{command[0]} ended with {process.returncode}: {said}")
    return wall, sum(spent.values()), peak, said


def tocsin(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "tocsin"), *arguments]


# --- each pass alone -------------------------------------------------------------------------------------------------


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def bytes_group(report: Report, data: bytes, options: argparse.Namespace) -> None:
    from crawler.examiner.kernel_warmup import warm_up
    from crawler.matching.byte_scanner import ByteScanner
    from data.hashing.tags import Kind, probe_tag
    from data.tagsets.tagset import TagSet

    warm_up()
    megabytes = len(data) / 1e6
    addresses = emails(1000)
    planted = np.array([probe_tag(KEY, Kind.EMAIL, address) for address in addresses[::50]], np.uint64)

    def scan(watch: TagSet, part: bytes = data) -> int:
        scanner = ByteScanner(KEY, watch)
        return sum(len(scanner.feed(piece)) for piece in pieces(part)) + len(scanner.finish())

    speeds = {}
    for members in (10**6, 10**8) if options.full else (10**6,):
        drawn = np.random.default_rng(members).integers(1, 2**64, members, np.uint64)
        watch = TagSet.build(np.concatenate((drawn, planted)))
        watch.use_bloom_filter = True
        assert scan(watch, data[:PIECE]) >= 20
        speeds[members] = megabytes / on_cpu(lambda watch=watch: scan(watch), options.repeats)
        if members == 10**6:
            small = watch
    patterns = 10**6 if options.full else 10**5
    little = data[: 8 * PIECE]
    ratios = []
    rg = _ripgrep(little, patterns)
    if rg is not None:
        speed, memory = rg
        report.add(f"rg -F -f, {patterns:,} plain patterns", speed, "MB/s a core", "", f"{memory:,.0f} MB of memory")
        ratios.append(f"{speeds[10**6] / speed:,.0f} x rg (bar 100 x at 1 M)")
    wanted = {hmac.digest(KEY, address, hashlib.sha256)[:8] for address in emails(100_000)}
    plain = len(little) / 1e6 / on_cpu(lambda: _python_bytes(little, wanted), 1)
    report.add("Python re + hmac + set, bytes", plain, "MB/s a core")
    ratios.append(f"{speeds[10**6] / plain:,.0f} x Python")
    report.add("byte pass, 1 M tags", speeds[10**6], "MB/s a core", ">= 200", ", ".join(ratios))
    if 10**8 in speeds:
        report.add("byte pass, 100 M tags", speeds[10**8], "MB/s a core", ">= 150")
    report.add("byte pass, two threads to one", _two_cores(lambda: scan(small)), "x", ">= 1.8")


def _two_cores(run: Callable[[], object]) -> float:
    """How much more two threads do in the same time; the best of three, for what else runs takes from both."""
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        run()
        alone = time.perf_counter() - began
        threads = [threading.Thread(target=run) for _ in range(2)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = max(best, 2 * alone / (time.perf_counter() - began))
    return best


def _ripgrep(data: bytes, patterns: int) -> tuple[float, float] | None:
    program = shutil.which("rg")
    if program is None:
        print("rg is not installed (Debian: ripgrep): its line is missing and there is no ratio to it")
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patterns"
        # addresses of a part of the file that is not searched: as good as nothing is found, as on most days
        file.write_bytes(b"\n".join(emails(patterns, seed=2)) + b"\n")
        seconds, memory = rival_cpu([program, "--no-config", "-j1", "-F", "-c", "-f", str(file), "-"], data)
    return len(data) / 1e6 / seconds, memory


def _python_bytes(data: bytes, wanted: set[bytes]) -> int:
    """What one writes first: a pattern for candidates, an HMAC of each, a set."""
    pattern = re.compile(rb"[\w.+-]+@[\w.-]+|\d[\d .-]{7,20}\d|\w{8,}")
    return sum(hmac.digest(KEY, found[0].lower(), hashlib.sha256)[:8] in wanted for found in pattern.finditer(data))


def records_group(report: Report, data: bytes, options: argparse.Namespace) -> None:
    from crawler.examiner.kernel_warmup import warm_up
    from crawler.readers.core.limits import Limits
    from crawler.readers.core.members import read_sample
    from crawler.records.column_roles import plan_columns
    from crawler.records.record_keys import tag_rows
    from crawler.records.row_batch import RowBatch
    from data.tagsets.tagset import TagSet

    warm_up()
    rows = data.count(b"\n") - 1
    watch = TagSet.build(np.random.default_rng(1).integers(1, 2**64, 10**6, np.uint64))
    watch.use_bloom_filter = True
    names = HEADER.decode().strip().split(";")

    def read(take: Callable[[bytes, bytes], None]) -> None:
        read_sample(pieces(data), take, Limits())

    def whole() -> int:
        found = 0
        plan = None

        def take(kind: bytes, payload: bytes) -> None:
            nonlocal plan, found
            if kind not in (b"R", b"C"):
                return
            batch = RowBatch.from_cells(payload) if kind == b"C" else RowBatch.from_frame(payload)
            plan = plan or plan_columns(names, batch.drop(1).sample(199))
            tags = tag_rows(plan, batch, KEY)
            found += int(watch.lookup(tags.keys.ravel()).sum()) + len(batch)
            for _, values in tags.values.values():
                watch.lookup(values)

        read(take)
        return found

    assert whole() >= rows
    ours = rows / 1e6 / on_cpu(whole, options.repeats)
    parse = rows / 1e6 / on_cpu(lambda: read(lambda *_: None), options.repeats)
    part = data[: data.index(b"\n", 4 * PIECE) + 1]
    some = part.count(b"\n") - 1
    wanted = {hmac.digest(KEY, address, hashlib.sha256)[:8] for address in emails(100_000)}
    plain = some / 1e6 / on_cpu(lambda: _python_rows(part, wanted), 1)
    report.add("Python csv + six hmac + set", plain, "M rows/s a core")
    ratios = [f"{ours / plain:,.0f} x Python"]
    duck = _duckdb(data, rows, options)
    if duck is not None:
        report.add("DuckDB, read and join on six plain keys", duck, "M rows/s a core", "", "not normalised, not keyed")
        ratios.append(f"{ours / duck:.1f} x DuckDB")
    report.add("reading CSV alone", parse, "M rows/s a core")
    report.add("record pass: parse, normalise, six keys, look-ups", ours, "M rows/s a core", ">= 1", ", ".join(ratios))


def _python_rows(data: bytes, wanted: set[bytes]) -> int:
    found = 0
    for row in csv.DictReader(data.decode().splitlines(), delimiter=";"):
        names = "\x1f".join(sorted((row["nom"].lower(), row["prenom"].lower())))
        day, month, year = row["date_naissance"].split("/")
        born = year[2:] + month + day
        phone, email, nir, first = row["telephone"][1:], row["email"], row["nir"][:13], row["prenom"].lower()
        for kind, value in enumerate(
            (names + born, nir + first, nir + born, email + first, phone + first, phone + born, email, phone, nir)
        ):
            found += hmac.digest(KEY, bytes((kind,)) + value.encode(), hashlib.sha256)[:8] in wanted
    return found


def _duckdb(data: bytes, rows: int, options: argparse.Namespace) -> float | None:
    try:
        import duckdb
    except ImportError:
        print("duckdb is not installed (make bench installs it): its line is missing and there is no ratio to it")
        return None
    with tempfile.TemporaryDirectory() as folder:
        table, known = Path(folder) / "table.csv", Path(folder) / "known.csv"
        table.write_bytes(data)
        with known.open("wb") as file:
            for piece in patients(10**6, seed=2):
                file.write(piece)
        with duckdb.connect() as base:
            base.execute("SET threads = 1")
            load = "read_csv('{}', delim = ';', header = true, all_varchar = true)"
            keys = (
                "[nom || prenom || date_naissance, nir || prenom, nir || date_naissance, email || prenom, "
                "telephone || prenom, telephone || date_naissance]"
            )
            base.execute(f"CREATE TABLE known AS SELECT DISTINCT unnest({keys}) AS k FROM {load.format(known)}")
            query = (
                f"SELECT count(*) FROM (SELECT unnest({keys}) AS k FROM {load.format(table)}) AS t "
                "SEMI JOIN known ON t.k = known.k"
            )
            return rows / 1e6 / on_cpu(lambda: base.execute(query).fetchall(), min(options.repeats, 2))


# --- the whole road --------------------------------------------------------------------------------------------------


def make_home(folder: Path) -> Path:
    home = folder / "home"
    subprocess.run(tocsin("init", str(home)), check=True, capture_output=True)
    arguments = ("canary", "generate", "--client", "practice-1", "--count", "1000", "--out", str(folder / "people.csv"))
    subprocess.run(tocsin("--home", str(home), *arguments), check=True, capture_output=True)
    return home


def file_group(report: Report, folder: Path, home: Path, options: argparse.Namespace) -> None:
    plain = folder / "patients.csv"
    with plain.open("wb") as file:
        for piece in patients(options.rows):
            file.write(piece)
        file.write((folder / "people.csv").read_bytes())
    scale = options.rows / 15e6
    packed = {"plain": plain}
    if options.rows:
        packed["gzip"] = folder / "patients.csv.gz"
        with packed["gzip"].open("wb") as out:
            subprocess.run(["gzip", "-1", "-c", str(plain)], check=True, stdout=out)
        packed["zip"] = folder / "patients.zip"
        with zipfile.ZipFile(packed["zip"], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(plain, "patients.csv")
    walls: dict[str, float] = {}
    for name, path in packed.items():
        wall, cpu, peak, said = min(
            (run_tree(tocsin("--home", str(home), "scan", str(path))) for _ in range(options.repeats)),
            key=lambda run: run[0],
        )
        assert "HITS" in said, said
        walls[name] = wall
        bar = f"<= {45 * scale:.1f} ({options.rows:,} rows)" if name == "plain" else "<= 1.3 x plain"
        ratio = "" if name == "plain" else f"{wall / walls['plain']:.2f} x plain, "
        what = f"tocsin scan, {name}, {path.stat().st_size / 1e6:,.0f} MB"
        report.add(what, wall, "s", bar, f"{ratio}{cpu:.1f} s of processor time")
        report.add(f"  memory of all its processes, {name}", peak, "MB", "<= 1,500")


def pastes_group(report: Report, home: Path, options: argparse.Namespace) -> None:
    from crawler.process.examiner_client import ExaminerProcess
    from data.settings.home import Home
    from scheduler.crawls.run_crawl import SAMPLE_SOCKETS

    count = 10_000 if options.full else 1000
    data = b"".join(patients(80 * count))
    body = data[len(HEADER) :]
    size = 10_000
    pastes = [body[at : at + size] for at in range(0, len(body) - size, size)][:count]
    with ExaminerProcess.start(Home(home)) as process:
        client = ExaminerClient(process.attach())
        spent = _ask(client, pastes[:1000])
        report.add("a 10 kB paste in a warm examiner, median", 1000 * statistics.median(spent), "ms", "<= 5")
        report.add(f"{len(spent):,} such pastes, one after another", len(spent) / sum(spent), "/s")
        # as many as a crawl has
        clients = [client, *[ExaminerClient(process.attach()) for _ in range(SAMPLE_SOCKETS - 1)]]
        waiting = iter(pastes)
        began = time.perf_counter()
        with ThreadPoolExecutor(len(clients)) as threads:
            done = sum(map(len, threads.map(lambda each: _ask(each, waiting), clients)))
        whole = time.perf_counter() - began
        for each in clients:
            each.close()
    assert done == len(pastes)
    report.add(f"{done:,} such pastes, on {len(clients)} connections", done / whole, "/s", ">= 500")


def _ask(client: ExaminerClient, pastes: Iterable[bytes]) -> list[float]:
    """Seconds that each paste takes; several threads may share what gives them."""
    spent = []
    client.examine({"name": "warm", "source": "s"}, [b"nom;prenom\nx;y\n"])
    for paste in pastes:
        start = time.perf_counter()
        finding = client.examine({"name": "paste", "source": "s"}, [paste])
        spent.append(time.perf_counter() - start)
        assert finding.complete
    return spent


def starts_group(report: Report, folder: Path, home: Path) -> None:
    small = folder / "small.csv"
    small.write_bytes(b"".join(patients(100)))
    environ = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    scan = tocsin("--home", str(home), "scan", str(small))
    wall, cpu, _, said = run_tree(scan, environ=environ)
    # the folder was empty: every kernel was compiled, which the tests do only where their own cache is
    if "compiling" not in said:
        raise SystemExit(f"a first scan did not say that it compiles: {said}")
    report.add("first scan on a fresh machine", wall, "s", "<= 20", f"{cpu:.1f} s of processor time, and says so")
    runs = [run_tree(scan, environ=environ) for _ in range(3)]
    report.add(
        "a later scan of 100 rows", min(run[0] for run in runs), "s", "<= 1", f"{min(r[1] for r in runs):.1f} s cpu"
    )
    helps = [_seconds(tocsin("--help")) for _ in range(5)]
    report.add("tocsin --help", min(helps), "s", "<= 0.3")


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--limit", type=float, default=120, help="seconds that each rival may take")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"some of {', '.join(GROUPS)}")
    options = parser.parse_args(arguments)
    groups = options.only.split(",")
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    report = Report()
    data = b"".join(patients(500_000)) if {"bytes", "records"} & set(groups) else b""
    if "bytes" in groups:
        bytes_group(report, data, options)
    if "records" in groups:
        records_group(report, data, options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = make_home(folder) if {"file", "pastes", "starts"} & set(groups) else folder
        if "starts" in groups:
            starts_group(report, folder, home)
        if "pastes" in groups:
            pastes_group(report, home, options)
        if "file" in groups:
            file_group(report, folder, home, options)
        if "whole" in groups:
            for patterns in (100_000, 1_000_000) if options.full else (100_000,):
                whole_group(report, folder, patterns, options.rows, options.repeats, options.limit)
    report.show()


if __name__ == "__main__":
    main()
