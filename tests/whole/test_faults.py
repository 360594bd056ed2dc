"""The fault matrix: whatever part of a running daemon stands still, ends or fails, nothing is lost, and people are told."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.case import evidence
from data.store.database import stamp
from data.store.store import Store
from scheduler.demo.servers import Chat
from tests.command import environment, must, tocsin, tocsin_json
from tests.scheduler.crawls.conftest import SOURCE, Site
from tests.synth.people import people
from tests.whole.test_kill import tree
from tests.whole.test_whole_way import enrol, table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.skipif(os.geteuid() != 0, reason="full file systems are mounted, which only root may do"),
]

# Deadlines that are seconds in a test and longer in production; the parts themselves are the real ones.
SHORT_WAITS = """
from datetime import timedelta
from crawler.process import examiner_client
from crawler.sandbox import sandbox
from scheduler.crawls import crawl_processes
from scheduler.daemon import daemon
examiner_client.FROZEN_SECONDS = 4.0
crawl_processes.FORK_SECONDS, crawl_processes.FROZEN_SECONDS = 3.0, 8.0
daemon.HEARTBEAT_EVERY = daemon.EXAMINER_TICK = timedelta(seconds=1)
daemon.REMIND_TICK = timedelta(seconds=2)
from scheduler.cli import main
main(["--home", {home!r}, "daemon"])
"""
SETTINGS = """
[channels.team]
kind = "slack"
url = "{url}/hook"
[daemon]
deliver_every = "300ms"
"""


class World:
    """A daemon with one source that is crawled every second, a site, and a chat."""

    def __init__(self, folder: Path, site: Site, chat: Chat) -> None:
        self.home, self.site, self.chat, self.folder = folder / "home", site, chat, folder
        self.crowd = people(77, 60)
        self.log = folder / "daemon.log"
        self.posts = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SHORT_WAITS.format(home=str(self.home))],
                stdout=out,
                stderr=out,
                env=environment(),
            )
        self.until(lambda: "watching" in self.log.read_text(), "the daemon did not start", 240)

    def until(self, condition: Callable[[], object], what: str, seconds: float = 240) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process is None or self.process.poll() is None, f"the daemon ended\n{self.log.read_text()}"
            assert time.monotonic() < end, f"{what}\n{self.log.read_text()[-6000:]}"
            time.sleep(0.1)

    def publish_hit(self) -> str:
        """Publish a post with two people whom no earlier post had; returns its name."""
        self.posts += 1
        name = f"dump-{self.posts}"
        self.site.bodies[name] = table(self.crowd[2 * self.posts : 2 * self.posts + 2]).encode()
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

    def examined(self) -> bool:
        """Whether every published post is examined."""
        with self.store() as store:
            [state] = [state for state in store.sources.states() if state.name == "site"]
            return (state.posts, state.due) == (self.posts, 0)

    def pids(self, words: bytes) -> list[int]:
        assert self.process is not None
        found = []
        for pid in tree(self.process.pid):
            with contextlib.suppress(OSError):
                if words in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return sorted(found)

    def crawl_process(self) -> int:
        """The process of a crawl that waits for the answer to its request for a new post, which the site holds back."""
        self.site.hold.clear()
        name = self.publish_hit()
        self.until(lambda: any(name in each for each in self.site.asked), "the post was not requested")
        return self.pids(b"crawl_fork_server")[-1]

    def calm(self) -> None:
        """Wait until no state lasts, so that the next one is told."""

        def no_state() -> bool:
            with self.store() as store:
                return not store.states.lasting()

        self.until(no_state, "a state did not end")

    def stop(self) -> float:
        """Stop the daemon with SIGTERM; returns the seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(60) in {0, 1}
        finally:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - began


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    site = Site()
    (folder / "home").mkdir()
    # A file system of its own, which a test can fill.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "home", folder / "home"], check=True)
    try:
        with Chat() as chat:
            made = World(folder, site, chat)
            must(None, "init", made.home)
            (made.home / "tocsin.toml").write_text(SETTINGS.format(url=chat.url))
            enrol(made.home, folder, "practice-a", made.crowd)
            (folder / "site.yaml").write_text(SOURCE.format(url=site.url, pages=1) + "every: 1s\n")
            must(made.home, "source", "add", folder / "site.yaml")
            made.publish_hit()
            made.start()
            made.until(lambda: made.examined() and made.hits() == 1, "the first post was not reported")
            yield made
            assert made.stop() < 30
    finally:
        site.hold.set()
        site.http.shutdown()
        site.http.server_close()
        subprocess.run(["umount", "-l", folder / "home"], check=True)


