"""Lasting states (a gap, a silent source, Tor down …), with events when they begin, last and end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.model import Event, EventKind
from data.store.database import Database, stamp
from data.store.events import Events, Route
from data.store.triage import Triage


@dataclass(frozen=True, slots=True)
class LastingState:
    """A state that has begun and not ended. There is at most one for each source, kind and subject.

    Attributes:
        source: name of the source, '' for the installation itself. subject: what the state is about, e.g. `listing`.
        notified: when people were last notified of it. event: id of the event that began it.
    """

    source: str
    kind: EventKind
    subject: str
    began: datetime
    notified: datetime
    event: str


class States:
    """The lasting states in table `state`."""

    def __init__(self, database: Database, events: Events, triage: Triage) -> None:
        self._database, self._events, self._triage = database, events, triage

    def begin(self, event: Event, subject: str, route: Route, now: datetime) -> bool:
        """Begin a state with its event; False if it has begun already, which only counts a sighting of its event."""
        key = (event.source, event.kind.value, subject)
        with self._database.transaction():
            old = self._database.first_row(
                "select event from state where source = ? and kind = ? and subject = ?", *key
            )
            if old is not None:
                self._events.count_sighting(old["event"], now)
                return False
            self._events.add([event], route, now)
            self._database.execute(
                "insert into state values (?, ?, ?, ?, ?, ?)", (*key, stamp(now), stamp(now), event.id)
            )
        return True

    def renew(self, event: Event, subject: str, route: Route, now: datetime) -> None:
        """Add another event to a state that lasts; its reminders and its end refer to this event from now on."""
        with self._database.transaction():
            self._events.add([event], route, now)
            self._database.execute(
                "update state set told = ?, event = ? where source = ? and kind = ? and subject = ?",
                (stamp(now), event.id, event.source, event.kind.value, subject),
            )

    def end(
        self,
        source: str,
        kind: EventKind,
        subject: str,
        ending: Callable[[LastingState], Event],
        route: Route,
        now: datetime,
    ) -> bool:
        """End a state with the event that `ending` makes of it; False if it had not begun."""
        row = self._database.first_row(
            "select * from state where source = ? and kind = ? and subject = ?", source, kind.value, subject
        )
        if row is None:
            return False
        state = _state_of_row(row)
        with self._database.transaction():
            self._events.add([ending(state)], route, now)
            self._triage.close_recovered(source, kind, subject, state.began, state.event, now)
            self._database.execute(
                "delete from state where source = ? and kind = ? and subject = ?", (source, kind.value, subject)
            )
        return True

    def remind(
        self, notified_before: datetime, reminder: Callable[[LastingState], Event], route: Route, now: datetime
    ) -> int:
        """Add the event that `reminder` makes for each state that people were last notified of before a time.

        Returns:
            How many states there were.
        """
        rows = self._database.rows("select * from state where told <= ?", stamp(notified_before))
        for row in rows:
            with self._database.transaction():
                self._events.add([reminder(_state_of_row(row))], route, now)
                self._database.execute(
                    "update state set told = ? where source = ? and kind = ? and subject = ?",
                    (stamp(now), row["source"], row["kind"], row["subject"]),
                )
        return len(rows)

    def lasting(self, source: str | None = None) -> list[LastingState]:
        """The states of a source, or all states for None, that have not ended, oldest first."""
        rows = self._database.rows("select * from state where ?1 is null or source = ?1 order by began", source)
        return [_state_of_row(row) for row in rows]


def _state_of_row(row: Mapping[str, Any]) -> LastingState:
    return LastingState(
        source=row["source"],
        kind=EventKind(row["kind"]),
        subject=row["subject"],
        began=datetime.fromisoformat(row["began"]),
        notified=datetime.fromisoformat(row["told"]),
        event=row["event"],
    )
