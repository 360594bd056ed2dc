"""Stored times that lie in the future are repaired, in every table."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind
from data.store.database import stamp
from data.store.future_times import COLUMNS
from data.store.store import Store
from tests.leased_crawl import NOW, LeasedCrawl

AHEAD = NOW + timedelta(days=700)
# Times that are not repaired, with the reason.
KEPT = {
    "audit.at": "part of a chain that must not change",
    "deadline.at": "announced by a post",
    "stamp.at": "stated and signed by the time-stamp authority",
    "triage.until": "chosen by a person",
}
TIME = re.compile(r"(?:^|_)(?:at|added|queued|started|ended|until|seen|try|sent|began|told|acked|examined)$")


@pytest.fixture
def store(tmp_path):
    with closing(Store.open(tmp_path / "t.db")) as opened:
        yield opened


def test_every_column_that_holds_times_is_repaired_or_kept_for_a_reason(store):
    tables = [row["name"] for row in store.database.rows("select name from sqlite_master where type = 'table'")]
    columns = {
        f"{table}.{row['name']}"
        for table in tables
        if not table.startswith(("_", "sqlite"))
        for row in store.database.rows(f"select name, type from pragma_table_info('{table}')")
        if row["type"] == "TEXT" and TIME.search(row["name"])
    }
    repaired = {f"{each.table}.{each.column}" for each in COLUMNS}
    assert columns - {"post.seen_version"} == repaired | set(KEPT)


def put_ahead(store: Store) -> None:
    """A source that was crawled, an alert, a state and a self-test, all of them by a clock that was ahead."""
    crawl = LeasedCrawl(store, channels=["team"], now=AHEAD)
    crawl.finish(now=AHEAD)
    event = build_event(EventKind.GAP, AHEAD, "s", source="s")
    store.states.begin(event, "listing", lambda _: ["team"], AHEAD)
    [due] = store.outbox.due(AHEAD)
    store.outbox.mark_deferred(due.alert.id, 503, "later", AHEAD, AHEAD)
    store.selftests.record("examiner", AHEAD, passed=True)


def test_a_clock_that_was_ahead_blinds_nothing_once_it_is_repaired(store):
    put_ahead(store)
    assert store.outbox.due(NOW) == []
    repair = store.repair_future_times(NOW)
    assert repair is not None
    assert repair.latest >= AHEAD
    assert list(repair.sources) == ["s"]
    [source] = store.sources.states()
    assert (source.last_start, source.last_success) == (None, None), "when it was crawled is unknown, so it is due"
    assert len(store.outbox.due(NOW)) == 1
    assert store.states.lasting()[0].notified == NOW
    assert store.selftests.latest() == {}, "a self-test of an unknown time shows nothing"
    assert store.repair_future_times(NOW) is None


def test_a_lease_that_would_last_for_years_ends_soon(store):
    crawl = LeasedCrawl(store)
    store.crawls.renew(crawl.id, crawl.fence, AHEAD)
    store.repair_future_times(NOW, all_tables=False)
    assert [each.id for each in store.crawls.expire_leases(NOW)] == [crawl.id]


def test_times_of_the_present_and_delays_that_a_channel_asked_for_stay(store):
    crawl = LeasedCrawl(store, channels=["team"])
    event = build_event(EventKind.GAP, NOW, "s", source="s")
    store.events.add([event], lambda _: ["team"], NOW)
    [due] = store.outbox.due(NOW)
    store.outbox.mark_deferred(due.alert.id, 429, "later", NOW + timedelta(hours=1), NOW)
    assert store.repair_future_times(NOW) is None
    crawl.finish()
    assert store.database.rows("select next_try from alert") == [{"next_try": stamp(NOW + timedelta(hours=1))}]
