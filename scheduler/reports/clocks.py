"""The clocks of an incident: when it was first alerted, who took it on, since when people are aware, and what is due.

`aware since` and what was handed over are entries of the audit chain: who entered them, and when, cannot be changed later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from data.settings.obligations import Obligation
from data.store.database import parse_stamp, stamp
from data.store.store import Store
from scheduler.reports.incident_scope import IncidentScope, of_sources
from scheduler.reports.timeline import LEAK_KINDS

AWARE, REPORTED = "aware", "reported"
"""Actions of the audit chain."""
EVERYBODY = "*"
"""Stands for the incident as a whole where otherwise a client is named."""


@dataclass(frozen=True, slots=True)
class Entered:
    """Something that a person entered: the time that it is about, who entered it, and when."""

    at: datetime
    who: str
    entered: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """An obligation, and when it is due; None if that cannot be counted (yet)."""

    obligation: Obligation
    at: datetime | None

    def left(self, now: datetime) -> timedelta | None:
        """How much time is left; negative if it is over."""
        return None if self.at is None else self.at - now


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of an incident, or of one of its clients.

    Attributes:
        first_alert: when the first alert about published data was accepted by a channel; None if none was.
        first_event: when the first such event was stored.
        acknowledged: when an event of the incident was first acknowledged, and by whom.
        aware: since when the controller is aware, as a person entered it last.
        dues: what is due.
    """

    first_alert: datetime | None
    first_event: datetime | None
    acknowledged: Entered | None
    aware: Entered | None
    dues: tuple[Due, ...]


@dataclass(frozen=True, slots=True)
class Reported:
    """Figures that were handed over: when, by whom, and the numbers by name."""

    at: datetime
    who: str
    figures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ClockBook:
    """The clocks of an incident and of each of its clients, read once.

    Attributes:
        obligations: of the settings.
        firsts: client, or `EVERYBODY` -> its first event, first alert and first acknowledgement.
        aware: client, or `EVERYBODY` -> what a person entered last.
        reported: client, or `EVERYBODY` -> the figures that were handed over, oldest first.
    """

    obligations: Sequence[Obligation]
    firsts: Mapping[str, tuple[datetime | None, datetime | None, Entered | None]]
    aware: Mapping[str, Entered]
    reported: Mapping[str, Sequence[Reported]]

    def of(self, client: str = EVERYBODY) -> Clocks:
        """The clocks of one client, who became aware at a time of its own, or of the incident as a whole."""
        event, alert, acknowledged = self.firsts.get(client, (None, None, None))
        aware = self.aware.get(client)
        dues = tuple(Due(each, aware.at + each.after if aware and each.after else None) for each in self.obligations)
        return Clocks(alert, event, acknowledged, aware, dues)


_Firsts = tuple[datetime | None, datetime | None, Entered | None]
# What was found in local files belongs to no incident, and to the only one.
_SCOPED = (
    f"(incident = :incident or (incident = '' and {of_sources('source', ':sources')}))"  # noqa: S608 - fixed text
    " and kind in (select value from json_each(:kinds))"
)
_SENT = "(select min(sent) from alert where alert.event = event.id)"


def read_clocks(
    store: Store, scope: IncidentScope, obligations: Sequence[Obligation], *, clients: bool = True
) -> ClockBook:
    """The clocks of an incident and, unless `clients` is false, of each of its clients, which reads the facts of all events."""
    values = {"incident": scope.incident.id, "sources": scope.sources_json, "kinds": json.dumps(LEAK_KINDS)}
    firsts = _firsts_of_clients(store, values) if clients else {EVERYBODY: _firsts(store, values)}
    return ClockBook(obligations, firsts, _aware(store, scope), _reported(store, scope))


