"""A running daemon with one source and a chat, in a home on a file system of its own, which a test can damage."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.store.selftests import EXAMINER_SELFTEST, HEARTBEAT
from data.store.store import Store
from scheduler.daemon.cadence import MIN_INTERVAL
from scheduler.daemon.daemon import EXAMINER_TICK
from scheduler.demo.servers import Chat
from tests.command import environment, must
from tests.scheduler.crawls.conftest import SOURCE, Site
from tests.synth.people import people
from tests.whole.test_kill import tree
from tests.whole.test_whole_way import enrol, table

# Deadlines that are seconds in a test and longer in production; the parts themselves are the real ones.
SELFTEST_EVERY = timedelta(seconds=4)
SHORT_WAITS = """
import os
os.environ.pop("LD_PRELOAD", None)  # a clock that a test sets is that of this process, not of its children
from datetime import timedelta
from crawler.process import examiner_client
from crawler.sandbox import sandbox
from scheduler.crawl_processes import crawl_process, fork_server
from scheduler.daemon import daemon
from scheduler.delivery import lasting_states
# the examiner waits for the fork server of readers, which has to be replaced first
examiner_client.FROZEN_SECONDS = sandbox.FORK_SECONDS + 6
fork_server.FORK_SECONDS, crawl_process.FROZEN_SECONDS = 3.0, 8.0
daemon.HEARTBEAT_EVERY = daemon.EXAMINER_TICK = timedelta(seconds=1)
daemon.REMIND_TICK = timedelta(seconds=2)
daemon.SELFTEST_EVERY = lasting_states.SELFTEST_EVERY = timedelta(seconds={selftest})
from scheduler.cli import main
main(["--home", {home!r}, "daemon"])
"""
# Everything that the daemon stores about intervals and about what it tells, in the order in which it stores it: neither the
# speed of the machine nor a clock that is set changes how many intervals lie between a fault and what tells of it.
TRACE = """
create table fault_trace (id integer primary key, what text not null, name text not null) strict;
create trigger trace_event after insert on event
    begin insert into fault_trace (what, name) values ('event', new.id); end;
create trigger trace_event_again after update of sightings on event
    begin insert into fault_trace (what, name) values ('event', new.id); end;
create trigger trace_trouble after insert on trouble
    begin insert into fault_trace (what, name) values ('trouble', new.source || ': ' || new.reason); end;
create trigger trace_test after insert on selftest
    begin insert into fault_trace (what, name) values (new.name, new.at); end;
create trigger trace_visit after update of state on crawl when new.ended is not null
    begin insert into fault_trace (what, name) values ('visit', new.source); end;
