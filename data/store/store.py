"""What the runner remembers: sources, crawls, posts, findings, events, alerts and an audit chain, in SQLite.

One transaction holds a finding with its events and alerts, so that a `kill -9` keeps all or none. The tables' sides are
`data.store.event_log`, `data.store.crawl_log`, `data.store.post_log` and `data.store.outbox`, the chain `data.store.audit`, the file `data.store.connection`.
"""

from __future__ import annotations

from datetime import datetime

from data.store.connection import stamp, translated
from data.store.crawl_log import SourceState
from data.store.event_log import OpenState, Route
from data.store.post_log import Listed, PostLog, PostRow, finding_id

__all__ = ["Listed", "OpenState", "PostRow", "Route", "SourceState", "Store", "finding_id"]


class Store(PostLog):
    """All of it, with its audit chain."""

    def audit(self, actor: str, action: str, detail: str, now: datetime) -> None:
        """Append to the audit chain."""
        with self._writing():
            self.log.append(actor, action, detail, now)

    def verify_audit(self) -> list[str]:
        """What is broken in the audit chain; empty when it is whole."""
        with translated():
            return self.log.verify()

    def note_selftest(self, name: str, now: datetime, *, passed: bool) -> None:
        """Keep how a self-test went, in the place of how it went before."""
        with self._writing():
            self.db.execute("insert or replace into selftest values (?, ?, ?)", (name, stamp(now), passed))

    def selftests(self) -> dict[str, tuple[datetime, bool]]:
        """When each self-test was last made, and whether it passed."""
        rows = self._rows("select * from selftest")
        return {row["name"]: (datetime.fromisoformat(row["at"]), bool(row["passed"])) for row in rows}

    def purge(self, before: datetime, now: datetime, *, dry_run: bool = False) -> tuple[int, int]:
        """Delete findings and events older than a time; returns their numbers. Sightings go that were not renewed since.

        Posts stay known by their keyed ids, so that nothing old rings again; events that wait for delivery or whose
        state lasts stay as well.
        """
        keep = (
            "at < ? and id not in (select event from state) and not exists"
            " (select 1 from alert where alert.event = event.id and alert.state <> 'sent')"
        )
        findings = self._rows("select count(*) as n from finding where at < ?", stamp(before))[0]["n"]
        events = self._rows(f"select count(*) as n from event where {keep}", stamp(before))[0]["n"]  # noqa: S608 - fixed
        if not dry_run:
            with self._writing():
                self.db.execute("delete from finding where at < ?", (stamp(before),))
                self.db.execute("delete from sighting where last_seen < ?", (stamp(before),))
                self.db.execute("delete from body where kind = 'post' and at < ?", (stamp(before),))
                self.db.execute(
                    f"delete from alert where event in (select id from event where {keep})",  # noqa: S608 - fixed
                    (stamp(before),),
                )
                self.db.execute(f"delete from event where {keep}", (stamp(before),))  # noqa: S608 - fixed
                self.log.append("purge", "deleted", f"{findings} findings, {events} events before {stamp(before)}", now)
            with translated():
                self.db.execute("pragma wal_checkpoint(truncate)")
        return findings, events
