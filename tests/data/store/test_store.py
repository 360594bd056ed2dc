"""The store as a whole: what is written in one transaction, what is never written, and what a purge deletes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from data.errors import LeaseLost, StoreError, StoreFull, StoreVersion
from data.model import EventKind, Finding, Hit
from data.store.posts import PostRow
from data.store.store import Store
from tests.leased_crawl import NOW, LeasedCrawl

FINDING = Finding("secret name.csv", "ab" * 32, 10, "text", hits=(Hit("c", 1, 1, ("email",)),), fingerprint="f" * 32)


@pytest.fixture
def store(tmp_path):
    with_key = Store.open(tmp_path / "t.db", seal_key=b"k" * 32)
    yield with_key
    with_key.close()


@pytest.fixture
def crawl(store):
    return LeasedCrawl(store, channels=["a", "b"])


def post(name: str = "p") -> PostRow:
    return PostRow(name, "v1", "http://x/[1]", b"sealed", fields={"part": ["v1"]})


def test_operations_together_are_stored_all_or_not_at_all(store, crawl):
    crawl.list(post("p"), post("q"))

    def commit_and_fail():
        with store.together():
            crawl.commit(post("p"), [FINDING])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        commit_and_fail()
    assert len(store.posts.due("s")) == 2
    assert store.findings.latest() == []
    with store.together():
        crawl.commit(post("p"), [FINDING])
        with pytest.raises(LeaseLost):
            crawl.commit(post("q"), [FINDING], fence=crawl.fence + 1)
    assert len(store.posts.due("s")) == 1
    assert len(store.findings.latest()) == 1


def test_an_event_that_happens_again_makes_no_second_alert(store, crawl):
    event = build_event(EventKind.CANARY_HIT, NOW, "same", source="s")
    assert crawl.commit(post(), [FINDING], [event]) == 1
    assert crawl.commit(post("q"), [FINDING], [event]) == 0
    assert len(store.outbox.due(NOW)) == 2, "one for each channel"
    assert store.events.find(event.id)[1]["sightings"] == 2


def test_a_crawl_without_its_lease_stores_nothing(store, crawl):
    event = build_event(EventKind.CANARY_HIT, NOW, "x")
    assert [each.id for each in store.crawls.expire_leases(NOW + timedelta(minutes=2))] == [crawl.id]
    with pytest.raises(LeaseLost):
        crawl.commit(post(), [FINDING], [event])
    with pytest.raises(LeaseLost):
        store.commit_events(crawl.id, crawl.fence, [event], lambda _: ["a"], NOW)
    with pytest.raises(LeaseLost):
        crawl.finish()
    assert store.outbox.due(NOW) == []
    assert store.findings.latest() == []


def test_a_finding_is_stored_without_names_and_plain_digests(store, crawl, tmp_path):
    member = replace(FINDING, path="Dupont.csv")
    crawl.commit(post(), [replace(FINDING, members=(member,), sealed="c2VhbA==")])
    store.close()
    blob = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (b"secret name", b"Dupont", b"ab" * 32, b"c2VhbA"):
        assert secret not in blob


def test_a_full_disk_stores_nothing_of_the_transaction(store, crawl):
    pages = store.database.connection.execute("pragma page_count").fetchone()[0]
    store.database.connection.execute(f"pragma max_page_count = {pages}")
    big = build_event(EventKind.CANARY_HIT, NOW, "big", facts={"x": "y" * 100_000})
    with pytest.raises(StoreFull):
        crawl.commit(post(), [FINDING], [big])
    store.database.connection.execute(f"pragma max_page_count = {pages + 1000}")
    assert store.findings.latest() == []
    assert store.events.latest() == []
    assert crawl.commit(post(), [FINDING], [big]) == 1, "the next transaction begins anew"


def test_a_newer_database_and_a_file_that_is_no_database_are_refused(tmp_path):
    path = tmp_path / "t.db"
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("insert into _sqlite_migrations (migration_set, name, applied_at) values ('tocsin', '9999', 'x')")
    db.close()
    with pytest.raises(StoreVersion, match="newer"):
        Store.open(path)
    other = tmp_path / "o.db"
    other.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError):
        Store.open(other)


def test_only_the_owner_may_read_the_database_file(tmp_path):
    Store.open(tmp_path / "t.db").close()
    assert (tmp_path / "t.db").stat().st_mode & 0o777 == 0o600


def test_a_purge_leaves_posts_known_and_undelivered_events(store, crawl):
    crawl.channels = ["a"]
    crawl.list(post())
    crawl.commit(post(), [FINDING], [build_event(EventKind.CANARY_HIT, NOW, "x")])
    later = NOW + timedelta(days=1)
    assert store.purge(later, later) == (1, 0)
    store.outbox.mark_sent(store.outbox.due(later)[0].alert.id, 200, later)
    assert store.purge(later, later, dry_run=True) == (0, 1)
    assert store.purge(later, later) == (0, 1)
    assert crawl.list(post(), now=later).examine == ()


WRITER = """
import sys, itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from crawler.alerts.events import build_event
from data.model import EventKind, Finding
from data.store.posts import PostRow
from data.store.store import PostCommit, Store
now = datetime.now(UTC)
store = Store.open(Path(sys.argv[1]))
store.sources.put("s", "d", True, now)
crawl = store.crawls.queue("s", "test", now)
fence = store.crawls.lease(crawl, sys.argv[2], now + timedelta(hours=1), now)
for n in itertools.count():
    name = f"{sys.argv[2]}-{n}"
    event = build_event(EventKind.CANARY_HIT, now, name, post=name)
    commit = PostCommit(crawl, fence, "s", PostRow(name, "v", ""), [Finding("", "ab" * 32, 1, "text")], [event])
    store.commit_post(commit, lambda _: ["a"], now)
    if n == 0:
        print("ready", flush=True)
"""


@pytest.mark.slow
def test_after_kill_9_in_a_transaction_finding_event_and_alert_are_all_there_or_all_missing(tmp_path):
    dice = random.Random(9)
    path = tmp_path / "t.db"
    for turn in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(turn)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdout.close()
        time.sleep(dice.uniform(0.005, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        store = Store.open(path)
        store.crawls.expire_dead_owners(lambda _: False, datetime.now(UTC))
        store.close()
    with closing(sqlite3.connect(path)) as db, db:
        findings = {row[0] for row in db.execute("select post from finding")}
        events = {row[0] for row in db.execute("select post from event")}
        alerts = {row[0] for row in db.execute("select event.post from alert join event on event.id = alert.event")}
        examined = {row[0] for row in db.execute("select id from post where seen_version = 'v'")}
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()
    assert findings
    assert findings == events == alerts == examined