"""
# What the intervals of a fault are counted in: visits of the source, heartbeats of the daemon, self-tests of the examiner,
# which look at the files of the home.
VISIT, BEAT, TEST = "visit", HEARTBEAT, EXAMINER_SELFTEST
# The daemon looks at its parts, and delivers alerts, much more often than it visits a source, but here as often. What these
# find is counted in intervals of the shortest cadence, by the number of looks in one of them.
LOOKS = "looks"
LOOKS_IN_INTERVAL = round(MIN_INTERVAL / EXAMINER_TICK)
INTERVALS = 2
SETTINGS = """
[channels.team]
kind = "slack"
burst = 0
url = "{url}/hook"
[daemon]
deliver_every = "300ms"
[crawl]
wall = "20s"
stream_above = "64KiB"
[examine]
wall = "10s"
[triage]
# nobody acknowledges alerts here, and where the clock is set they are days old
remind_after = "0s"
"""


def fake_clock(file: Path) -> dict[str, str]:
    """Environment in which a process's system clock differs by what the file holds; its monotonic clock does not."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def parent_of(pid: int) -> int:
    # the number of the parent is the second field behind the name, which is in brackets
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class World:
    """A daemon with one source that is crawled every second, a site, and a chat."""

    def __init__(self, folder: Path, site: Site, chat: Chat, crowd: int) -> None:
        self.home, self.site, self.chat, self.folder = folder / "home", site, chat, folder
        self.crowd = people(77, crowd)
        self.log = folder / "daemon.log"
        self.posts = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, clock: Path | None = None) -> None:
        """Start the daemon; with a file for `clock`, its system clock differs by what that holds (`+700d`)."""
        faked = {} if clock is None else fake_clock(clock)
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SHORT_WAITS.format(home=str(self.home), selftest=SELFTEST_EVERY.seconds)],
                stdout=out,
                stderr=out,
                env=environment(**faked),
            )
        self.until(lambda: "watching" in self.log.read_text(), "the daemon did not start", 240)

    def until(self, condition: Callable[[], object], what: str, seconds: float = 240) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process is None or self.process.poll() is None, f"the daemon ended\n{self.log.read_text()}"
            assert time.monotonic() < end, f"{what}\n{self.log.read_text()[-6000:]}"
            time.sleep(0.1)

    def publish_hit(self, *, padding: int = 0) -> str:
        """Publish a post with two people whom no earlier post had, and so many empty rows; returns its name."""
        self.posts += 1
        name = f"dump-{self.posts}"
        people = table(self.crowd[2 * self.posts : 2 * self.posts + 2])
        self.site.bodies[name] = people.encode() + b",,,,,\r\n" * padding
        self.site.pages = {1: [name, *self.site.pages.get(1, [])][:10]}
        return name

    @contextlib.contextmanager
    def store(self):
        with contextlib.closing(Store.open(self.home / "tocsin.db")) as store:
            yield store

    def hits(self) -> int:
        """Number of alerts of hits that the chat has shown."""
        return sum(
            "Further release" in str(each) or "Client data published" in str(each) for each in self.chat.messages
        )

    def told(self, *words: str) -> bool:
        return any(word in str(message) for message in self.chat.messages for word in words)

    def mark(self) -> int:
        """The place in the trace that has been reached; faults come after it."""
        with self.store() as store:
            [row] = store.database.rows("select coalesce(max(id), 0) as id from fault_trace")
        return int(row["id"])

    def intervals_until_told(
        self,
        mark: int,
        unit: str,
        words: tuple[str, ...] = (),
        kinds: frozenset[str] = frozenset(),
        source: str = "site",
    ) -> float | None:
        """How many intervals were over when the first event or trouble after a mark named a fault; None if none does.

        Args:
            mark: of the trace, before the fault.
            unit: `VISIT` (of the source), `BEAT`, `TEST` or `LOOKS`.
            words: of which one is in the facts of the event, or in the trouble.
            kinds: of events of which one is enough.
            source: whose visits, kinds and troubles count.
        """
        over = 0.0
        counted = VISIT if unit == LOOKS else unit
        with self.store() as store:
            for row in store.database.rows("select what, name from fault_trace where id > ? order by id", mark):
                if row["what"] == counted and (counted != VISIT or row["name"] == source):
                    over += 1 / LOOKS_IN_INTERVAL if unit == LOOKS else 1
                elif row["what"] == "trouble" and any(word in row["name"] for word in words):
                    return over
                elif row["what"] == "event" and (event := store.events.get(row["name"])) is not None:
                    named = any(word in str(event.facts) for word in words)
                    if named or (event.kind.value in kinds and event.source in {"", source}):
                        return over
        return None

    def must_be_told(
        self,
        mark: int,
        unit: str,
        words: tuple[str, ...] = (),
        kinds: frozenset[str] = frozenset(),
        source: str = "site",
    ) -> None:
        """Wait until an event or a trouble names the fault, and see that at most two intervals were over then."""
        told: list[float] = []

        def is_told() -> bool:
            found = self.intervals_until_told(mark, unit, words, kinds, source)
            told.extend([] if found is None else [found])
            return bool(told)

        self.until(is_told, f"nobody was told: {words or sorted(kinds)}")
        assert told[0] <= INTERVALS, f"{words or sorted(kinds)}: told after {told[0]} intervals ({unit})"

    def examined(self) -> bool:
        """Whether every published post is examined."""
        with self.store() as store:
            [state] = [state for state in store.sources.states() if state.name == "site"]
            return (state.posts, state.due) == (self.posts, 0)

    def unsent(self) -> list[tuple[str, str, str]]:
        """Channel, state and reason of each alert that its channel has not taken."""
        with self.store() as store:
            rows = store.database.rows("select channel, state, reason from alert where state <> 'sent'")
        return [(row["channel"], row["state"], row["reason"]) for row in rows]

    def heartbeat_age(self) -> timedelta:
        """Time since the daemon last stored that it makes progress."""
        with self.store() as store:
            return datetime.now(UTC) - store.selftests.latest()[HEARTBEAT][0]

    def tested_since(self, began: datetime) -> None:
        """Wait for a self-test of the examiner that passes after a time."""

        def passed() -> bool:
            with self.store() as store:
                at, good = store.selftests.latest()[EXAMINER_SELFTEST]
            return good and at > began

        self.until(passed, "no self-test passed")

    def pids(self, words: bytes) -> list[int]:
        assert self.process is not None
        found = []
        for pid in tree(self.process.pid):
            with contextlib.suppress(OSError):
                if words in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return sorted(found)

    def part_of(self, pid: int) -> str:
        """Which part of the daemon a process is; '' if it has ended."""
        assert self.process is not None
        if pid == self.process.pid:
            return "runner"
        with contextlib.suppress(OSError):
            called = Path(f"/proc/{pid}/cmdline").read_bytes()
            is_child = parent_of(pid) == self.process.pid
            if b"crawler.examiner.main" in called:
                return "examiner" if is_child else "worker of the examiner"
            if b"crawl_fork_server" in called:
                return "fork server of crawls" if is_child else "crawl process"
            if b"crawler.sandbox.fork_server" in called:
                if Path(f"/proc/{pid}/exe").readlink().name == "bwrap":
                    return "bubblewrap"
                return "fork server of readers" if pid in self._readers_and_server()[0] else "reader"
            return "another process"
        return ""

    def fork_server_of_readers(self) -> int:
        """The process that forks readers: neither bubblewrap around it nor a reader, whose command lines are the same."""
        (server,) = self._readers_and_server()[0]
        return server

    def _readers_and_server(self) -> tuple[list[int], list[int]]:
        alike = [
            pid
            for pid in self.pids(b"crawler.sandbox.fork_server")
            if Path(f"/proc/{pid}/exe").readlink().name != "bwrap"
        ]
        parents = {pid: parent_of(pid) for pid in alike}
        servers = [pid for pid in alike if parents[pid] not in alike]
        return servers, [pid for pid in alike if pid not in servers]

    def reader(self) -> int:
        """The reader of a post of which the site holds half back."""
        self.site.hold.clear()
        name = f"dump-{self.posts + 1}"
        self.site.halves.add(name)
        self.publish_hit(padding=100_000)
        since: dict[int, float] = {}

        def is_there() -> bool:
            with contextlib.suppress(OSError):
                readers = self._readers_and_server()[1]
                for pid in {*since} - {*readers}:
                    del since[pid]
                for pid in readers:
                    since.setdefault(pid, time.monotonic())
            # those of self-tests end soon
            return any(time.monotonic() - began > 2 for began in since.values())

        self.until(is_there, "the reader did not start")
        return min(since, key=lambda pid: since[pid])

    def crawl_process(self) -> int:
        """The process of a crawl that waits for the answer to its request for a new post, which the site holds back."""
        self.site.hold.clear()
        name = self.publish_hit()
        self.until(lambda: f"/post/{name}" in self.site.asked, "the post was not requested")
        return self.pids(b"crawl_fork_server")[-1]

    def calm(self) -> None:
        """Wait until no state lasts, so that the next one is told, and no crawl that began before this can begin one."""
        with self.store() as store:
            [latest] = store.database.rows("select coalesce(max(rowid), 0) as id from crawl")

        def no_state() -> bool:
            with self.store() as store:
                done = store.database.rows(
                    "select 1 from crawl where rowid > ? and state = 'done' limit 1", latest["id"]
                )
                return bool(done) and not store.states.lasting()

        self.until(no_state, "a state did not end")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let the daemon and its examiner stand still inside this block."""
        assert self.process is not None
        pids = [self.process.pid, *self.pids(b"crawler.examiner.main")]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)

    def reload(self) -> None:
        """Have the daemon read its home again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def logged(self, event: str) -> int:
        """How often the daemon has written an event into its log."""
        return self.log.read_text().count(f"event={event} ")

    def end(self) -> None:
        """End the daemon with SIGKILL; its other processes end with it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> float:
        """Stop the daemon with SIGTERM; returns the seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(60) in {0, 1}, f"{self.process.returncode}\n{self.log.read_text()[-6000:]}"
        finally:
            self.end()
        return time.monotonic() - began


