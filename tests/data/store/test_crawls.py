"""Leases of crawls."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from data.errors import LeaseLost
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
