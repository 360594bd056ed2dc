"""A record that is cut or changed while the daemon runs is reported, by the head that the daemon remembers."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from data.case import evidence
from data.case.evidence_chain import CHAIN_FILE
from data.hashing.case_keys import parse_match_key
from data.store.store import Store
from scheduler.daemon.record_watch import RecordWatch

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_entries_that_are_gone_begin_a_state_and_their_return_ends_it(home):
    keys = parse_match_key((home.keys_dir / "match.key").read_text()).chain_keys()
    settings, watch = home.settings(), RecordWatch(home)
    with contextlib.closing(Store.open(home.db_path, chain_keys=keys)) as store:
        store.audit.record("daemon", "started", "", NOW)
        evidence.keep(home.evidence_dir, "f1", b"sealed", NOW, keys.evidence)
        assert asyncio.run(watch.check(settings, store, NOW)) == []
        # the newest evidence vanishes as if it had never been: file and line, and no finding names it
        chain = home.evidence_dir / CHAIN_FILE
        whole = chain.read_bytes()
        chain.write_bytes(b"".join(line + b"\n" for line in whole.splitlines()[:-1]))
        (home.evidence_dir / "f1.age").rename(home.path / "f1.age")
        assert "entries are gone" in asyncio.run(watch.check(settings, store, NOW))[0]
        assert asyncio.run(watch.check(settings, store, NOW)), "it stays wrong"
        (state,) = store.states.lasting()
        assert (state.kind.value, state.subject) == ("selftest_failed", "record")
        (event,) = store.events.latest(kind="selftest_failed")
        assert event.severity.value == "critical"
        assert "entries are gone" in event.facts["reason"]
        chain.write_bytes(whole)
        (home.path / "f1.age").rename(home.evidence_dir / "f1.age")
        assert asyncio.run(watch.check(settings, store, NOW)) == []
        assert store.states.lasting() == []