def direct_source(site: Site) -> str:
    return SOURCE.format(url=site.url, pages=1)


@contextlib.contextmanager
def opened_world(
    folder: Path,
    *,
    crowd: int = 60,
    clock: Path | None = None,
    source: Callable[[Site], str] = direct_source,
    settings: str = "",
) -> Iterator[World]:
    """A running daemon that has reported its first post.

    Args:
        folder: for everything.
        crowd: people whom the client has enrolled; each post with a hit takes two of them.
        clock: as `World.start`.
        source: makes the file of the source.
        settings: further ones.
    """
    site = Site()
    (folder / "home").mkdir()
    # A file system of its own, which a test can fill.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "home", folder / "home"], check=True)
    try:
        with Chat() as chat:
            made = World(folder, site, chat, crowd)
            must(None, "init", made.home)
            (made.home / "tocsin.toml").write_text(SETTINGS.format(url=chat.url) + settings)
            enrol(made.home, folder, "practice-a", made.crowd)
            (folder / "known.csv").write_text(table(people(78, 30)))
            must(made.home, "release", "add", "--name", "known", folder / "known.csv")
            must(made.home, "incident", "add", "threat", "--client", "practice-a", "--source", "site")
            (folder / "site.yaml").write_text(source(site) + "every: 1s\n")
            must(made.home, "source", "add", folder / "site.yaml")
            with made.store() as store:
                store.database.connection.executescript(TRACE)
            made.publish_hit()
            made.start(clock)
            try:
                made.until(lambda: made.examined() and made.hits() == 1, "the first post was not reported")
                yield made
                assert made.stop() < 30
            finally:
                made.end()
    finally:
        site.hold.set()
        site.http.shutdown()
        site.http.server_close()
        subprocess.run(["umount", "-l", folder / "home"], check=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with opened_world(tmp_path_factory.mktemp("faults")) as made:
        yield made