SIGNALS = {"stands still": signal.SIGSTOP, "is killed": signal.SIGKILL}
# What is hit, its command line, and the words of the alerts or log lines of which one must appear.
PARTS = {
    "examiner": (b"crawler.examiner.main", ("the examiner was replaced",)),
    "fork server of crawls": (b"crawl_fork_server", ("fork server of crawl processes",)),
    "crawl process": (b"", ("no progress", "SIGKILL")),
    "fork server of readers": (b"crawler.sandbox.fork_server", ("process that starts readers",)),
}


@pytest.mark.parametrize("fault", SIGNALS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_stands_still_or_is_killed_loses_nothing_and_is_told(world, part, fault):
    words, telling = PARTS[part]
    world.calm()
    hits, told, logged = world.hits(), len(world.chat.messages), len(world.log.read_text())
    if part == "crawl process":
        target = world.crawl_process()
    elif part == "fork server of readers":
        target = world.pids(words)[-1]
    else:
        target = world.pids(words)[0]
    os.kill(target, SIGNALS[fault])
    if part != "crawl process":
        world.publish_hit()
    else:
        # The crawl may only go on once the part that was hit has been given up.
        world.until(lambda: not Path(f"/proc/{target}").exists(), "the crawl process was not ended")
    world.site.hold.set()
    world.until(world.examined, "a post was lost")
    world.until(lambda: world.hits() == hits + 1, "the hit was not reported")
    world.until(
        lambda: any(word in str(world.chat.messages[told:]) + world.log.read_text()[logged:] for word in telling),
        "nobody was told",
    )
    assert world.hits() == hits + 1, "no hit is reported twice"


def test_evidence_that_cannot_be_written_delays_no_alert_and_is_kept_later(world):
    hits = world.hits()
    folder = world.home / "evidence"
    kept = len(evidence.entries(folder))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "full", folder], check=True)
    try:
        world.publish_hit()
        world.until(lambda: world.hits() == hits + 1, "the hit was not reported")
        world.until(lambda: world.told("no space is left on the disk for evidence"), "nobody was told of the evidence")
        assert tocsin(world.home, "status").returncode == 2
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    world.until(world.examined, "the post was not examined again")
    assert len(evidence.entries(folder)) == kept + 1
    must(world.home, "evidence", "verify")
    assert world.hits() == hits + 1, "the alert was sent twice"


def test_a_full_disk_loses_nothing_and_the_channels_are_told_without_the_database(world):
    hits = world.hits()
    ballast = world.home / "ballast"
    with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        # A write that does not fit is cut first, and refused then.
        while out.write(b"\0" * 4096):
            pass
    try:
        world.publish_hit()
        world.until(lambda: world.told("the database"), "nobody was told of the full disk")
    finally:
        ballast.unlink()
    world.until(world.examined, "a post was lost")
    world.until(lambda: world.hits() == hits + 1, "the hit was not reported")


def test_times_of_a_clock_that_was_ahead_are_repaired_and_told(world):
    hits = world.hits()
    ahead = stamp(datetime.now(UTC) + timedelta(days=700))
    with world.store() as store, store.together():
        store.database.execute("update crawl set started = ?, queued = ? where state = 'done'", (ahead, ahead))
        store.database.execute("update post set first_seen = ?, last_seen = ?", (ahead, ahead))
    world.publish_hit()
    world.until(lambda: world.told("the clock of this machine was ahead"), "nobody was told of the clock")
    world.until(world.examined, "the source was blind")
    world.until(lambda: world.hits() == hits + 1, "the hit was not reported")


def test_after_all_of_that_the_daemon_is_well_and_stops_while_a_part_stands_still(world):
    world.until(lambda: tocsin_json(world.home, "status")["problems"] == [], "a state did not end")
    assert tocsin(world.home, "status").returncode == 0
    target = world.pids(b"crawler.examiner.main")[0]
    os.kill(target, signal.SIGSTOP)
    assert world.stop() < 30
    assert not Path(f"/proc/{target}").exists()
    world.log.write_text("")
    world.start()
