"""Many sources under one daemon: crawls started a second, sources that are late, memory, and processor time for each crawl.

    python -m benchmarks many [--sources=10000] [--every=900] [--minutes=30] [--posts=5] [--parallel=4]

The sources are boards on real servers. Each was crawled once, well, at some time within its interval, as the database says,
and its posts are not known yet: the first visit examines them, later ones find nothing new.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.soak import ROLES, SETTINGS, SOURCE
from benchmarks.soak_world import Version, World

BY_NAME_ONLY = True
# Seconds between two looks at the daemon.
LOOK = 5.0


def prepare(home: Path, world: World, every: float, posts: int, parallel: int) -> None:
    """Write the sources, and a database in which each was crawled once, well, at some time within its interval."""
    from data.sources.source_files import parse_source
    from data.store.store import Store
    from scheduler.crawls.definitions import complete_definition, put_source
    from tests.command import must
    from tests.leased_crawl import LeasedCrawl

    must(None, "init", home)
    settings = SETTINGS.format(url=world.url).replace("parallel = 4", f"parallel = {parallel}")
    (home / "tocsin.toml").write_text(settings)
    for example in (home / "sources").glob("*.yaml"):
        example.unlink()
    dice, now = random.Random(1), datetime.now(UTC)
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        for name, board in world.boards.items():
            for number in range(2, posts + 1):
                body = f"post {number} of {name}\n".encode()
                board.shown[f"{name}-{number}"] = [Version(name, body, now)]
            text = SOURCE.format(name=name, url=board.url, every=int(every))
            (home / "sources" / f"{name}.yaml").write_text(text)
            at = now - timedelta(seconds=every * dice.random())
            with store.together():
                LeasedCrawl(store, name, now=at).finish(now=at)
                put_source(store, complete_definition(parse_source(text, f"{name}.yaml")), at)


def _tree(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _memory(pids: list[int]) -> dict[str, int]:
    """Role -> resident MiB of its largest process; `batches` are all others together."""
    found: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            mib = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
            role = next((name for name, sign in ROLES.items() if sign in words), "others")
            found[role] = max(found.get(role, 0), mib) if role != "others" else found.get(role, 0) + mib
    return found


def _processor_seconds(pids: list[int]) -> float:
    """Processor time of processes and of those that they started and that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _count(home: Path, query: str, *values: object) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{home / 'tocsin.db'}?mode=ro", uri=True, timeout=30)) as db:
        return int(db.execute(query, values).fetchone()[0])


def run(folder: Path, *, sources: int, every: float, minutes: float, posts: int, parallel: int) -> dict[str, object]:
    """Run a daemon over so many sources for some minutes; returns the figures."""
    from tests.command import TOCSIN, environment

    world = World(sources, 1)
    home = folder / "home"
    prepare(home, world, every, posts, parallel)
    before = _count(home, "select count(*) from crawl")
    with (folder / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen([TOCSIN, "--home", str(home), "daemon"], stdout=log, stderr=log, env=environment())
    most: dict[str, int] = {}
    try:
        while _count(home, "select count(*) from crawl") == before:
            time.sleep(1)
        began, used, requests = time.monotonic(), _processor_seconds(_tree(daemon.pid)), world.requests
        from_crawl = _count(home, "select count(*) from crawl")
        while time.monotonic() < began + minutes * 60:
            time.sleep(LOOK)
            for role, mib in _memory(_tree(daemon.pid)).items():
                most[role] = max(most.get(role, 0), mib)
        seconds = time.monotonic() - began
        crawls = _count(home, "select count(*) from crawl") - from_crawl
        used = _processor_seconds(_tree(daemon.pid)) - used
        late = (datetime.now(UTC) - timedelta(seconds=1.05 * every + 60)).isoformat(timespec="microseconds")
        behind = _count(
            home,
            "select count(*) from source where (select max(started) from crawl where source = name) < ?",
            late,
        )
        failed = _count(home, "select count(*) from crawl where state not in ('done', 'queued', 'leased')")
    finally:
        daemon.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(60)
        daemon.kill()
        world.close()
    return {
        "sources": sources, "every_seconds": every, "minutes": round(seconds / 60, 1), "crawls": crawls,
        "crawls_per_second": round(crawls / seconds, 2), "wanted_per_second": round(sources / every, 2),
        "requests": world.requests - requests, "sources_more_than_a_minute_late": behind, "crawls_that_failed": failed,
        "processor_ms_per_crawl": round(used / max(crawls, 1) * 1000, 1),
        "cores_at_the_wanted_rate": round(used / max(crawls, 1) * sources / every, 2),
        "largest_MiB": most, "database_MiB": (home / "tocsin.db").stat().st_size // 2**20,
    }  # fmt: skip


def main() -> None:
    """Print the figures."""
    given = dict(each.removeprefix("--").split("=") for each in sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="tocsin-many-") as folder:
        figures = run(
            Path(folder),
            sources=int(given.get("sources", 10_000)),
            every=float(given.get("every", 900)),
            minutes=float(given.get("minutes", 30)),
            posts=int(given.get("posts", 5)),
            parallel=int(given.get("parallel", 4)),
        )
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
