"""Posts: when they are due, when they count as changed, and when they are settled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind, Finding
from data.store.posts import PostRow
from data.store.store import Store
from tests.leased_crawl import NOW, LeasedCrawl

FINDING = Finding("n", "ab" * 32, 10, "text")


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "t.db")
    yield opened
    opened.close()


@pytest.fixture
def crawl(store):
    return LeasedCrawl(store)


def post(
    name: str = "p", version: str = "v1", *, page: dict | None = None, visit: bytes = b"", **fields: object
) -> PostRow:
    return PostRow(name, version, "http://x/[1]", b"sealed", {"part": [version], **fields}, page or {}, visit=visit)


def examined(crawl: LeasedCrawl, *posts: PostRow) -> None:
    """List and examine posts."""
    crawl.list(*posts)
    for each in posts:
        crawl.commit(each, [FINDING])


def test_a_post_is_due_until_its_finding_is_committed(store, crawl):
    listed = crawl.list(post())
    assert (listed.examine, listed.changed, listed.settled) == (("p",), (), ())
    assert store.posts.due("s") == [b"sealed"]
    crawl.commit(post(), [FINDING])
    assert store.posts.due("s") == []
    assert crawl.list(post()).examine == ()


def test_a_changed_version_is_examined_again_and_a_failed_post_stays_due(store, crawl):
    examined(crawl, post())
    listed = crawl.list(post(version="v2"))
    assert (listed.examine, listed.changed) == (("p",), ("p",))
    crawl.commit(post(version="v2"), failed=True)
    assert store.posts.due("s") == [b"sealed"]


def test_changes_are_reported_until_the_post_is_examined(store, crawl):
    examined(crawl, post())
    later = post(version="v2", links=["a1"])
    crawl.list(later)
    phrases = {"links": "links (1 new)", "part": "part (new: v2; gone: v1)"}
    assert store.posts.changes_of("s", later) == phrases
    crawl.commit(later, failed=True)
    assert store.posts.changes_of("s", later) == phrases
    crawl.commit(later, [FINDING])
    assert store.posts.changes_of("s", later) == {}
    assert crawl.list(later).examine == ()


def test_declared_fields_and_fields_that_change_on_the_whole_page_make_no_change(crawl):
    examined(crawl, *[post(f"p{number}", title="a") for number in range(6)])
    assert crawl.list(*[post(f"p{number}", title="b") for number in range(6)]).examine == ()
    assert crawl.list(post("p0", title="c"), volatile=["title"]).examine == ()
    assert crawl.list(post("p0", title="d")).changed == ("p0",)


def test_a_field_that_changes_at_every_observation_becomes_volatile(crawl):
    examined(crawl, post())
    changed = 0
    for number in range(60):
        each = post(text=f"t{number}")
        if crawl.list(each).changed:
            changed += 1
            crawl.commit(each, [FINDING])
    assert changed < 35
    assert crawl.list(post(text="x")).changed == ()
    assert crawl.list(post(version="v2", text="y")).changed == ("p",)


def test_a_countdown_put_off_a_little_at_each_observation_counts_as_changed_in_the_end(crawl):
    examined(crawl, post(timer=[1000, 60]))
    changed = [bool(crawl.list(post(timer=[1000 + 20 * step, 60])).changed) for step in range(6)]
    assert changed == [False, False, False, False, True, True]


def test_a_page_is_read_again_after_its_time_and_only_additions_count(store, crawl):
    examined(crawl, post(page={"links": ["a", "b"]}, visit=b"addresses"))
    day, later = timedelta(days=1), NOW + timedelta(days=3)
    assert store.posts.to_revisit("s", day, NOW + timedelta(hours=2)) == []
    assert store.posts.to_revisit("s", timedelta(), later) == []
    assert store.posts.to_revisit("s", day, later) == [b"addresses"]
    assert crawl.list(post(), now=later).examine == ()
    assert store.posts.changes_of("s", post(page={"links": ["b"]})) == {}
    assert store.posts.changes_of("s", post(page={"links": ["b", "c"]})) == {"links": "links (1 new)"}


def test_posts_are_settled_only_when_the_walk_has_ended(crawl):
    crawl.list(post())
    assert crawl.list(post()).settled == ()
    crawl.end_walk()
    assert crawl.list(post()).settled == ("p",)


def test_a_linked_post_is_due_once_and_is_settled_only_when_its_own_listing_shows_it(store, crawl):
    store.sources.put("pastes", "d", True, NOW)
    linked = ("pastes", post("linked"))

    def handed():
        return next(each for each in store.sources.states() if each.name == "pastes").handed

    crawl.commit(post(), [FINDING], links=[linked, linked])
    assert store.posts.due("pastes") == [b"sealed"]
    assert handed() == NOW
    assert store.posts.latest_new("pastes") is None
    other = LeasedCrawl(store, "pastes")
    other.end_walk()
    assert store.posts.count_settled("pastes") == 0
    other.commit(post("linked"), [FINDING])
    assert store.posts.due("pastes") == []
    assert handed() is None
    crawl.commit(post(), [FINDING], links=[linked])
    assert store.posts.due("pastes") == []
    listed = other.list(post("linked", version="v2"))
    assert (listed.examine, listed.changed) == (("linked",), ())
    other.end_walk()
    assert store.posts.count_settled("pastes") == 1


@pytest.mark.parametrize("first", ["thread", "reply"])
def test_a_thread_has_hits_if_a_reply_of_the_feed_has_whichever_is_stored_first(store, crawl, first):
    thread, reply, other = post("t1"), post("r1"), post("t2")
    crawl.list(thread, reply, other)
    commits = {"thread": (thread, [("r1", "v"), ("x", "v")]), "reply": (replace(reply, hit=True), [("r1", "v")])}
    for name in sorted(commits, key=lambda each: each != first):
        row, parts = commits[name]
        store.posts.record_examined("s", row, "c1", NOW)
        store.posts.record_parts(row.id, parts)
    store.posts.record_parts("t2", [("y", "v")])
    assert [store.posts.is_gone(name) for name in ("t1", "r1", "t2")] == [True, True, False]


def test_old_posts_are_forgotten_unless_something_was_told_of_them_and_rise_as_new_ones(store, crawl, monkeypatch):
    monkeypatch.setattr("data.store.findings.KEPT", 3)
    monkeypatch.setattr("data.store.findings.PRUNED_TOGETHER", 2)
    quiet = [post(f"quiet{number}") for number in range(5)]
    told, hit, due, listed = post("told"), post("hit"), post("due"), post("listed")
    crawl.list(*quiet, told, hit, due, listed)
    for each in (*quiet, listed):
        crawl.commit(each, [FINDING])
    crawl.commit(told, [FINDING], [build_event(EventKind.ANNOUNCEMENT, NOW, "told", post="told")])
    crawl.commit(replace(hit, hit=True), [FINDING])
    crawl.end_walk()
    later = NOW + timedelta(days=500)
    assert list(store.findings.prune(NOW)) == [], "none is older than that"
    fresh = [post(f"fresh{number}") for number in range(3)]
    crawl.list(*fresh, listed, now=later)
    assert list(store.findings.prune(later - timedelta(days=400))) == [2, 2, 1]
    assert len(store.findings.latest()) == 3
    again = crawl.list(*quiet, told, hit, due, listed, *fresh, now=later)
    assert set(again.examine) == {each.id for each in quiet} | {"due"} | {each.id for each in fresh}
