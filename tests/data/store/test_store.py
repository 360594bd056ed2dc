"""The store: one transaction for a finding with its events and alerts, leases with fences, states told once."""

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

from crawler.alerts.events import make
from data.case.canary_bitmaps import count, packed
from data.errors import LeaseLost, StoreError, StoreFull, StoreVersion
from data.model import EventKind, Finding, Hit
from data.store.store import PostRow, Store
from scheduler.delivery.lasting_states import recovered

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FINDING = Finding("secret name.csv", "ab" * 32, 10, "text", hits=(Hit("c", 1, 1, ("email",)),), fingerprint="f" * 32)


def everywhere(event):
    return ["a", "b"]


@pytest.fixture
def store(tmp_path):
    with_key = Store.open(tmp_path / "t.db", seal_key=b"k" * 32)
    yield with_key
    with_key.close()


def leased(store, source="s"):
    store.put_source(source, "d", True, NOW)
    crawl = store.queue_crawl(source, "test", NOW)
    return crawl, store.lease_crawl(crawl, "me", NOW + timedelta(minutes=1), NOW)


def post(name="p", version="v1", **fields):
    traits = {"part": [version], **fields.pop("traits", {})}
    return PostRow(name, version, "http://x/[1]", b"sealed", traits=traits, **fields)


def test_a_post_is_due_until_its_finding_is_committed(store):
    crawl, fence = leased(store)
    listed = store.record_listed(crawl, fence, "s", [post()], NOW)
    assert (listed.examine, listed.changed, listed.settled) == (("p",), (), 0)
    assert store.due_posts("s") == [b"sealed"]
    store.commit_post(crawl, fence, "s", post(), [FINDING], [], everywhere, NOW)
    assert store.due_posts("s") == []
    assert store.record_listed(crawl, fence, "s", [post()], NOW).examine == ()


