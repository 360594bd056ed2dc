"""Events, and the lasting states that they begin and end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.errors import LeaseLost
from data.model import Event, EventKind, Severity
from data.store.connection import Connection, stamp

Route = Callable[[Event], Sequence[str]]
"""The channels that an event goes to."""


@dataclass(frozen=True, slots=True)
class OpenState:
    """A lasting state (gap, silence, …) that has begun and not ended."""

    source: str
    kind: EventKind
    subject: str
    began: datetime
    told: datetime
    event: str


class EventLog(Connection):
    """What happened."""

    def _fenced(self, crawl: str, fence: int) -> None:
        row = self._one("select state, fence from crawl where id = ?", crawl)
        if row is None or row["state"] != "leased" or row["fence"] != fence:
            raise LeaseLost("the crawl was taken over or ended; it must stop without writing")

    def commit_events(
        self, events: Sequence[Event], route: Route, now: datetime, *, crawl: str = "", fence: int = 0
    ) -> int:
        """Keep events outside a post; with a crawl its fence is checked. Returns how many were new."""
        with self._writing():
            if crawl:
                self._fenced(crawl, fence)
            return self._insert_events(events, route, now)

    def _insert_events(self, events: Sequence[Event], route: Route, now: datetime) -> int:
        new = 0
        for event in events:
            cursor = self.db.execute(
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
                self.db.execute(
                    "update event set sightings = sightings + 1, last_seen = ? where id = ?", (stamp(now), event.id)
                )
                continue
            new += 1
            self.outbox.add(event.id, route(event), now)
        return new

    def open_state(self, event: Event, subject: str, route: Route, now: datetime) -> bool:
        """Begin a lasting state with its event; False if it has begun already (then only a sighting is counted)."""
        key = (event.source, event.kind.value, subject)
        with self._writing():
            old = self._one("select event from state where source = ? and kind = ? and subject = ?", *key)
            if old is not None:
                self.db.execute(
                    "update event set sightings = sightings + 1, last_seen = ? where id = ?", (stamp(now), old["event"])
                )
                return False
            self._insert_events([event], route, now)
            self.db.execute("insert into state values (?, ?, ?, ?, ?, ?)", (*key, stamp(now), stamp(now), event.id))
        return True

    def close_state(
        self,
        source: str,
        kind: EventKind,
        subject: str,
        make: Callable[[OpenState], Event],
        route: Route,
        now: datetime,
    ) -> bool:
        """End a lasting state with the event that `make` gives for it; False if it had not begun."""
        row = self._one(
            "select * from state where source = ? and kind = ? and subject = ?", source, kind.value, subject
        )
        if row is None:
            return False
        with self._writing():
            self._insert_events([make(_state(row))], route, now)
            self.db.execute(
                "delete from state where source = ? and kind = ? and subject = ?", (source, kind.value, subject)
            )
        return True

    def remind(self, before: datetime, make: Callable[[OpenState], Event], route: Route, now: datetime) -> int:
        """Tell every lasting state again that was last told before a time; returns how many."""
        rows = self._rows("select * from state where told <= ?", stamp(before))
        for row in rows:
            with self._writing():
                self._insert_events([make(_state(row))], route, now)
                self.db.execute(
                    "update state set told = ? where source = ? and kind = ? and subject = ?",
                    (stamp(now), row["source"], row["kind"], row["subject"]),
                )
        return len(rows)

    def states(self, source: str | None = None) -> list[OpenState]:
        """Lasting states that have not ended."""
        rows = self._rows("select * from state where ?1 is null or source = ?1 order by began", source)
        return [_state(row) for row in rows]

    def event(self, event: str) -> tuple[Event, dict[str, Any]] | None:
        """An event by its id or the beginning of one, with its sightings and acknowledgement; None if there is none."""
        rows = self._rows("select * from event where substr(id, 1, ?) = ? limit 2", len(event), event)
        if len(rows) != 1:
            return None
        return _event(rows[0]), {name: rows[0][name] for name in ("sightings", "last_seen", "acked")}

    def events(self, *, limit: int = 100, kind: str = "") -> list[Event]:
        """The latest events, newest first."""
        rows = self._rows("select * from event where ? in ('', kind) order by at desc, rowid desc limit ?", kind, limit)
        return [_event(row) for row in rows]

    def count_events(self, incident: str) -> dict[str, int]:
        """How many events of each kind belong to an incident."""
        rows = self._rows(
            "select kind, count(*) as n from event where incident = ? group by kind order by kind", incident
        )
        return {row["kind"]: row["n"] for row in rows}

    def ack(self, event: str, who: str, now: datetime) -> None:
        """Note that a person has taken an event up."""
        with self._writing():
            self.db.execute("update event set acked = ? where id = ?", (stamp(now), event))
            self.log.append(who, "acknowledged", event, now)


def _event(row: Mapping[str, Any]) -> Event:
    return Event(
        id=row["id"],
        kind=EventKind(row["kind"]),
        severity=Severity(row["severity"]),
        at=datetime.fromisoformat(row["at"]),
        source=row["source"],
        incident=row["incident"],
        post=row["post"],
        address=row["address"],
        facts=json.loads(row["facts"]),
    )


def _state(row: Mapping[str, Any]) -> OpenState:
    return OpenState(
        row["source"],
        EventKind(row["kind"]),
        row["subject"],
        datetime.fromisoformat(row["began"]),
        datetime.fromisoformat(row["told"]),
        row["event"],
    )
