"""Events and their alerts: an event that happens again is counted, but not stored or alerted a second time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from data.model import Event
from data.store.audit import AuditChain
from data.store.database import Database, stamp
from data.store.event_rows import event_of_row
from data.store.outbox import Outbox

Route = Callable[[Event], Sequence[str]]
"""Gives the names of the channels that an event is sent to."""


class Events:
    """The events in table `event`."""

    def __init__(self, database: Database, outbox: Outbox, audit: AuditChain) -> None:
        self._database, self._outbox, self._audit = database, outbox, audit

    def add(self, events: Sequence[Event], route: Route, now: datetime) -> int:
        """Store events and their alerts in one transaction; returns how many events were new.

        An event whose id is known is counted as one more sighting and makes no alert.
        """
        new = 0
        with self._database.transaction():
            for event in events:
                cursor = self._database.execute(
                    "insert into event (id, kind, severity, at, source, incident, post, address, facts, last_seen)"
                    " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing",
                    (
                        event.id,
                        event.kind,
                        event.severity,
                        stamp(event.at),
                        event.source,
                        event.incident,
                        event.post,
                        event.address,
                        json.dumps(dict(event.facts)),
                        stamp(now),
                    ),
                )
                if cursor.rowcount == 0:
                    self.count_sighting(event.id, now)
                    continue
                new += 1
                self._outbox.add(event.id, route(event), now)
        return new

    def count_sighting(self, event: str, now: datetime) -> None:
        """Note that an event that is known happened again."""
        with self._database.transaction():
            self._database.execute(
                "update event set sightings = sightings + 1, last_seen = ? where id = ?", (stamp(now), event)
            )

    def replace_facts(self, event: str, facts: Mapping[str, Any]) -> None:
        """Give an event that is known new facts; alerts about it that were sent stay as they are."""
        with self._database.transaction():
            self._database.execute("update event set facts = ? where id = ?", (json.dumps(dict(facts)), event))

    def acknowledge(self, event: str, who: str, now: datetime) -> None:
        """Note that a person is dealing with an event."""
        with self._database.transaction():
            self._database.execute("update event set acked = ? where id = ?", (stamp(now), event))
            self._audit.record(who, "acknowledged", event, now)

    def find(self, prefix: str) -> tuple[Event, dict[str, Any]] | None:
        """The one event whose id begins with a text, with its `sightings`, `last_seen` and `acked`; None if not one."""
        rows = self._database.rows("select * from event where substr(id, 1, ?) = ? limit 2", len(prefix), prefix)
        if len(rows) != 1:
            return None
        return event_of_row(rows[0]), {name: rows[0][name] for name in ("sightings", "last_seen", "acked")}

    def latest(self, *, limit: int = 100, kind: str = "", source: str = "") -> list[Event]:
        """The latest events of a kind and of a source, or of all for '', newest first."""
        rows = self._database.rows(
            "select * from event where ? in ('', kind) and ? in ('', source) order by at desc, rowid desc limit ?",
            kind,
            source,
            limit,
        )
        return [event_of_row(row) for row in rows]

    def count_by_kind(self, incident: str) -> dict[str, int]:
        """How many events of each kind belong to an incident."""
        rows = self._database.rows(
            "select kind, count(*) as n from event where incident = ? group by kind order by kind", incident
        )
        return {row["kind"]: row["n"] for row in rows}
