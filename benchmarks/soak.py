"""A soak: one daemon watches many sources whose sites post, edit, delete, break, hang, move and come back, while it is killed.

    python -m benchmarks soak [--minutes=30] [--sources=200] [--kills=500] [--every=20] [--seed=1]

It ends with status 1 and one sentence for each fault: a version of a post that stood long enough and was not examined, or
was examined twice; an alert that was lost or shown twice; a trouble of a site that was no event within two visits, or had
no recovery; a lease that stays; and without kills, memory or descriptors that grew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
[daemon]
deliver_every = "300ms"
parallel = 4
"""
# Posts that a board shows at most; one that is full loses its oldest.
SHOWN = 8
# Troubles last so many visits; those of these kinds must be told.
VISITS = 4
TOLD = ("broken", "hanging", "gone")
QUIET = ("slow", "moved")
# Share of posts that hold a canary.
HITS = 0.3
# Seconds beyond the visits that the machine may take: it is shared with whatever else runs on it.
SLACK = 60.0
# A process may need so much more memory in the last quarter than in the second, after everything was loaded once.
GROWTH = 1.05


@dataclass
class Version:
    """One version of a post: its bytes, when its board showed it, and until when."""

    body: bytes
    began: float
    healthy: float = 0.0
    ended: float | None = None


@dataclass
class Trouble:
    """One trouble of a board, by monotonic and by system time."""

    board: str
    kind: str
    until: float
    began_at: datetime
    ended_at: datetime | None = None


@dataclass
class Board:
    """A board of the site: what its listing shows, and its trouble."""

    name: str
    shown: dict[str, list[Version]] = field(default_factory=dict)
    old: list[Version] = field(default_factory=list)
    trouble: Trouble | None = None
    posts: int = 0


@dataclass
class Result:
    """What a soak found; `faults` are sentences."""

    faults: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)


