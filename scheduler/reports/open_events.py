"""What is open: events that nobody has closed, as lists with filters and summed up by incident. Only reads the store."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from crawler.alerts.headlines import best_estimate, headline_of
from crawler.alerts.hit_totals import HitTotals
from crawler.alerts.phrases.catalogue import phrases_in
from crawler.alerts.plain_text import defang, sanitize
from crawler.alerts.wording import MAX_TITLE
from data.model import ClosingReason, Event, EventKind, Severity, TriageState
from data.store.database import stamp
from data.store.store import Store
from data.store.triage import EventTriage

# Kinds of events that are about data of clients, not about the watching.
LEAK_KINDS = (
    EventKind.FURTHER_RELEASE,
    EventKind.CANARY_HIT,
    EventKind.SHARED_PEOPLE,
    EventKind.REPOST,
    EventKind.EARLY_LOOK,
    EventKind.LISTING_CHANGED,
    EventKind.ANNOUNCEMENT,
)
GRAVE = (Severity.CRITICAL, Severity.WARNING)
# Of an incident so many open events, the latest ones, are read and summed up.
_READ = 500
# Events that nobody decided about, or that somebody works on or put aside; a snooze that is over makes an event new.
_OPEN = (
    "select id, 'new' as triage, '' as owner from event where acked is null{grave}"
    " union all select event, case when state = 'snoozed' and until <= :now then 'new' else state end, owner"
    " from triage where state in ('acknowledged', 'snoozed')"
)


# Events somebody works on or has put aside, and those that were closed and are new again.
_WORKED_ON = (
    "select event.rowid from triage join event on event.id = triage.event where state in ('acknowledged', 'snoozed')"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are listed; '' and () stand for all.

    Attributes:
        state: a `TriageState`, `open` for all that are not closed, or '' for all.
        severity: of the events. kind, source, incident: as well. about: `leaks` or `watching`.
        text: stands in the id, source, incident or masked address.
    """

    state: str = "open"
    severity: str = ""
    kind: str = ""
    source: str = ""
    incident: str | None = None
    about: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One event of a list: the event itself, what was decided about it, and how often it was seen."""

    event: Event
    triage: EventTriage
    sightings: int
    last_seen: datetime

    def to_json(self, names: Mapping[str, str]) -> dict[str, Any]:
        """Plain containers; `names` are the display names of clients. There is no matched value in any of it."""
        event, totals = self.event, HitTotals.of_facts(self.event.facts, names)
        facts = event.facts
        return {
            "id": event.id,
            "kind": event.kind.value,
            "severity": event.severity.value,
            "at": event.at.isoformat(timespec="seconds"),
            "headline": sanitize(headline_of(event, names, phrases_in("en")), MAX_TITLE),
            "source": event.source,
            "incident": event.incident,
            "address": defang(event.address),
            "state": self.triage.state.value,
            "owner": self.triage.owner,
            "until": self.triage.until and self.triage.until.isoformat(timespec="seconds"),
            "merged_into": self.triage.head,
            "clients": len(totals.hits),
            "records": totals.records,
            "new_people": facts.get("new"),
            "verdict": facts.get("verdict", ""),
            "sightings": self.sightings,
            "last_seen": self.last_seen.isoformat(timespec="seconds"),
        }


def list_events(store: Store, wanted: Filter, now: datetime, *, limit: int, offset: int = 0) -> list[Listed]:
    """The events that a filter lets through, newest first.

    Args:
        store: of the home.
        wanted: the filter.
        now: aware UTC, decides whether a snooze is over.
        limit: at most so many.
        offset: so many of the newest are left out.
    """
    conditions, values = _conditions(wanted)
    values["now"] = stamp(now)
    if wanted.state in {"", TriageState.CLOSED}:
        if wanted.state:
            # all that somebody decided about, but for what is worked on, which is little
            conditions += ["acked is not null", f"event.rowid not in ({_WORKED_ON})"]
        ids = f"select id, at, rowid as place from event{_where(conditions)} order by at desc, rowid desc"  # noqa: S608 - constants
        sql = f"{ids} limit :limit offset :offset"
    else:
        new = [*conditions, "acked is null"]
        decided_state = "case when triage.state = 'snoozed' and triage.until <= :now then 'new' else triage.state end"
        others = [*conditions, "triage.state in ('acknowledged', 'snoozed')"]
        if wanted.state != "open":
            others.append(f"{decided_state} = :state")
            values["state"] = wanted.state
        undecided = (
            "select * from (select id, at, rowid as place from event"  # noqa: S608 - constants
            f"{_where(new)} order by at desc, rowid desc limit :limit + :offset)"
        )
        worked_on = (
            "select event.id, event.at, event.rowid as place from triage join event on event.id = triage.event"  # noqa: S608 - the same
            f"{_where(others)}"
        )
        shown = [undecided, worked_on] if wanted.state in {"open", TriageState.NEW} else [worked_on]
        sql = f"select * from ({' union all '.join(shown)}) order by at desc, place desc limit :limit offset :offset"  # noqa: S608 - constants
    rows = store.database.named_rows(
        "select event.*, triage.event as decided from event left join triage on triage.event = event.id"  # noqa: S608 - the same
        f" where event.id in (select id from ({sql})) order by event.at desc, event.rowid desc",
        values | {"limit": limit, "offset": offset},
    )
    decided = store.triage.of([row["id"] for row in rows if row["decided"]], now)
    return [
        Listed(
            Event.from_row(row),
            decided.get(row["id"], EventTriage()),
            row["sightings"],
            datetime.fromisoformat(row["last_seen"]),
        )
        for row in rows
    ]


def _where(conditions: Sequence[str]) -> str:
    return f" where {' and '.join(conditions)}" if conditions else ""


def _conditions(wanted: Filter) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {}
    for name in ("severity", "kind", "source"):
        if value := getattr(wanted, name):
            conditions.append(f"event.{name} = :{name}")
            values[name] = value
    if wanted.incident is not None:
        conditions.append("event.incident = :incident")
        values["incident"] = wanted.incident
    if wanted.about:
        inside = "in" if wanted.about == "leaks" else "not in"
        conditions.append(f"event.kind {inside} (select value from json_each(:kinds))")  # noqa: S608 - constants
        values["kinds"] = json.dumps(list(LEAK_KINDS))
    if wanted.text:
        conditions.append(
            "(event.source like :text escape '!' or event.incident like :text escape '!'"
            " or event.address like :text escape '!' or event.id like :begin escape '!')"
        )
        escaped = re.sub(r"([!%_])", r"!\1", wanted.text)
        values |= {"text": f"%{escaped}%", "begin": f"{escaped}%"}
    return conditions, values


@dataclass(frozen=True, slots=True)
class EventFigures:
    """What one event adds to its incident: new people with their bounds, None if nobody was described; and its clients."""

    new: int | None
    low: int
    high: int
    clients: frozenset[str]

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Self:
        """The figures in the facts of an event; those of another organisation's breach and of previews do not count."""
        clients = frozenset(str(hit["client"]) for hit in facts.get("clients", ()))
        elsewhere = facts.get("origin", {}).get("answer") == "another's" or facts.get("early")
        if "interval" not in facts or elsewhere:
            return cls(None, 0, 0, clients)
        low, high = facts["interval"]
        return cls(best_estimate(facts), low, high, clients)


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """What is open of one incident, or, with the id '', of all events without one.

    Attributes:
        id: of the incident. worst: the gravest severity that is open. events: how many are open, by triage state.
        first, last: times of its first and its last open event.
        gravest: of the open events with that severity, the one with most new people.
        owners: who works on its events.
        new: people not seen before in all open events together: best estimate and bounds; None if nobody was described.
            Each post was compared with all that was known before it, so that the numbers add up.
        clients: ids of the clients that were hit.
        partial: there are more open events than were read, so that these numbers are the least.
    """

    id: str
    worst: Severity
    events: Mapping[str, int]
    first: datetime
    last: datetime
    gravest: Listed
    owners: tuple[str, ...]
    new: tuple[int, int, int] | None
    clients: frozenset[str]
    partial: bool


