"""A running daemon with one source and a chat, in a home on a file system of its own, which a test can damage."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.store.store import Store
from scheduler.demo.servers import Chat
from tests.command import environment, must
from tests.scheduler.crawls.conftest import SOURCE, Site
from tests.synth.people import people
from tests.whole.test_kill import tree
from tests.whole.test_whole_way import enrol, table

# Deadlines that are seconds in a test and longer in production; the parts themselves are the real ones.
SHORT_WAITS = """
from datetime import timedelta
from crawler.process import examiner_client
from crawler.sandbox import sandbox
from scheduler.crawls import crawl_processes
from scheduler.daemon import daemon
from scheduler.delivery import lasting_states
# the examiner waits for the fork server of readers, which has to be replaced first
examiner_client.FROZEN_SECONDS = sandbox.FORK_SECONDS + 6
crawl_processes.FORK_SECONDS, crawl_processes.FROZEN_SECONDS = 3.0, 8.0
daemon.HEARTBEAT_EVERY = daemon.EXAMINER_TICK = timedelta(seconds=1)
daemon.REMIND_TICK = timedelta(seconds=2)
daemon.SELFTEST_EVERY = lasting_states.SELFTEST_EVERY = timedelta(seconds=4)
from scheduler.cli import main
main(["--home", {home!r}, "daemon"])
"""
SETTINGS = """
[channels.team]
kind = "slack"
url = "{url}/hook"
[daemon]
deliver_every = "300ms"
[crawl]
wall = "20s"
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

    def fork_server_of_readers(self) -> int:
        """The process that forks readers: neither bubblewrap around it nor a reader, whose command lines are the same."""
        alike = [
            pid
            for pid in self.pids(b"crawler.sandbox.fork_server")
            if Path(f"/proc/{pid}/exe").readlink().name != "bwrap"
        ]
        # the number of the parent is the second field behind the name, which is in brackets
        parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in alike}
        (server,) = [pid for pid in alike if parents[pid] not in alike]
        return server

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
            (folder / "known.csv").write_text(table(people(78, 30)))
            must(made.home, "release", "add", "--name", "known", folder / "known.csv")
            must(made.home, "incident", "add", "threat", "--client", "practice-a", "--source", "site")
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
