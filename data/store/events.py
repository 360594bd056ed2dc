"""Events and their alerts: an event that happens again is counted, but not stored or alerted a second time.

An event that belongs to an earlier one continues its *thread*: the same data at another place, a change of the post, the
reminder and the end of a state. It is also told wherever the first event of the thread was told.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from data.errors import InputError
from data.model import LEAKS, Event, EventKind, Severity
from data.store.database import Database, stamp
from data.store.outbox import Outbox
from data.store.triage import Triage

Route = Callable[[Event], Sequence[str]]
"""Gives the names of the channels that an event is sent to."""

# Ids that one query looks up.
IDS_TOGETHER = 500
# Number of the row, and the beginning of the event's id.
_CURSOR = re.compile(r"(\d{1,18})-([0-9a-f]{12})")


class Events:
    """The events in table `event`."""

    def __init__(self, database: Database, outbox: Outbox, triage: Triage) -> None:
        self._database, self._outbox, self._triage = database, outbox, triage

    def add(self, events: Sequence[Event], route: Route, now: datetime) -> int:
        """Store events and their alerts in one transaction; returns how many events were new.

        An event whose id is known is counted as one more sighting and makes no alert, and so is the re-post of what the
        same post held before: its page is read again. If a leak is seen again in another post, that is an event of its
        own, which continues the thread of the first one.
        """
        new = 0
        with self._database.transaction():
            for event in events:
                if own := self._first_of_own_data(event):
                    self.count_sighting(own, now)
                    continue
                if self._insert(event, route, now):
                    new += 1
                    continue
                self.count_sighting(event.id, now)
                if event.kind in LEAKS and event.post and (elsewhere := self._elsewhere(event)) is not None:
                    new += self._insert(elsewhere, route, now)
        return new

    def _insert(self, event: Event, route: Route, now: datetime) -> bool:
        """Store an event with its alerts; False if its id is known."""
        thread = self._thread_of(event)
        cursor = self._database.execute(
            "insert into event (id, kind, severity, at, source, incident, post, address, facts, last_seen, thread,"
            " release) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing",
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
                thread,
                str(event.facts.get("release", "")),
            ),
        )
        if cursor.rowcount == 0:
            return False
        channels = dict.fromkeys([*route(event), *(self._outbox.channels_of(thread) if thread else ())])
        self._outbox.add(event.id, list(channels), now)
        self._triage.reopen_for(event, now)
        return True

    def is_told(self, event: Event) -> bool:
        """Whether `add` would only count this event as one more sighting."""
        return self.get(event.id) is not None or bool(self._first_of_own_data(event))

    def _first_of_own_data(self, event: Event) -> str:
        """Id of the event about what this post held before, if a re-post is of that alone and hits nothing more; else ''."""
        if event.kind is not EventKind.REPOST or not event.post:
            return ""
        firsts = [self.of_release(parent["release"]) for parent in event.facts.get("parents", ())]
        if not firsts or firsts[0] is None or firsts[0].post != event.post:
            return ""
        told: dict[str, int] = {}
        for first in firsts:
            for hit in first.facts.get("clients", ()) if first is not None and first.post == event.post else ():
                told[hit["client"]] = max(hit["canaries"], told.get(hit["client"], 0))
        # a client may have been enrolled, or may have enrolled more people, since the page was read
        is_told = all(hit["canaries"] <= told.get(hit["client"], 0) for hit in event.facts.get("clients", ()))
        return firsts[0].id if is_told else ""

    def _elsewhere(self, event: Event) -> Event | None:
        """The event that a leak, which is known, was seen in another post; None if it is the same post."""
        known = self.get(event.id)
        if known is None or event.post == known.post:
            return None
        identity = hashlib.sha256(f"elsewhere\0{event.id}\0{event.post}".encode()).hexdigest()[:32]
        return replace(event, id=identity, kind=EventKind.REPOST, severity=Severity.INFO, thread=event.id)

    def _thread_of(self, event: Event) -> str:
        """Id of the first event of the thread that an event continues, '' for none."""
        first = event.thread or self._continued(event)
        row = self._database.first_row("select id, thread from event where id = ? and id <> ?", first, event.id)
        return "" if row is None else str(row["thread"] or row["id"])

    def _continued(self, event: Event) -> str:
        """Id of the event that an event of a known kind of continuation belongs to, '' for none."""
        if event.kind is EventKind.REPOST:
            # the data was seen before, and registered as what was seen there; the same post again is no other place
            for parent in event.facts.get("parents", ()):
                row = self._database.first_row(
                    "select id from event where release = ? and post <> ? order by at, rowid limit 1",
                    parent["release"],
                    event.post,
                )
                if row is not None:
                    return str(row["id"])
        elif event.kind is EventKind.EARLY_LOOK:
            return str(event.facts.get("of_event", ""))
        elif event.kind is EventKind.LISTING_CHANGED and event.post:
            row = self._database.first_row(
                "select id from event where post = ? and post <> '' and kind in (select value from json_each(?))"
                " order by at, rowid limit 1",
                event.post,
                json.dumps(sorted(LEAKS)),
            )
            return "" if row is None else str(row["id"])
        return ""

    def places(self, thread: str) -> int:
        """In how many posts the data of a thread was seen, with that of its first event."""
        row = self._database.first_row(
            "select count(distinct post) as n from event where (id = ?1 or (thread = ?1 and kind = 'repost'))"
            " and post <> ''",
            thread,
        )
        return int(row["n"]) if row else 0

    def sightings(self, thread: str) -> list[Event]:
        """The events of a thread that say that its data was seen at another place, oldest first."""
        rows = self._database.rows(
            "select * from event where thread = ? and kind = 'repost' and json_extract(facts, '$.baseline') is null"
            " order by at, rowid",
            thread,
        )
        return [Event.from_row(row) for row in rows]

    def of_release(self, release: str) -> Event | None:
        """The first event about a sample that was registered as a release; None if there is none."""
        row = self._database.first_row(
            "select * from event where release = ? and release <> '' order by at, rowid limit 1", release
        )
        return None if row is None else Event.from_row(row)

    def has(self, *, incident: str = "", source: str = "") -> bool:
        """Whether an event of an incident, or of a source, is stored."""
        return bool(
            self._database.first_row(
                "select 1 from event where ? in ('', incident) and ? in ('', source) limit 1", incident, source
            )
        )

    def get(self, event: str) -> Event | None:
        """The event with an id; None if there is none."""
        row = self._database.first_row("select * from event where id = ?", event)
        return None if row is None else Event.from_row(row)

    def known(self, events: Sequence[str]) -> set[str]:
        """Those of the ids of which an event is stored."""
        known: set[str] = set()
        for at in range(0, len(events), IDS_TOGETHER):
            ids = events[at : at + IDS_TOGETHER]
            marks = ", ".join("?" * len(ids))
            rows = self._database.rows(f"select id from event where id in ({marks})", *ids)  # noqa: S608 - marks
            known.update(row["id"] for row in rows)
        return known

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

    def find(self, prefix: str) -> tuple[Event, dict[str, Any]] | None:
        """The one event whose id begins with a text, with its `sightings`, `last_seen` and `acked`; None if not one."""
        rows = self._database.rows("select * from event where id >= ?1 and id < ?1 || char(0x10ffff) limit 2", prefix)
        if len(rows) != 1:
            return None
        return Event.from_row(rows[0]), {name: rows[0][name] for name in ("sightings", "last_seen", "acked")}

    def latest(self, *, limit: int = 100, kind: str = "", source: str = "") -> list[Event]:
        """The latest events of a kind and of a source, or of all for '', newest first."""
        rows = self._database.rows(
            "select * from event where ? in ('', kind) and ? in ('', source) order by at desc, rowid desc limit ?",
            kind,
            source,
            limit,
        )
        return [Event.from_row(row) for row in rows]

    def after(self, cursor: str, *, limit: int) -> list[tuple[str, Event]]:
        """The events that were stored after the one that a cursor names, in the order in which they were stored.

        Args:
            cursor: of the last event that was read, '' for the first read.
            limit: at most so many.

        Returns:
            Each event with its cursor. If all events were purged meanwhile, those that came since.

        Raises:
            InputError: the text is no cursor.
        """
        match = _CURSOR.fullmatch(cursor)
        if cursor and match is None:
            raise InputError(
                "this is not a cursor of the feed of events", hint="give the last one that you read, or none"
            )
        after, last = (int(match[1]), match[2]) if match else (0, "")
        newest = self._database.first_row("select max(rowid) as number from event")
        there = self._database.first_row("select substr(id, 1, 12) as id from event where rowid = ?", after)
        # SQLite gives numbers anew once the last event was purged: then another event has this number, or none has yet
        is_another = there is not None and there["id"] != last
        begin = 0 if is_another or (there is None and newest and (newest["number"] or 0) <= after) else after
        rows = self._database.rows(
            "select rowid as number, * from event where rowid > ? order by rowid limit ?", begin, limit
        )
        return [(f"{row['number']}-{row['id'][:12]}", Event.from_row(row)) for row in rows]

    def count_by_kind(self, incident: str) -> dict[str, int]:
        """How many events of each kind belong to an incident."""
        rows = self._database.rows(
            "select kind, count(*) as n from event where incident = ? group by kind order by kind", incident
        )
        return {row["kind"]: row["n"] for row in rows}