def open_incidents(store: Store, now: datetime, known: dict[str, EventFigures] | None = None) -> list[OpenIncident]:
    """The incidents with open events about leaks that are critical or warnings: gravest first, then the latest.

    Args:
        store: of the home.
        now: aware UTC.
        known: figures of events that were read before, which are not read again; added to.
    """
    known = {} if known is None else known
    values: dict[str, Any] = {"now": stamp(now), "kinds": json.dumps(list(LEAK_KINDS))}
    grave = "severity in ('critical', 'warning') and kind in (select value from json_each(:kinds))"
    rows = store.database.named_rows(
        f"with open (id, state, owner) as ({_OPEN.format(grave=f' and {grave}')})"  # noqa: S608 - constants
        " select event.id, incident, severity, open.state as state, owner, at from open join event on event.id = open.id"
        f" where {grave} order by at desc",
        values,
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["incident"], []).append(row)
    incidents = [made for each, parts in found.items() if (made := _incident(store, each, parts, known, now))]
    return sorted(incidents, key=lambda each: (-each.worst.rank, -each.last.timestamp()))


def first_alerts(store: Store) -> dict[str, datetime]:
    """Incident -> its first critical event or warning about a leak, closed ones among them, but no false alarm and no test."""
    rows = store.database.rows(
        "select incident, min(event.at) as at from event left join triage on triage.event = event.id"
        " where incident <> '' and severity in ('critical', 'warning') and kind in (select value from json_each(?))"
        " and coalesce(triage.state <> 'closed' or triage.reason not in (?, ?), true) group by incident",
        json.dumps(list(LEAK_KINDS)),
        ClosingReason.FALSE_ALARM.value,
        ClosingReason.TEST.value,
    )
    return {row["incident"]: datetime.fromisoformat(row["at"]) for row in rows}


