"""The audit chain."""

from __future__ import annotations

import contextlib

from data.store.store import Store
from tests.leased_crawl import NOW


def test_the_chain_reveals_entries_that_were_changed_or_removed(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        for number in range(5):
            store.audit.record("me", "did", str(number), NOW)
        assert store.audit.verify() == []
        store.database.execute("update audit set detail = 'x' where seq = 3")
        assert store.audit.verify() == ["entry 3 was changed"]
        store.database.execute("delete from audit where seq = 2")
        assert store.audit.verify() == ["entry 2 is missing"]
