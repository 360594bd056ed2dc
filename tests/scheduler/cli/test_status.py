"""`tocsin status` ends with 2 if anything is wrong, and says what; it opens no watch-list."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind
from data.settings.home import Home
from data.store.selftests import EXAMINER_SELFTEST, HEARTBEAT
from data.store.store import Store
from scheduler.cli.status import rate_text
from scheduler.crawls.definitions import platforms
from scheduler.daemon import watch_state as status
from scheduler.daemon.watch_state import collect
from scheduler.reports.doctor import _folder
from tests.command import TOCSIN, environment, heed_interrupts
from tests.inside import fine, refused, run
from tests.leased_crawl import LeasedCrawl

SOURCE = """\
name: site
platform: feed
url: https://site.example/feed
every: 10m
"""


@pytest.fixture
def watched(home, tmp_path):
    """A home with one source that was crawled just now by a daemon that is well."""
    (tmp_path / "site.yaml").write_text(SOURCE)
    fine(home.path, "source", "add", tmp_path / "site.yaml")
    now = datetime.now(UTC)
    with contextlib.closing(Store.open(home.db_path)) as store:
        LeasedCrawl(store, "site", now=now).finish(now=now)
        store.selftests.record(EXAMINER_SELFTEST, now, passed=True)
        store.selftests.record(HEARTBEAT, now, passed=True)
    return home


@contextlib.contextmanager
def daemon(home):
    """Holds the lock of a daemon."""
    with (home.path / "daemon.lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def change(home, sql: str, *values) -> None:
    with contextlib.closing(Store.open(home.db_path)) as store, store.together():
        store.database.execute(sql, values)


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="microseconds")


def test_a_home_without_a_daemon_and_one_that_is_watched_are_well(home, watched):
    with daemon(watched):
        done = run(watched.path, "status", "--json")
    assert (done.returncode, done.json["problems"]) == (0, [])
    assert done.json["daemon"] == "running"
    assert done.json["heartbeat_age_seconds"] < 60


def test_each_source_has_its_condition_rate_and_last_trouble(watched, tmp_path):
    now = datetime.now(UTC)
    (tmp_path / "dead.yaml").write_text(SOURCE.replace("name: site", "name: dead"))
    fine(watched.path, "source", "add", tmp_path / "dead.yaml")
    with contextlib.closing(Store.open(watched.db_path)) as store:
        store.sources.note_visit("site", 25, 25, now - timedelta(days=2))
        store.sources.note_visit("site", 10, 25, now)
        crawl = LeasedCrawl(store, "dead", now=now)
        counts = {"code": "timeout"}
        store.finish_crawl(crawl.id, crawl.fence, "failed", lambda event: (), now, counts=counts, error="no answer")
        silent = build_event(EventKind.SOURCE_SILENT, now, "dead", source="dead")
        store.states.begin(silent, "listing", lambda event: (), now)
        store.sources.set_alone("dead", "hang")
    with daemon(watched):
        done = run(watched.path, "status", "--json")
        shown = run(watched.path, "status").stdout
    sources = {source["name"]: source for source in done.json["sources"]}
    assert done.json["conditions"] == {"fine": 1, "late": 0, "blind": 1, "disabled": 1}
    site, dead = sources["site"], sources["dead"]
    assert (site["condition"], site["posts_per_day"], site["listing_rows"], site["last_trouble"]) == (
        "fine",
        5,
        25,
        None,
    )
    assert (dead["condition"], dead["posts_per_day"]) == ("blind", None)
    assert (dead["last_trouble"]["code"], dead["last_trouble"]["reason"]) == ("timeout", "no answer")
    assert "1 fine, 0 late, 1 blind" in shown
    assert (site["alone"], dead["alone"]) == ("", "hang")
    assert "because its crawl hung: dead" in re.sub(r"\s+", " ", shown)
    assert "no answer" in shown


def test_the_table_is_as_wide_as_the_columns_that_are_asked_for(watched):
    command = [TOCSIN, "--home", str(watched.path), "status"]
    widths = []
    for wanted in ({}, {"COLUMNS": "90"}, {"COLUMNS": "wide"}):
        done = subprocess.run(command, capture_output=True, text=True, env=environment(**wanted))
        widths.append(max(len(line) for line in done.stdout.splitlines() if line.startswith("┏")))
    assert widths[0] == widths[2] > 90 >= widths[1]


@pytest.mark.parametrize(
    ("rate", "told"), [(0.125, "0.125"), (4.0, "4"), (999.96, "1000"), (4759.3, "4,759"), (31720.0, "31,720")]
)
def test_rates_are_numbers_as_people_write_them(rate, told):
    assert rate_text(rate) == told


def test_alive_asks_for_the_daemon_alone(watched):
    """A container that is restarted because a source is down would only be blind in addition."""
    change(watched, "update selftest set passed = 0")
    assert run(watched.path, "status", "--alive").returncode == 2
    with daemon(watched):
        assert run(watched.path, "status", "--alive").stdout == "the daemon runs and makes progress\n"
        change(watched, "update selftest set at = ? where name = 'daemon'", ago(minutes=3))
        refused(run(watched.path, "status", "--alive"), "no progress for 3 minutes")


@pytest.mark.slow
def test_the_live_table_is_drawn_until_control_c_and_only_on_a_terminal(watched):
    refused(run(watched.path, "status", "--watch"), "terminal")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [TOCSIN, "--home", watched.path, "status", "--watch"],
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm"),
        preexec_fn=heed_interrupts,
    ) as process:
        os.close(theirs)
        drawn = b""
        while b"record:" not in drawn:
            drawn += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the end of a terminal
            while os.read(ours, 65536):
                pass
        assert process.wait(60) == 2, "no daemon runs here"
    os.close(ours)
    assert b"site" in drawn
    assert b"Traceback" not in drawn


def test_a_terminal_that_cannot_draw_is_refused(watched):
    ours, theirs = pty.openpty()
    command = [TOCSIN, "--home", watched.path, "status", "--watch"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, env=environment(TERM="dumb"), timeout=60)
    os.close(theirs)
    os.close(ours)
    assert (done.returncode, b"draws on a terminal" in done.stderr) == (2, True)


def test_a_fresh_home_is_well(home):
    assert run(home.path, "status").returncode == 0


CASES = {
    "dead daemon": ("", (), "no daemon runs", False),
    "stuck daemon": (
        "update selftest set at = ? where name = 'daemon'",
        (lambda: ago(minutes=3),),
        "no progress for 3 minutes",
        True,
    ),
    "failing work": ("update selftest set passed = 0 where name = 'daemon'", (), "a part of the daemon's work", True),
    "overdue source": ("update crawl set started = ?", (lambda: ago(hours=2),), "site is overdue", True),
    "blind source": ("update crawl set started = ?", (lambda: ago(days=-700),), "in the future", True),
    "unknown source": ("delete from source", (), "site is not watched", True),
    "old self-test": (
        "update selftest set at = ? where name = 'examiner'",
        (lambda: ago(hours=3),),
        "no self-test passed",
        True,
    ),
    "self-test of the future": (
        "update selftest set at = ? where name = 'examiner'",
        (lambda: ago(days=-700),),
        "no self-test passed",
        True,
    ),
    "failed self-test": ("update selftest set passed = 0 where name = 'examiner'", (), "self-test failed", True),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_a_problem_and_status_2(watched, case):
    sql, values, words, running = CASES[case]
    if sql:
        change(watched, sql, *(value() for value in values))
    with daemon(watched) if running else contextlib.nullcontext():
        done = run(watched.path, "status", "--json")
    assert done.returncode == 2
    assert len(done.json["problems"]) == 1, done.json["problems"]
    assert words in done.json["problems"][0]


def test_a_lasting_state_is_a_problem_while_its_source_is_enabled(watched):
    """No crawl of a disabled source could end its states, so they would be problems for ever."""
    now = datetime.now(UTC)
    with contextlib.closing(Store.open(watched.db_path)) as store:
        silent = build_event(EventKind.SOURCE_SILENT, now, "s", source="site")
        store.states.begin(silent, "listing", lambda _: [], now)
    with daemon(watched):
        [problem] = run(watched.path, "status", "--json").json["problems"]
        assert problem.startswith("source_silent site listing, since")
        fine(watched.path, "source", "disable", "site")
        assert run(watched.path, "status", "--json").json["problems"] == []


@pytest.mark.parametrize(("minutes", "code"), [(0, 0), (10, 2)])
def test_alerts_that_wait_are_a_problem_once_they_wait_long(watched, minutes, code):
    then = datetime.now(UTC) - timedelta(minutes=minutes)
    with contextlib.closing(Store.open(watched.db_path)) as store:
        store.events.add([build_event(EventKind.GAP, then, "s", source="s")], lambda _: ["team"], then)
    with daemon(watched):
        done = run(watched.path, "status", "--json")
    assert done.returncode == code
    assert [
        problem
        for problem in done.json["problems"]
        if "1 alert not delivered yet, the oldest for 10 minutes" in problem
    ] == (done.json["problems"])


def test_a_running_crawl_is_not_overdue(watched):
    change(watched, "update crawl set started = ?", ago(hours=2))
    with contextlib.closing(Store.open(watched.db_path)) as store:
        LeasedCrawl(store, "site", now=datetime.now(UTC) - timedelta(hours=1))
    with daemon(watched):
        assert run(watched.path, "status").returncode == 0


def test_status_opens_no_watch_list(watched):
    for path in watched.watchlist_dir.glob("*"):
        path.write_bytes(b"damaged")
    assert collect(watched)["sources"]
    assert status.MAX_WAIT


def test_status_reads_no_table_row_by_row(watched, monkeypatch):
    statements, opened = [], []

    def connect(*arguments, **options):
        connection = real(*arguments, **options)
        connection.set_trace_callback(statements.append)
        opened.append(connection)
        return connection

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    collect(watched)
    queries = [text for text in statements if text.lstrip().startswith("select") and "_sqlite_" not in text]
    with contextlib.closing(real(watched.db_path)) as connection:
        plans = [row[3] for text in queries for row in connection.execute(f"explain query plan {text}")]
    assert any("post_source" in plan for plan in plans)
    # these tables grow with the posts that were ever seen
    assert not [plan for plan in plans if re.fullmatch("SCAN (post|crawl|finding|event|alert)", plan)]


@pytest.mark.slow
def test_status_loads_no_large_library(watched):
    platforms()  # this home's platforms are known from now on
    code = (
        "import sys\nfrom scheduler.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    assert not {'numpy', 'numba', 'scrapy', 'structlog', 'asyncio', 'sqlite_utils'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--home", watched.path, "status", "--json"], capture_output=True, text=True
    )
    assert json.loads(done.stdout)["sources"], done.stderr


@pytest.fixture
def read_only(tmp_path):
    """A folder in which nothing can be written after it was called, not even by root."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    frozen = []

    def freeze() -> None:
        if os.geteuid():
            for each in (folder, *folder.rglob("*/")):
                each.chmod(0o500)
        else:
            if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode:
                pytest.skip("root of this machine may not mount, and writes everywhere")
            frozen.append(folder)
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)

    yield folder, freeze
    for each in frozen:
        # whatever of this process still has a file of it open
        subprocess.run(["umount", "--lazy", each], check=True)
    for each in (folder, *folder.rglob("*/")):
        each.chmod(0o700)


@pytest.mark.parametrize("used", [False, True])
def test_in_a_home_that_cannot_be_written_every_command_says_so_in_words(read_only, tmp_path, used):
    home, freeze = read_only
    fine(None, "init", home)
    if used:
        fine(home, "status")
    source = tmp_path / "s.yaml"
    source.write_text("name: s\nplatform: feed\nurl: https://forum.example/feed\n")
    freeze()
    for command in (["status"], ["alert", "list"], ["events"]):
        done = run(home, *command)
        refused(done, "error: the database cannot be", "hint: make the home writable for the user who runs this")
        assert "SQLITE" not in done.said
    generated = run(home, "canary", "generate", "--client", "a", "--count", "1", "--out", tmp_path / "people.csv")
    refused(generated, "hint: ")
    refused(run(home, "source", "add", source), "cannot be copied to", "hint: ")
    found = {check.name: check.state for check in _folder(Home(home, {}))}
    assert found["writing"] == "wrong"
