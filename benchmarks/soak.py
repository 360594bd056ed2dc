"""A soak: one daemon watches many sources whose sites post, edit, delete, get into all kinds of trouble and come back, while it is killed.

    python -m benchmarks soak [--minutes=30] [--sources=200] [--kills=500] [--every=20] [--calm=0.25] [--seed=1]

It ends with status 1 and one sentence for each fault: a version of a post that two undisturbed visits could have seen and
that was not examined, or was examined twice; an alert that was lost or shown twice; a trouble of a site that was no event
within two visits, or had no recovery; a host that no source declares and that was contacted; a lease that stays; and in the
share of the time without kills, at its end, memory or descriptors that grew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from benchmarks.soak_world import TOLD, VISITS, Trouble, Version, World

BY_NAME_ONLY = True
SOURCE = """\
name: {name}
platform: declared
url: {url}/{name}
every: {every}s
rate: 1000
timeout: 4s
list:
  each: ["css:li"]
  fields: {{id: "xpath:./@id", title: "css:a::text", link: "css:a::attr(href)"}}
health: {{overlap: false}}
"""
SETTINGS = """\
[channels.machine]
kind = "generic"
url = "{url}/alerts"
unsigned = true
[crawl]
rate = 1000
[daemon]
deliver_every = "300ms"
parallel = 4
"""
# What tells of a trouble of a source.
TELLING = ("source_silent", "source_changed")
# Seconds beyond the visits that the machine may take: it is shared with whatever else runs on it.
SLACK = 60.0
# A process may need so much more memory in the last quarter than in the second, after everything was loaded once.
GROWTH = 1.05
# Seconds without kills that a daemon needs before that, if it was killed.
WARM_UP = 300.0


@dataclass
class Result:
    """What a soak found; `faults` are sentences."""

    faults: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)


# Processes that stay, and what is in their command lines.
ROLES = {"examiner": b"examiner.main", "fork server of crawls": b"crawl_fork_server", "daemon": b"\0daemon"}


def _usage(pids: list[int]) -> dict[str, tuple[int, int]]:
    """Role -> resident KiB and descriptors of the processes that stay."""
    found: dict[str, tuple[int, int]] = {}
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            role = next((name for name, sign in ROLES.items() if sign in words), "")
            if role and role not in found:
                rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
                found[role] = rss, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return found


def soak(
    folder: Path,
    *,
    minutes: float = 3,
    sources: int = 200,
    kills: int = 0,
    every: float = 20,
    calm: float = 0.25,
    seed: int = 1,
) -> Result:
    """Run a daemon over a world for some minutes, and check what it made of it.

    Args:
        folder: an empty folder for its home.
        minutes: how long things happen; the end takes some visits more.
        sources: boards, each a source.
        kills: of random processes, a quarter of them the daemon itself, which is started again at once.
        every: seconds between two visits.
        calm: share of the time, at its end, in which nothing is killed, so that memory can be compared.
        seed: of all that happens.
    """
    from tests.command import TOCSIN, environment, must
    from tests.synth.people import people
    from tests.whole.test_kill import tree, wait_gone
    from tests.whole.test_whole_way import enrol, table

    result = Result()
    dice = random.Random(seed)
    home, log_path = folder / "home", folder / "daemon.log"
    must(None, "init", home)
    crowd = people(seed, 2000)
    enrol(home, folder, "practice", crowd)
    hits = [table(crowd[at : at + 2]) for at in range(0, len(crowd), 2)]
    world = World(sources, seed)
    (home / "tocsin.toml").write_text(SETTINGS.format(url=world.url))
    for example in (home / "sources").glob("*.yaml"):
        example.unlink()
    for name, board in world.boards.items():
        (home / "sources" / f"{name}.yaml").write_text(SOURCE.format(name=name, url=board.url, every=int(every)))

    def start() -> subprocess.Popen[bytes]:
        with log_path.open("ab") as log:
            return subprocess.Popen([TOCSIN, "--home", str(home), "daemon"], stdout=log, stderr=log, env=environment())

    def queued() -> int:
        with contextlib.closing(_database(home)) as db:
            return int(db.execute("select count(*) from crawl").fetchone()[0])

    daemon = start()
    troubles: list[Trouble] = []
    samples: list[dict[str, tuple[int, int]]] = []
    back: list[float] = []
    killed = happened = 0
    try:
        # nothing happens before each board was read once: what stands then is the quiet baseline
        _until(lambda: queued() >= sources and _done(home) >= sources, 1800, "the first visits did not end")
        began = time.monotonic()
        seconds = minutes * 60
        killing = seconds * (1 - calm) if kills else 0.0
        # so many things that each board sees one about every four visits
        pause = 4 * every / sources
        next_act, next_sample, crawls_at_kill, works_from = began, began, (0, 0.0), 0
        while (now := time.monotonic()) < began + seconds:
            world.step()
            # nothing new happens in the last visits: what stands then must be seen
            while next_act < now:
                happened += 1
                trouble = world.act(every, hits, happened)
                if trouble is not None:
                    troubles.append(trouble)
                next_act += pause
            if now >= next_sample:
                if now > began + killing:
                    samples.append(_usage(tree(daemon.pid)))
                next_sample = now + 2
            if crawls_at_kill[1] and queued() > crawls_at_kill[0]:
                back.append(now - crawls_at_kill[1])
                crawls_at_kill = (0, 0.0)
                works_from = _ended(home) + max(1, sources // 20)
            # a process is killed only once the daemon has worked again: it is to lose nothing, not to be kept from starting
            due = now < began + killing and killed < kills * (now - began) / killing and not crawls_at_kill[1]
            if due and _ended(home) >= works_from:
                killed += 1
                victims = tree(daemon.pid)
                # a daemon takes seconds to start, and the others are replaced while it runs
                victim = daemon.pid if killed % 4 == 1 or not victims else dice.choice(victims)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                works_from = _ended(home) + max(1, sources // 20)
                if victim == daemon.pid:
                    daemon.wait()
                    wait_gone(daemon.pid)
                    crawls_at_kill = (queued(), time.monotonic())
                    daemon = start()
            if daemon.poll() is not None:
                # its examiner was killed before it was ready: whoever supervises a daemon starts it again
                crawls_at_kill = (queued(), time.monotonic())
                daemon = start()
            time.sleep(0.1)
        world.step(end_all=True)
        expected = {_digest(home, version.body): version for version in world.versions()}

        def settled() -> bool:
            nonlocal daemon
            if daemon.poll() is not None:
                daemon = start()
            found = _examined(home)
            lacking = [each for key, each in expected.items() if each.ended is None and key not in found]
            return not lacking and not _open_states(home) and not _waiting(home)

        with contextlib.suppress(TimeoutError):
            _until(settled, VISITS * every + 3 * SLACK, "not everything was examined, told and over")
    finally:
        daemon.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(60)
        daemon.kill()
        world.close()
    found, visits = _examined(home), _visits(home)
    required = 0
    for key, version in expected.items():
        if found[key] > 1:
            result.faults.append(f"a version of a post was examined {found[key]} times")
        seen = version.ended is None or _undisturbed(version, visits, troubles) >= 2
        required += seen
        if seen and not found[key]:
            result.faults.append("a version that two visits could have seen was not examined")
    judged, faults = _faults_of_troubles(home, troubles, visits)
    result.faults += faults + _faults_of_alerts(home, world)
    if world.strangers:
        result.faults.append(f"{world.strangers} requests went to a host that their source does not declare")
    with contextlib.closing(_database(home)) as db:
        if left := db.execute("select count(*) from crawl where state in ('queued', 'leased')").fetchone()[0]:
            result.faults.append(f"{left} leases were left")
        crawls = dict(db.execute("select state, count(*) from crawl group by state").fetchall())
    growth = _growth(samples)
    # a daemon that was started a minute ago is not warm yet
    warm = not kills or seconds - killing >= WARM_UP
    result.faults += [
        f"{role}: {what} grew from {before:.0f} to {after:.0f}"
        for (role, what), (before, after) in growth.items()
        if warm and after > before * GROWTH + (4 if what == "descriptors" else 0)
    ]
    if "Traceback" in log_path.read_text():
        result.faults.append("the log has a traceback")
    result.figures = {
        "minutes": minutes, "sources": sources, "every_seconds": every, "seed": seed, "kills": killed,
        "crawls": crawls, "crawls_per_second": round(crawls.get("done", 0) / (minutes * 60), 2),
        "versions": len(expected), "required": required, "examined": len(found), "requests": world.requests,
        "troubles": len(troubles), "kinds": dict(Counter(each.kind for each in troubles)), "of_two_visits": judged,
        "alerts": len(world.alerts), "sent_again": sum(world.alerts.values()) - len(world.alerts),
        "seconds_until_back": round(statistics.median(back), 1) if back else None,
        "seconds_until_back_at_most": round(max(back), 1) if back else None,
        "growth": {f"{role} {what}": [round(before), round(after)] for (role, what), (before, after) in growth.items()},
    }  # fmt: skip
    return result


def _database(home: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{home / 'tocsin.db'}?mode=ro", uri=True, timeout=10)


def _until(condition, seconds: float, what: str) -> None:  # type: ignore[no-untyped-def] # any callable
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.5)


def _done(home: Path) -> int:
    with contextlib.closing(_database(home)) as db:
        return int(db.execute("select count(distinct source) from crawl where state = 'done'").fetchone()[0])


def _ended(home: Path) -> int:
    """How many crawls ended well or failed, but were not cut off."""
    with contextlib.closing(_database(home)) as db:
        return int(db.execute("select count(*) from crawl where state in ('done', 'failed')").fetchone()[0])


def _digest(home: Path, body: bytes) -> str:
    """The keyed digest of a body, as the store has it."""
    from data.hashing.case_keys import parse_match_key
    from data.hashing.tags import keyed_sha256

    keys = parse_match_key((home / "keys" / "match.key").read_text())
    return keyed_sha256(keys.derive().post, hashlib.sha256(body).hexdigest())


def _examined(home: Path) -> Counter[str]:
    """Keyed digest of a sample -> how often it was examined."""
    with contextlib.closing(_database(home)) as db:
        return Counter(json.loads(body)["sha256"] for (body,) in db.execute("select body from finding"))


@dataclass(frozen=True)
class _Visit:
    """A crawl that was not cut off: when it ran, and whether it ended well."""

    source: str
    started: datetime
    ended: datetime
    done: bool


def _visits(home: Path) -> dict[str, list[_Visit]]:
    """The visits of each source, in their order; a crawl that was killed is none."""
    found: dict[str, list[_Visit]] = {}
    with contextlib.closing(_database(home)) as db:
        for source, started, ended, state in db.execute(
            "select source, started, ended, state from crawl where state in ('done', 'failed') order by started"
        ):
            visit = _Visit(source, datetime.fromisoformat(started), datetime.fromisoformat(ended), state == "done")
            found.setdefault(source, []).append(visit)
    return found


def _undisturbed(version: Version, visits: dict[str, list[_Visit]], troubles: Sequence[Trouble]) -> int:
    """How many visits that ended well could see a version, and met no trouble of its board."""
    during = [each for each in troubles if each.board == version.board]
    return sum(
        visit.done
        and visit.started >= version.began
        and (version.ended is None or visit.ended <= version.ended)
        and not any(
            each.began_at <= visit.ended and (each.ended_at is None or visit.started <= each.ended_at)
            for each in during
        )
        for visit in visits.get(version.board, [])
    )


def _open_states(home: Path) -> int:
    with contextlib.closing(_database(home)) as db:
        marks = ", ".join("?" * len(TELLING))
        return int(db.execute(f"select count(*) from state where kind in ({marks})", TELLING).fetchone()[0])


def _waiting(home: Path) -> int:
    with contextlib.closing(_database(home)) as db:
        return int(db.execute("select count(*) from alert where state <> 'sent'").fetchone()[0])


def _faults_of_troubles(
    home: Path, troubles: Sequence[Trouble], visits: dict[str, list[_Visit]]
) -> tuple[int, list[str]]:
    """How many troubles two visits met, and those of them that were no event, or had no recovery.

    A visit that ended well although the board was in trouble counts as well: it is the silent failure that nobody sees.
    """
    with contextlib.closing(_database(home)) as db:
        rows = db.execute("select kind, source, at from event where source <> ''").fetchall()
    faults, judged = [], 0
    for trouble in troubles:
        if trouble.kind not in TOLD or trouble.ended_at is None:
            continue
        met = [
            visit.ended
            for visit in visits.get(trouble.board, [])
            if trouble.began_at <= visit.started and visit.ended <= trouble.ended_at
        ]
        if len(met) < 2:
            continue
        judged += 1
        events = [(kind, datetime.fromisoformat(at)) for kind, source, at in rows if source == trouble.board]
        # a crawl that was killed before may have begun the state already; an event may be stored just after its visit
        until_then = [(at, kind) for kind, at in events if at <= sorted(met)[1] and kind in (*TELLING, "recovered")]
        if not until_then or max(until_then)[1] == "recovered":
            faults.append(f"a board was {trouble.kind}, and nobody was told after two visits")
        elif not any(kind == "recovered" and at > trouble.began_at for kind, at in events):
            faults.append(f"a board was {trouble.kind}, and no recovery was told")
    return judged, faults


def _faults_of_alerts(home: Path, world: World) -> list[str]:
    """Alerts that did not arrive; one that arrived again had the same id, so that its receiver shows it once."""
    with contextlib.closing(_database(home)) as db:
        states = Counter(state for (state,) in db.execute("select state from alert"))
        hits = db.execute("select count(*) from event where kind in ('canary_hit', 'further_release')").fetchone()[0]
    faults = [f"{number} alerts are {state}" for state, number in states.items() if state != "sent"]
    if len(world.alerts) != states["sent"]:
        faults.append(f"{states['sent']} alerts were sent, and {len(world.alerts)} different ones arrived")
    if not hits:
        faults.append("no leak was told at all")
    return faults


def _growth(samples: list[dict[str, tuple[int, int]]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Role and what -> medians of the second and of the last quarter of the time."""
    found = {}
    for role in ROLES:
        for place, what in enumerate(("KiB", "descriptors")):
            values = [each[role][place] for each in samples if role in each]
            if len(values) >= 8:
                quarter = len(values) // 4
                found[role, what] = (
                    statistics.median(values[quarter : 2 * quarter]),
                    statistics.median(values[-quarter:]),
                )
    return found


def main() -> None:
    """Print the figures, then the faults."""
    given = dict(each.removeprefix("--").split("=") for each in sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="tocsin-soak-") as folder:
        result = soak(
            Path(folder),
            minutes=float(given.get("minutes", 30)),
            sources=int(given.get("sources", 200)),
            kills=int(given.get("kills", 500)),
            every=float(given.get("every", 20)),
            calm=float(given.get("calm", 0.25)),
            seed=int(given.get("seed", 1)),
        )
        if result.faults and "keep" in given:
            (Path(given["keep"])).write_text((Path(folder) / "daemon.log").read_text())
    print(json.dumps(result.figures, indent=1))
    for fault, number in Counter(result.faults).items():
        print(f"FAULT: {fault}" + (f" ({number} times)" if number > 1 else ""))
    if result.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