class World:
    """The boards, and a receiver of alerts, on one real server."""

    def __init__(self, boards: int, seed: int) -> None:
        self.boards = {f"s{number}": Board(f"s{number}") for number in range(boards)}
        self.dice = random.Random(seed)
        self.lock = threading.Lock()
        self.alerts: Counter[str] = Counter()
        self.requests = 0
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                world.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with world.lock:
                    world.alerts[self.headers["webhook-id"]] += 1
                self.reply(200, b"")

            def reply(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request as the board's trouble wants it."""
        reply = handler.reply  # type: ignore[attr-defined] # of the class above
        self.requests += 1
        parts = handler.path.strip("/").split("/")
        moved = parts[0] == "moved"
        board = self.boards.get(parts[1 if moved else 0])
        if board is None:
            reply(404, b"")
            return
        kind = board.trouble.kind if board.trouble is not None else ""
        if kind == "hanging":
            time.sleep(6)
        elif kind == "slow":
            time.sleep(0.7)
        if kind in ("broken", "hanging"):
            reply(500, b"")
        elif kind == "gone":
            reply(404, b"")
        elif kind == "moved" and not moved:
            reply(302, b"", Location=f"/moved{handler.path}")
        elif len(parts) == (2 if moved else 1):
            with self.lock:
                rows = [
                    f'<li id="{name}"><a href="/{board.name}/{name}/{len(versions)}">{name} part {len(versions)}</a></li>'
                    for name, versions in reversed(board.shown.items())
                ]
            reply(
                200,
                f"<html><ul>{''.join(rows) or '<li id=none><a href=/none>none</a></li>'}</ul></html>".encode(),
                "text/html",
            )
        else:
            with self.lock:
                versions = board.shown.get(parts[-2], [])
            number = int(parts[-1]) if parts[-1].isdigit() else 0
            reply(200, versions[number - 1].body) if 0 < number <= len(versions) else reply(404, b"")

    def step(self, seconds: float) -> None:
        """Let so much time pass: troubles end, and what is shown counts as visible for so long."""
        now = time.monotonic()
        with self.lock:
            for board in self.boards.values():
                if board.trouble is not None and now >= board.trouble.until:
                    board.trouble.ended_at = datetime.now().astimezone()
                    board.trouble = None
                if board.trouble is None or board.trouble.kind == "moved":
                    for versions in board.shown.values():
                        versions[-1].healthy += seconds

    def act(self, every: float, hits: list[str], number: int) -> Trouble | None:
        """One thing happens on one board."""
        board = self.dice.choice(list(self.boards.values()))
        what = self.dice.choices(["post", "edit", "delete", "trouble"], [6, 2, 1, 1])[0]
        if board.trouble is not None:
            return None
        now = time.monotonic()
        with self.lock:
            if what == "post" or not board.shown:
                board.posts += 1
                if len(board.shown) >= SHOWN:
                    self._remove(board, next(iter(board.shown)), now)
                board.shown[f"{board.name}-{board.posts}"] = [Version(self._body(number, hits), now)]
            elif what == "edit":
                versions = board.shown[self.dice.choice(list(board.shown))]
                versions[-1].ended = now
                versions.append(Version(self._body(number, hits), now))
            elif what == "delete" and len(board.shown) > 1:
                self._remove(board, self.dice.choice(list(board.shown)), now)
            elif what == "trouble":
                kind = self.dice.choice(TOLD + QUIET)
                board.trouble = Trouble(board.name, kind, now + VISITS * every + 8, datetime.now().astimezone())
                return board.trouble
        return None

    def _remove(self, board: Board, name: str, now: float) -> None:
        versions = board.shown.pop(name)
        versions[-1].ended = now
        board.old += versions

    def _body(self, number: int, hits: list[str]) -> bytes:
        if hits and self.dice.random() < HITS:
            return hits.pop().encode()
        return f"message {number}: nothing of note\n".encode() * 20

    def versions(self) -> list[Version]:
        """Every version that was ever shown."""
        with self.lock:
            return [
                version
                for board in self.boards.values()
                for version in [*board.old, *(each for versions in board.shown.values() for each in versions)]
            ]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def _usage(pids: list[int]) -> dict[str, tuple[int, int]]:
    """Role -> resident KiB and descriptors of the processes that stay."""
    found: dict[str, tuple[int, int]] = {}
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            role = next(
                (name for name, sign in (("examiner", b"examiner.main"), ("daemon", b"\0daemon")) if sign in words), ""
            )
            if role and role not in found:
                rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
                found[role] = rss, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return found


def soak(
    folder: Path, *, minutes: float = 3, sources: int = 200, kills: int = 0, every: float = 20, seed: int = 1
) -> Result:
    """Run a daemon over a world for some minutes, and check what it made of it.

    Args:
        folder: an empty folder for its home.
        minutes: how long things happen; the end takes some visits more.
        sources: boards, each a source.
        kills: of random processes, half of them the daemon itself, which is started again at once.
        every: seconds between two visits.
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
    for name in world.boards:
        (home / "sources" / f"{name}.yaml").write_text(SOURCE.format(name=name, url=world.url, every=int(every)))
    for number in range(sources):
        board = world.boards[f"s{number}"]
        board.posts += 1
        board.shown[f"{board.name}-1"] = [Version(f"first post of {board.name}\n".encode() * 10, time.monotonic())]

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
        _until(lambda: queued() >= sources, 900, "the first visits did not begin")
        # nothing happens before each board was read once: what stands then is the quiet baseline
        _until(lambda: _done(home) >= sources, 600, "the first visits did not end")
        began = last = time.monotonic()
        seconds = minutes * 60
        # so many things that each board sees one about every four visits
        pause = 4 * every / sources
        next_act, next_sample, crawls_at_kill, works_from = began, began, (0, 0.0), 0
        while (now := time.monotonic()) < began + seconds:
            world.step(now - last)
            last = now
            # nothing new happens in the last visits: what stands then must be seen
            while next_act < now:
                happened += 1
                trouble = world.act(every, hits, happened)
                if trouble is not None:
                    troubles.append(trouble)
                next_act += pause
            if now >= next_sample:
                samples.append(_usage(tree(daemon.pid)))
                next_sample = now + 2
            if crawls_at_kill[1] and queued() > crawls_at_kill[0]:
                back.append(now - crawls_at_kill[1])
                crawls_at_kill = (0, 0.0)
                works_from = _ended(home) + sources // 4
            # a process is killed only once the daemon has worked again: it is to lose nothing, not to be kept from starting
            due = killed < kills * (now - began) / seconds and not crawls_at_kill[1]
            if due and _ended(home) >= works_from:
                killed += 1
                victims = tree(daemon.pid)
                victim = daemon.pid if killed % 2 or not victims else dice.choice(victims)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                works_from = _ended(home) + sources // 4
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
        for board in world.boards.values():
            if board.trouble is not None:
                board.trouble.until = 0.0
        world.step(0)
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
    found = _examined(home)
    long_enough = 3 * every + SLACK
    for key, version in expected.items():
        if found[key] > 1:
            result.faults.append(f"a version of a post was examined {found[key]} times")
        if not found[key] and (version.ended is None or version.healthy >= long_enough):
            result.faults.append(f"a version that stood {version.healthy:.0f} s was not examined")
    result.faults += _faults_of_troubles(home, troubles)
    result.faults += _faults_of_alerts(home, world)
    with contextlib.closing(_database(home)) as db:
        if left := db.execute("select count(*) from crawl where state in ('queued', 'leased')").fetchone()[0]:
            result.faults.append(f"{left} leases were left")
        crawls = dict(db.execute("select state, count(*) from crawl group by state").fetchall())
    growth = _growth(samples)
    if not kills:
        result.faults += [
            f"{role}: {what} grew from {before:.0f} to {after:.0f}"
            for (role, what), (before, after) in growth.items()
            if after > before * GROWTH + (4 if what == "descriptors" else 0)
        ]
    if "Traceback" in log_path.read_text():
        result.faults.append("the log has a traceback")
    result.figures = {
        "minutes": minutes, "sources": sources, "every_seconds": every, "seed": seed, "kills": killed,
        "crawls": crawls, "crawls_per_second": round(crawls.get("done", 0) / (minutes * 60), 2),
        "versions": len(expected), "examined": len(found), "troubles": len(troubles),
        "alerts": len(world.alerts), "sent_again": sum(world.alerts.values()) - len(world.alerts),
        "seconds_until_back": round(statistics.median(back), 1) if back else None,
        "growth": {f"{role} {what}": [round(before), round(after)] for (role, what), (before, after) in growth.items()},
    }  # fmt: skip
    return result


def _database(home: Path):  # type: ignore[no-untyped-def] # sqlite3 is imported here alone
    import sqlite3

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


def _open_states(home: Path) -> int:
    with contextlib.closing(_database(home)) as db:
        return int(db.execute("select count(*) from state where kind = 'source_silent'").fetchone()[0])


def _waiting(home: Path) -> int:
    with contextlib.closing(_database(home)) as db:
        return int(db.execute("select count(*) from alert where state <> 'sent'").fetchone()[0])


def _faults_of_troubles(home: Path, troubles: list[Trouble]) -> list[str]:
    """Troubles that two visits met and that were no event, or had no recovery."""
    with contextlib.closing(_database(home)) as db:
        rows = db.execute("select kind, source, at from event where source <> ''").fetchall()
        visits = db.execute("select source, started, ended from crawl where state = 'failed'").fetchall()
    faults = []
    for trouble in troubles:
        if trouble.kind not in TOLD or trouble.ended_at is None:
            continue
        met = sorted(
            datetime.fromisoformat(ended)
            for source, started, ended in visits
            if source == trouble.board
            and trouble.began_at <= datetime.fromisoformat(started)
            and datetime.fromisoformat(ended) <= trouble.ended_at
        )
        if len(met) < 2:
            continue
        events = [(kind, datetime.fromisoformat(at)) for kind, source, at in rows if source == trouble.board]
        # a crawl that was killed before may have begun the state already
        if not any(kind == "source_silent" and at <= met[1] for kind, at in events):
            faults.append(f"{trouble.board} was {trouble.kind}, and nobody was told after two visits")
        elif not any(kind == "recovered" and at > trouble.began_at for kind, at in events):
            faults.append(f"{trouble.board} was {trouble.kind}, and no recovery was told")
    return faults


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
    for role in ("daemon", "examiner"):
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