def test_what_is_kept_together_is_kept_whole_or_not_at_all(store):
    crawl, fence = leased(store)
    store.record_listed(crawl, fence, "s", [post("p"), post("q")], NOW)

    def commit_and_fail():
        with store.together():
            store.commit_post(crawl, fence, "s", post("p"), [FINDING], [], everywhere, NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        commit_and_fail()
    assert len(store.due_posts("s")) == 2
    assert store.findings() == []
    with store.together():
        store.commit_post(crawl, fence, "s", post("p"), [FINDING], [], everywhere, NOW)
        with pytest.raises(LeaseLost):
            store.commit_post(crawl, fence + 1, "s", post("q"), [FINDING], [], everywhere, NOW)
    assert len(store.due_posts("s")) == 1
    assert len(store.findings()) == 1


def test_a_changed_version_is_examined_again_and_a_failed_post_stays_due(store):
    crawl, fence = leased(store)
    store.record_listed(crawl, fence, "s", [post()], NOW)
    store.commit_post(crawl, fence, "s", post(), [FINDING], [], everywhere, NOW)
    listed = store.record_listed(crawl, fence, "s", [post(version="v2")], NOW)
    assert (listed.examine, listed.changed) == (("p",), ("p",))
    store.commit_post(crawl, fence, "s", post(version="v2"), [], [], everywhere, NOW, failed=True)
    assert store.due_posts("s") == [b"sealed"]


def seen(store, crawl, fence, *posts):
    """Posts that were listed and examined."""
    store.record_listed(crawl, fence, "s", posts, NOW)
    for each in posts:
        store.commit_post(crawl, fence, "s", each, [FINDING], [], everywhere, NOW)


def test_what_changed_is_told_until_the_post_is_examined(store):
    crawl, fence = leased(store)
    seen(store, crawl, fence, post())
    later = post(version="v2", traits={"links": ["a1"]})
    store.record_listed(crawl, fence, "s", [later], NOW)
    said = {"links": "links (1 new)", "part": "part (new: v2; gone: v1)"}
    assert store.changes_of("s", later) == said
    store.commit_post(crawl, fence, "s", later, [], [], everywhere, NOW, failed=True)
    assert store.changes_of("s", later) == said
    store.commit_post(crawl, fence, "s", later, [FINDING], [], everywhere, NOW)
    assert store.changes_of("s", later) == {}
    assert store.record_listed(crawl, fence, "s", [later], NOW).examine == ()


def test_a_declared_field_and_one_that_changes_on_the_whole_page_make_no_change(store):
    crawl, fence = leased(store)
    many = [post(f"p{number}", traits={"title": "a"}) for number in range(6)]
    seen(store, crawl, fence, *many)
    counters = [post(f"p{number}", traits={"title": "b"}) for number in range(6)]
    assert store.record_listed(crawl, fence, "s", counters, NOW).examine == ()
    one = [post("p0", traits={"title": "c"})]
    assert store.record_listed(crawl, fence, "s", one, NOW, volatile=["title"]).examine == ()
    one = [post("p0", traits={"title": "d"})]
    assert store.record_listed(crawl, fence, "s", one, NOW).changed == ("p0",)


def test_a_field_that_changes_at_every_look_is_learned(store):
    crawl, fence = leased(store)
    seen(store, crawl, fence, post())
    rang = 0
    for look in range(60):
        each = post(traits={"text": f"t{look}"})
        if store.record_listed(crawl, fence, "s", [each], NOW).changed:
            rang += 1
            store.commit_post(crawl, fence, "s", each, [FINDING], [], everywhere, NOW)
    assert rang < 35
    assert store.record_listed(crawl, fence, "s", [post(traits={"text": "x"})], NOW).changed == ()
    assert store.record_listed(crawl, fence, "s", [post(version="v2", traits={"text": "y"})], NOW).changed == ("p",)


def test_a_countdown_that_creeps_is_not_taken_for_the_same(store):
    crawl, fence = leased(store)
    seen(store, crawl, fence, post(traits={"timer": [1000, 60]}))
    moved = [
        bool(store.record_listed(crawl, fence, "s", [post(traits={"timer": [1000 + 20 * step, 60]})], NOW).changed)
        for step in range(6)
    ]
    assert moved == [False, False, False, False, True, True]


def test_a_page_is_looked_at_again_after_its_time_and_only_what_is_added_counts(store):
    crawl, fence = leased(store)
    seen(store, crawl, fence, post(page={"links": ["a", "b"]}))
    later = NOW + timedelta(days=2)
    assert store.record_listed(crawl, fence, "s", [post()], later, revisit_before=NOW).revisit == ()
    listed = store.record_listed(crawl, fence, "s", [post()], later, revisit_before=later - timedelta(days=1))
    assert (listed.revisit, listed.examine) == (("p",), ())
    assert store.changes_of("s", post(page={"links": ["b"]})) == {}
    assert store.changes_of("s", post(page={"links": ["b", "c"]})) == {"links": "links (1 new)"}


def span(minutes, phrase="in 48 h"):
    return {"at": None, "after": minutes, "exact": 60, "phrase": phrase}


def day(at, exact=1440):
    return {"at": int(at.timestamp() // 60), "after": None, "exact": exact, "phrase": f"{at:%F}"}


def test_an_announced_span_counts_from_where_it_was_first_read(store):
    assert store.note_deadlines("s", "p", [span(2880)], NOW) == [(NOW + timedelta(days=2), 60, None)]
    assert store.note_deadlines("s", "p", [span(2880)], NOW + timedelta(days=1)) == []
    assert store.deadline_near("s", NOW) == (NOW + timedelta(days=2), 60)
    assert store.deadline_near("other", NOW) is None


def test_a_deadline_said_in_two_ways_is_one_and_a_moved_one_is_told_with_the_old(store):
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    [(friday, _, before)] = store.note_deadlines("s", "p", [day(midnight + timedelta(days=2))], NOW)
    assert before is None
    assert store.note_deadlines("s", "p", [span(2880), day(midnight + timedelta(days=2))], NOW) == []
    [(later, _, before)] = store.note_deadlines("s", "p", [day(midnight + timedelta(days=9))], NOW)
    assert (later - friday, before) == (timedelta(days=7), NOW + timedelta(days=2))


def test_only_posts_of_a_finished_walk_are_settled(store):
    crawl, fence = leased(store)
    store.record_listed(crawl, fence, "s", [post()], NOW)
    assert store.record_listed(crawl, fence, "s", [post()], NOW).settled == 0
    store.record_walked(crawl, fence)
    assert store.record_listed(crawl, fence, "s", [post()], NOW).settled == 1


def test_the_same_event_makes_one_alert_per_channel_however_often_it_happens(store):
    crawl, fence = leased(store)
    event = make(EventKind.CANARY_HIT, NOW, "same", source="s")
    assert store.commit_post(crawl, fence, "s", post(), [FINDING], [event], everywhere, NOW) == 1
    assert store.commit_post(crawl, fence, "s", post("q"), [FINDING], [event], everywhere, NOW) == 0
    assert len(store.outbox.due(NOW)) == 2
    assert store.event(event.id)[1]["sightings"] == 2


def test_a_lost_fence_keeps_nothing(store):
    crawl, fence = leased(store)
    event = make(EventKind.CANARY_HIT, NOW, "x")
    assert store.expire_leases(NOW + timedelta(minutes=2)) == [crawl]
    with pytest.raises(LeaseLost):
        store.commit_post(crawl, fence, "s", post(), [FINDING], [event], everywhere, NOW)
    assert store.outbox.due(NOW) == []
    assert store.findings() == []


def test_two_crawls_of_one_source_do_not_run_at_once(store):
    leased(store)
    other = store.queue_crawl("s", "test", NOW)
    with pytest.raises(LeaseLost, match="being crawled"):
        store.lease_crawl(other, "other", NOW + timedelta(minutes=1), NOW)


def test_a_finding_rests_without_names_and_bare_digests(store, tmp_path):
    crawl, fence = leased(store)
    member = replace(FINDING, path="Dupont.csv")
    store.commit_post(
        crawl, fence, "s", post(), [replace(FINDING, members=(member,), sealed="c2VhbA==")], [], everywhere, NOW
    )
    store.close()
    blob = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (b"secret name", b"Dupont", b"ab" * 32, b"c2VhbA"):
        assert secret not in blob


def test_a_state_is_told_when_it_begins_when_it_lasts_and_when_it_ends(store):
    event = make(EventKind.SOURCE_SILENT, NOW, "s", source="s")
    assert store.open_state(event, "listing", everywhere, NOW)
    assert not store.open_state(replace(event, id="0" * 32), "listing", everywhere, NOW)
    again = NOW + timedelta(hours=25)
    reminder = lambda state: make(state.kind, again, state.event, "again", source=state.source)  # noqa: E731
    assert store.remind(again - timedelta(hours=24), reminder, everywhere, again) == 1
    assert store.remind(again - timedelta(hours=24), reminder, everywhere, again) == 0
    assert store.close_state("s", EventKind.SOURCE_SILENT, "listing", recovered, everywhere, again)
    assert not store.close_state("s", EventKind.SOURCE_SILENT, "listing", recovered, everywhere, again)
    assert [each.kind.value for each in store.events()].count("recovered") == 1
    assert len(store.events()) == 3


def test_the_audit_chain_shows_what_was_changed_or_removed(store):
    for number in range(5):
        store.audit("me", "did", str(number), NOW)
    assert store.verify_audit() == []
    store.db.conn.execute("update audit set detail = 'x' where seq = 3")
    assert store.verify_audit() == ["entry 3 was changed"]
    store.db.conn.execute("delete from audit where seq = 2")
    assert store.verify_audit() == ["entry 2 is missing"]


def test_a_full_database_keeps_nothing_of_the_transaction(store):
    crawl, fence = leased(store)
    pages = store.db.conn.execute("pragma page_count").fetchone()[0]
    store.db.conn.execute(f"pragma max_page_count = {pages}")
    big = make(EventKind.CANARY_HIT, NOW, "big", facts={"x": "y" * 100_000})
    with pytest.raises(StoreFull):
        store.commit_post(crawl, fence, "s", post(), [FINDING], [big], everywhere, NOW)
    store.db.conn.execute(f"pragma max_page_count = {pages + 1000}")
    assert store.findings() == []
    assert store.events() == []


def test_a_database_of_a_newer_tocsin_and_a_file_that_is_none_are_refused(tmp_path):
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


def test_the_database_is_its_owners_alone(tmp_path):
    Store.open(tmp_path / "t.db").close()
    assert (tmp_path / "t.db").stat().st_mode & 0o777 == 0o600


def test_purging_keeps_posts_known_and_what_still_waits(store):
    crawl, fence = leased(store)
    event = make(EventKind.CANARY_HIT, NOW, "x")
    store.record_listed(crawl, fence, "s", [post()], NOW)
    store.commit_post(crawl, fence, "s", post(), [FINDING], [event], lambda _: ["a"], NOW)
    later = NOW + timedelta(days=1)
    assert store.purge(later, later) == (1, 0)
    store.outbox.mark_sent(store.outbox.due(later)[0].alert.id, 200, later)
    assert store.purge(later, later) == (0, 1)
    assert store.record_listed(crawl, fence, "s", [post()], later).examine == ()


WRITER = """
import sys, itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from crawler.alerts.events import make
from data.model import EventKind, Finding
from data.case.canary_bitmaps import count, packed
from data.store.store import PostRow, Store
now = datetime.now(UTC)
store = Store.open(Path(sys.argv[1]))
store.put_source("s", "d", True, now)
crawl = store.queue_crawl("s", "test", now)
fence = store.lease_crawl(crawl, sys.argv[2], now + timedelta(hours=1), now)
print("ready", flush=True)
for n in itertools.count():
    name = f"{sys.argv[2]}-{n}"
    event = make(EventKind.CANARY_HIT, now, name, post=name)
    store.commit_post(crawl, fence, "s", PostRow(name, "v", ""), [Finding("", "ab" * 32, 1, "text")], [event],
                      lambda _: ["a"], now)
"""


@pytest.mark.slow
def test_kill_nine_in_mid_transaction_keeps_finding_event_and_alert_together(tmp_path):
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
        store.release_dead(lambda _: False, datetime.now(UTC))
        store.close()
    with closing(sqlite3.connect(path)) as db, db:
        found = {row[0] for row in db.execute("select post from finding")}
        told = {row[0] for row in db.execute("select post from event")}
        sent = {row[0] for row in db.execute("select event.post from alert join event on event.id = alert.event")}
        seen = {row[0] for row in db.execute("select id from post where seen_version = 'v'")}
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()
    assert found
    assert found == told == sent == seen


def test_a_post_that_came_by_a_link_is_due_once_and_ends_no_walk(store):
    crawl, fence = leased(store)
    store.put_source("pastes", "d", True, NOW)
    linked = ("pastes", post("linked"))
    store.commit_post(crawl, fence, "s", post(), [FINDING], [], everywhere, NOW, links=[linked, linked])
    assert store.due_posts("pastes") == [b"sealed"]
    assert next(each for each in store.sources() if each.name == "pastes").handed == NOW
    assert store.last_new("pastes") is None
    other, its_fence = leased(store, "pastes")
    store.record_walked(other, its_fence)
    assert store.settled_posts("pastes") == 0
    store.commit_post(other, its_fence, "pastes", post("linked"), [FINDING], [], everywhere, NOW)
    assert store.due_posts("pastes") == []
    assert next(each for each in store.sources() if each.name == "pastes").handed is None
    store.commit_post(crawl, fence, "s", post(), [FINDING], [], everywhere, NOW, links=[linked])
    assert store.due_posts("pastes") == []
    listed = store.record_listed(other, its_fence, "pastes", [post("linked", version="v2")], NOW)
    assert (listed.examine, listed.changed) == (("linked",), ())
    store.record_walked(other, its_fence)
    assert store.settled_posts("pastes") == 1


def with_canaries(bitmap: int, bundle: str = "a") -> Finding:
    return replace(FINDING, sighted=packed({bundle: bytes([bitmap])}))


def test_canaries_are_gathered_over_findings_with_the_first_and_the_last_place(store):
    crawl, fence = leased(store)
    store.commit_post(crawl, fence, "s", post("p"), [with_canaries(0b0011), with_canaries(1, "b")], [], everywhere, NOW)
    later = NOW + timedelta(hours=1)
    store.commit_post(crawl, fence, "s", post("q"), [with_canaries(0b0110)], [], everywhere, later)
    mine, other = store.sightings()
    assert (mine.bundle, count(mine.canaries), other.bundle) == ("a", 3, "b")
    assert (mine.first.at, mine.first.post, mine.last.at, mine.last.post) == (NOW, "p", later, "q")
    assert mine.last.address == "http://x/[1]"
    assert store.sightings(["s"]) == [mine, other]
    assert store.sightings(["another"]) == []
    assert all("sighted" not in row["body"] or row["body"]["sighted"] == {} for row in store.findings())


def test_sightings_are_kept_with_their_finding_or_not_at_all(store):
    crawl, fence = leased(store)
    with pytest.raises(LeaseLost):
        store.commit_post(crawl, fence + 1, "s", post(), [with_canaries(1)], [], everywhere, NOW)
    assert store.sightings() == []


def test_purging_takes_sightings_that_were_not_renewed(store):
    crawl, fence = leased(store)
    store.commit_post(crawl, fence, "s", post("p"), [with_canaries(1), with_canaries(1, "b")], [], everywhere, NOW)
    later = NOW + timedelta(days=9)
    store.commit_post(crawl, fence, "s", post("q"), [with_canaries(2)], [], everywhere, later)
    store.purge(NOW + timedelta(days=1), later)
    assert [each.bundle for each in store.sightings()] == ["a"]
