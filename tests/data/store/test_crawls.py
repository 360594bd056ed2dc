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