def _incident(
    store: Store, incident: str, parts: Sequence[Mapping[str, Any]], known: dict[str, EventFigures], now: datetime
) -> OpenIncident | None:
    read = [row["id"] for row in parts[:_READ]]
    missing = json.dumps([each for each in read if each not in known])
    for row in store.database.rows("select id, facts from event where id in (select value from json_each(?))", missing):
        known[row["id"]] = EventFigures.of_facts(json.loads(row["facts"]))
    figures = {each: known[each] for each in read if each in known}
    worst = max((Severity(row["severity"]) for row in parts), key=lambda each: each.rank)
    grave = [row["id"] for row in parts[:_READ] if row["severity"] == worst and row["id"] in figures]
    if not grave:
        return None
    gravest = max(grave, key=lambda each: (figures[each].new or 0, len(figures[each].clients)))
    event = store.events.find(gravest)
    if event is None:
        return None
    people = [each for each in figures.values() if each.new is not None]
    states = Counter(str(row["state"]) for row in parts)
    triage = store.triage.of([gravest], now).get(gravest, EventTriage())
    seen = datetime.fromisoformat(event[1]["last_seen"])
    return OpenIncident(
        incident,
        worst,
        states,
        datetime.fromisoformat(parts[-1]["at"]),
        datetime.fromisoformat(parts[0]["at"]),
        Listed(event[0], triage, event[1]["sightings"], seen),
        tuple(sorted({str(row["owner"]) for row in parts if row["owner"]})),
        (sum(each.new or 0 for each in people), sum(each.low for each in people), sum(each.high for each in people))
        if people
        else None,
        frozenset().union(*(each.clients for each in figures.values())),
        len(parts) > _READ,
    )
