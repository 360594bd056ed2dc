"""Leases of crawls."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from data.errors import LeaseLost
from data.store import crawls
from data.store.crawls import KEPT
from data.store.store import Store
from tests.leased_crawl import NOW, LeasedCrawl


def test_two_crawls_of_one_source_do_not_run_at_once(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        LeasedCrawl(store)
        other = store.crawls.queue("s", "test", NOW)
        with pytest.raises(LeaseLost, match="being crawled"):
            store.crawls.lease(other, "other", NOW + timedelta(minutes=1), NOW)
        assert [crawl["state"] for crawl in store.crawls.latest()].count("expired") == 1


def failures(store: Store) -> int:
    return store.sources.states()[0].failures


@pytest.mark.parametrize("how", ["lease", "owner", "mine"])
def test_a_crawl_that_nobody_ended_is_a_counted_failure_with_a_code(tmp_path, how):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        for number in (1, 2):
            crawl = LeasedCrawl(store)
            if how == "lease":
                expired = store.crawls.expire_leases(NOW + timedelta(minutes=2))
            elif how == "owner":
                expired = store.crawls.expire_dead_owners(lambda owner: False, NOW)
            else:
                expired = store.crawls.expire_leases(NOW, owner="me")
            assert [(each.id, each.source, each.failures) for each in expired] == [(crawl.id, "s", number)]
            assert failures(store) == number
            assert any(each["counts"] == {"code": "expired"} for each in store.crawls.latest())


def test_a_clock_that_is_set_forward_ends_no_crawl_of_the_process_that_asks(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        crawl = LeasedCrawl(store)
        assert store.crawls.expire_leases(NOW + timedelta(days=9), owner="me", running={"s"}) == []
        store.crawls.check_fence(crawl.id, crawl.fence)


def test_a_crawl_that_a_killed_process_left_in_the_queue_does_not_keep_its_source_from_being_crawled(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        store.sources.put("s", "d", True, NOW)
        store.crawls.queue("s", "due", NOW)
        assert store.sources.states()[0].running
        assert store.crawls.expire_leases(NOW) == []
        assert len(store.crawls.expire_leases(NOW + timedelta(minutes=2))) == 1
        assert not store.sources.states()[0].running
        assert failures(store) == 1


def test_a_crawl_that_is_stopped_on_purpose_is_no_failure(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        crawl = LeasedCrawl(store)
        store.crawls.release(crawl.id, crawl.fence, "the runner was stopped", NOW)
        assert failures(store) == 0
        assert store.crawls.latest()[0]["state"] == "expired"
        with pytest.raises(LeaseLost):
            store.crawls.release(crawl.id, crawl.fence, "again", NOW)


def test_old_crawls_are_deleted_but_never_the_newest_nor_the_last_that_ended_well(tmp_path, monkeypatch):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        for number in range(KEPT + 30):
            for source, state in (("well", "done"), ("ill", "done" if number == 3 else "failed")):
                at = NOW + timedelta(hours=number)
                crawl = LeasedCrawl(store, source, now=at)
                counts = {"new": 2, "rows": 25, "code": "" if state == "done" else "timeout"}
                store.finish_crawl(crawl.id, crawl.fence, state, lambda event: (), at, counts=counts, error="late")
        running = LeasedCrawl(store, "well", now=NOW)
        assert sum(store.crawls.prune(NOW + timedelta(hours=10))) == 10 + 9, "younger ones are kept"
        monkeypatch.setattr(crawls, "PRUNED_TOGETHER", 8)
        assert list(store.crawls.prune(NOW + timedelta(days=90))) == [8, 8, 4, 8, 8, 4]
        kept = store.crawls.latest(limit=1000)
        assert running.id in {crawl["id"] for crawl in kept}
        assert sorted(crawl["source"] for crawl in kept if crawl["id"] != running.id) == ["ill"] * 21 + ["well"] * 20
        assert not store.crawls.none_done("ill")
        # what was learned from them stays
        assert store.sources.last_troubles()["ill"] == {
            "at": NOW + timedelta(hours=KEPT + 29), "code": "timeout", "reason": "late",
        }  # fmt: skip
        pace = store.sources.paces()["well"]
        assert (round(pace.usual), round(pace.recent), pace.rows) == (48, 48, 25)


def test_a_rate_needs_two_crawls_follows_a_burst_and_survives_a_clock_that_is_set_back(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        store.sources.note_visit("s", 500, 25, NOW)
        assert store.sources.paces() == {}, "the first crawl finds what was there before"
        for day in range(1, 8):
            store.sources.note_visit("s", 2, 25, NOW + timedelta(days=day))
        store.sources.note_visit("s", 40, 0, NOW + timedelta(days=7, hours=2))
        pace = store.sources.paces()["s"]
        assert 2 < pace.usual < 12
        assert 200 < pace.recent < 480
        assert pace.rows == 25, "an empty listing tells no length"
        store.sources.note_visit("s", 3, 25, NOW)
        assert store.sources.paces()["s"].usual == pace.usual
