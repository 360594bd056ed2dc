"""The daemon as a process: signals, missed crawls, and a second daemon on the same home."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.settings.home import Home
from data.store.store import Store
from scheduler.daemon.supervisor import WorkFailure
from scheduler.daemon.trouble_reports import TroubleReports
from scheduler.delivery.time_stamps import stamps
from scheduler.demo.servers import Chat, FeedEntry, LeakSite
from tests.command import TOCSIN, environment, must, tocsin, tocsin_json
from tests.servers.time_stamp_authority import Authority, running_authority
from tests.servers.webhook import Webhook
from tests.whole.test_kill import SOURCE

pytestmark = [pytest.mark.slow, pytest.mark.servers]


def until(condition: Callable[[], object], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.1)


class Daemon:
    def __init__(self, home: Path, log: Path, *options: str) -> None:
        self.log = log
        self.stream = log.open("ab")
        self.process = subprocess.Popen(
            [TOCSIN, "--home", str(home), "daemon", *options], stdout=self.stream, stderr=self.stream, env=environment()
        )

    def logged(self, words: str) -> bool:
        return words in self.log.read_text()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.stream.close()


@contextlib.contextmanager
def daemon(home: Path) -> Iterator[Daemon]:
    running = Daemon(home, home.parent / f"daemon-{time.monotonic_ns()}.log")
    try:
        until(lambda: running.logged("watching"))
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
        running.stream.close()


def daemon_stamped_by(home: Path, authority: Authority) -> contextlib.AbstractContextManager[Daemon]:
    with (home / "tocsin.toml").open("a") as settings:
        settings.write(f'\n[timestamps]\nurl = "http://127.0.0.1:{authority.server_port}/"\n')
    shutil.copy(authority.folder / "root.pem", home / "keys" / "timestamps.pem")
    return daemon(home)


def stamps_of(home: Path) -> list[str]:
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        return [head for head, _ in stamps(store)]


def add(home: Path, tmp_path: Path, name: str, url: str, every: str = "1s") -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(
        SOURCE.format(url=url).replace("name: site", f"name: {name}").replace("every: 1s", f"every: {every}")
    )
    must(home, "source", "add", file)


def crawls(home: Path, name: str) -> list[dict]:
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        return store.crawls.latest(source=name)


def text(name: str, body: bytes = b"harmless") -> FeedEntry:
    return FeedEntry(name, name, "", f"{name}.txt", body)


@pytest.fixture
def home(tmp_path):
    must(None, "init", tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def site():
    with LeakSite() as server:
        server.publish(text("first"))
        yield server


def test_the_daemon_crawls_has_its_record_stamped_and_sigterm_stops_it_cleanly_and_leaves_no_lease(
    home, tmp_path, site
):
    add(home, tmp_path, "site", site.url)
    assert tocsin_json(home, "status")["selftest"] == "unknown", "no self-test has run yet"
    with running_authority(tmp_path / "authority") as authority, daemon_stamped_by(home, authority) as running:
        until(lambda: stamps_of(home))
        until(lambda: any(crawl["state"] == "done" for crawl in crawls(home, "site")))
        until(lambda: tocsin_json(home, "status")["selftest"] == "ok")
        assert tocsin_json(home, "status")["daemon"] == "running"
        assert tocsin(home, "status").returncode == 0
        assert running.stop() == 0
        assert running.logged("stopped")
    assert not [crawl for crawl in crawls(home, "site") if crawl["state"] in {"leased", "queued"}]
    verified = tocsin_json(home, "evidence", "verify")
    assert ([each["head"] for each in verified["stamps"]], verified["problems"]) == (stamps_of(home), [])
    stopped = tocsin(home, "status")
    assert stopped.returncode == 2
    assert "no daemon runs" in stopped.stdout


def test_sigterm_during_a_delivery_is_no_error_and_the_alert_stays_due(home, tmp_path):
    asked, goes_on, over = threading.Event(), threading.Event(), threading.Event()

    def answer_late(_received):
        asked.set()
        goes_on.wait(60)
        return 200, {}, b"ok"

    def never_answer(_received):
        over.wait(60)
        return 500, {}, b""

    broken = home / "sources" / "broken.yaml"
    broken.write_text("platform: [")
    broken.chmod(0o600)
    with Webhook([answer_late]) as late, Webhook([never_answer]) as silent:
        (home / "tocsin.toml").write_text(
            f'[channels.late]\nkind = "slack"\nurl = "{late.url}/"\n'
            f'[channels.silent]\nkind = "slack"\nurl = "{silent.url}/"\n'
        )
        with daemon(home) as running:
            until(lambda: asked.is_set() and silent.received)
            running.send(signal.SIGTERM)
            goes_on.set()
            code = running.stop()
            over.set()
            log = running.log.read_text()
    assert code == 0, log
    assert "stopped" in log
    assert "CancelledError" not in log
    assert "Traceback" not in log
    assert "work failed" not in log
    states = {alert["channel"]: alert["state"] for alert in tocsin_json(home, "alert", "list")["alerts"]}
    assert states["late"] == "sent"
    assert states["silent"] not in {"sent", "refused"}
    bodies = [each.body for each in late.received]
    assert len(bodies) == len(set(bodies)), "an alert that the chat accepted was sent again"


def test_posts_published_while_the_daemon_is_stopped_are_examined_later(home, tmp_path, site):
    add(home, tmp_path, "site", site.url)
    for number in range(3):
        site.publish(text(f"post-{number}"))
        with daemon(home) as running:
            assert running.stop() == 0
    with daemon(home):
        until(lambda: posts(home) == (4, 0))


def posts(home: Path) -> tuple[int, int]:
    """Numbers of known posts and of due posts."""
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        [state] = [state for state in store.sources.states() if state.name == "site"]
        return state.posts, state.due


def begin_states(home: Path, *works: str) -> None:
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        settings = Home(home).settings()
        reports = TroubleReports(Home(home), lambda: settings, lambda: store)
        for work in works:
            asyncio.run(reports.failed(WorkFailure(work, "crash", "it failed with OSError", 1)))
    assert sorted(faults(home)) == sorted(works)


def faults(home: Path) -> list[str]:
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        return [state.subject for state in store.states.lasting("")]


def test_sighup_loads_new_sources_stops_disabled_ones_and_reports_broken_files(home, tmp_path, site):
    add(home, tmp_path, "site", site.url)
    begin_states(home, "crawl of removed", "crawl of site", "the last delivery", "reload")
    with Chat() as chat, daemon(home) as running:
        # an earlier daemon left these: the source is gone, and nothing else is done anew but the crawl
        until(lambda: not faults(home))
        until(lambda: any(crawl["state"] == "done" for crawl in crawls(home, "site")))
        add(home, tmp_path, "other", site.url)
        must(home, "source", "disable", "site")
        (home / "sources" / "broken.yaml").write_text("name: broken\nplatfrom: declared\n")
        (home / "tocsin.toml").write_text(
            f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/hook"\n[daemon]\ndeliver_every = "300ms"\n'
        )
        running.send(signal.SIGHUP)
        until(lambda: running.logged("reloaded"))
        until(lambda: any(crawl["state"] == "done" for crawl in crawls(home, "other")))
        until(lambda: "broken" in str(chat.messages))
        seen = len(crawls(home, "site"))
        time.sleep(3)
        assert len(crawls(home, "site")) == seen
        assert running.process.poll() is None


def test_settings_that_cannot_be_read_leave_the_last_good_ones_in_use(home, tmp_path, site):
    add(home, tmp_path, "site", site.url)
    with daemon(home) as running:
        until(lambda: crawls(home, "site"))
        (home / "tocsin.toml").write_text("[daemon]\nparalell = 3\n")
        running.send(signal.SIGHUP)
        until(lambda: running.logged("reload failed"))
        seen = len(crawls(home, "site"))
        until(lambda: len(crawls(home, "site")) > seen)
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        assert any(event.facts.get("subject") == "reload" for event in store.events.latest())


def test_a_watch_list_that_is_lost_while_the_daemon_runs_stays_in_use_and_is_reported(home, tmp_path, site):
    must(home, "canary", "generate", "--client", "p1", "--count", "5", "--out", tmp_path / "plant.csv")
    with daemon(home) as running:
        (home / "watchlist").rename(tmp_path / "aside")
        running.send(signal.SIGHUP)
        until(lambda: running.logged("reload failed"))
        add(home, tmp_path, "site", site.url)
        site.publish(text("leak", (tmp_path / "plant.csv").read_bytes()))
        (tmp_path / "aside").rename(home / "watchlist")
        running.send(signal.SIGHUP)
        until(lambda: running.logged("reloaded"))
        until(lambda: any(crawl["state"] == "done" for crawl in crawls(home, "site")))
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        events = store.events.latest()
    assert any("the watch-list is lost or older" in str(event.facts.get("reason")) for event in events)
    assert any(event.kind.value in {"canary_hit", "further_release"} for event in events)
    (home / "watchlist").rename(tmp_path / "gone")
    refused = tocsin(home, "daemon")
    assert refused.returncode == 2
    assert "the watch-list is lost or older" in refused.stderr


def test_a_source_that_missed_crawls_for_days_is_crawled_once(home, tmp_path, site):
    add(home, tmp_path, "site", site.url, every="1h")
    with daemon(home):
        until(lambda: any(crawl["state"] == "done" for crawl in crawls(home, "site")))
    past = (datetime.now(UTC) - timedelta(days=5)).isoformat(timespec="microseconds")
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        store.database.execute("update crawl set queued = ?, started = ?, ended = ?", (past, past, past))
        store.database.connection.commit()
    with daemon(home):
        until(lambda: len(crawls(home, "site")) == 2 and crawls(home, "site")[0]["state"] == "done")
        time.sleep(3)
        assert len(crawls(home, "site")) == 2


def test_a_second_daemon_is_refused_or_waits_and_takes_over_from_one_that_hangs(home, tmp_path, monkeypatch):
    """systemd hears from both: that they are ready, and that they live as long as they make progress."""
    with (home / "tocsin.toml").open("a") as stream:
        stream.write('\n[daemon]\nlease = "5s"\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, daemon(home) as running:
        done = tocsin(home, "daemon")
        assert done.returncode == 2
        assert "another daemon" in done.stderr
        assert "--standby" in done.stderr
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(240)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        second = Daemon(home, tmp_path / "second.log", "--standby")
        try:
            assert b"STATUS=standing by" in systemd.recv(4096)
            assert running.process.poll() is None
            running.send(signal.SIGSTOP)
            heard = []
            while not heard or b"STATUS=watching" not in heard[-1]:
                heard.append(systemd.recv(4096))
            assert running.process.wait(1) == -signal.SIGKILL
            assert b"WATCHDOG=1\nWATCHDOG_USEC=900000000" in heard, "a start may take long"
            assert b"WATCHDOG=1\nWATCHDOG_USEC=60000000" in heard
            while systemd.recv(4096) != b"WATCHDOG=1":
                pass
            assert tocsin_json(home, "status")["daemon"] == "running"
        finally:
            assert second.stop() == 0