def _firsts(store: Store, values: Mapping[str, Any]) -> _Firsts:
    """The first event, alert and acknowledgement of an incident as a whole; most events need not be looked at."""
    first = alert = None
    for at, sent in store.database.each_row(f"select at, {_SENT} from event where {_SCOPED} order by at", values):  # noqa: S608 - fixed text
        first = first or at
        # an alert is sent after its event
        if alert is not None and at > alert:
            break
        alert = min(filter(None, (alert, sent)), default=None)
    taken = next(
        store.database.each_row(
            "select audit.at, actor from audit join event on event.id = substr(detail, 1, 32)"  # noqa: S608 - fixed text
            f" where action = 'acknowledged' and {_SCOPED} order by seq limit 1",
            values,
        ),
        None,
    )
    acknowledged = None
    if taken is not None:
        at = datetime.fromisoformat(taken[0])
        acknowledged = Entered(at, taken[1], at)
    return parse_stamp(first), parse_stamp(alert), acknowledged


def _firsts_of_clients(store: Store, values: Mapping[str, Any]) -> dict[str, _Firsts]:
    rows = store.database.named_rows(
        f"select id, at, json_extract(facts, '$.clients') as clients, {_SENT} as sent from event"  # noqa: S608 - fixed text
        f" where {_SCOPED} order by at",
        values,
    )
    taken = {row["detail"][:32]: row for row in reversed(store.audit.entries("acknowledged", ""))}
    firsts: dict[str, _Firsts] = {}
    for row in rows:
        acknowledged = None
        if (entry := taken.get(row["id"])) is not None:
            at = datetime.fromisoformat(entry["at"])
            acknowledged = Entered(at, entry["actor"], at)
        this = (datetime.fromisoformat(row["at"]), parse_stamp(row["sent"]), acknowledged)
        for client in [EVERYBODY, *(hit["client"] for hit in json.loads(row["clients"] or "[]"))]:
            event, alert, taken_on = firsts.get(client, (None, None, None))
            firsts[client] = (
                event or this[0],
                min(filter(None, (alert, this[1])), default=None),
                min(filter(None, (taken_on, this[2])), key=lambda each: each.at, default=None),
            )
    return firsts


def _subject(scope: IncidentScope, client: str) -> str:
    return f"{scope.incident.id}/{client} "


def _entries(store: Store, scope: IncidentScope, action: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The entries of an action about an incident: client or `EVERYBODY`, what was said, and the entry."""
    begin = f"{scope.incident.id}/"
    for row in store.audit.entries(action, begin):
        client, _, said = row["detail"].removeprefix(begin).partition(" ")
        yield client, said, row


def _aware(store: Store, scope: IncidentScope) -> dict[str, Entered]:
    return {
        client: Entered(
            datetime.fromisoformat(said.removeprefix("since ")), row["actor"], datetime.fromisoformat(row["at"])
        )
        for client, said, row in _entries(store, scope, AWARE)
    }


def _reported(store: Store, scope: IncidentScope) -> dict[str, list[Reported]]:
    found: dict[str, list[Reported]] = {}
    for client, said, row in _entries(store, scope, REPORTED):
        made = Reported(datetime.fromisoformat(row["at"]), row["actor"], json.loads(said))
        found.setdefault(client, []).append(made)
    return found


def aware_of_incidents(store: Store) -> dict[str, Entered]:
    """Incident -> since when its controller is aware, as a person entered it last for the incident as a whole."""
    found = {}
    for row in store.audit.entries(AWARE, ""):
        subject, _, said = row["detail"].partition(" ")
        incident, _, client = subject.partition("/")
        if client == EVERYBODY:
            since = datetime.fromisoformat(said.removeprefix("since "))
            found[incident] = Entered(since, row["actor"], datetime.fromisoformat(row["at"]))
    return found


def enter_aware(
    store: Store, scope: IncidentScope, at: datetime, who: str, now: datetime, client: str = EVERYBODY
) -> None:
    """Record since when the controller is aware; a later entry corrects an earlier one, which stays in the chain."""
    store.audit.record(who, AWARE, f"{_subject(scope, client)}since {stamp(at)}", now)


def record_reported(
    store: Store, scope: IncidentScope, figures: Mapping[str, int], who: str, now: datetime, client: str = EVERYBODY
) -> None:
    """Record the figures of a report that is handed over, so that a later one can say what changed."""
    detail = _subject(scope, client) + json.dumps(dict(figures), sort_keys=True)
    store.audit.record(who, REPORTED, detail, now)
