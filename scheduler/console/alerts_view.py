"""The alerts: the list with its filters, one event with all that is known of it, and the decisions about events."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool

from crawler.alerts.advice import show_command
from crawler.alerts.hit_totals import HitTotals
from crawler.alerts.wording import message_of
from data.errors import InputError
from data.model import ClosingReason, EventKind, Severity, TriageState
from data.store.triage import Decision, EventTriage
from scheduler.console.access import Person
from scheduler.console.addresses import address, local_address
from scheduler.console.console import Console
from scheduler.console.pages import Asked, NoSuchPage, WebPage
from scheduler.delivery.decisions import checked_note, checked_owner, decide, snooze_end
from scheduler.reports.open_events import Filter, list_events

PAGE, MAX_PAGE = 50, 10_000
SPANS = ("1h", "4h", "12h", "1d", "3d", "7d")
REASONS = tuple(each.value for each in ClosingReason)
STATES = ("open", *(each.value for each in TriageState), "all")
# Clients of an event that its page lists; its CSV twin has all.
LISTED = 25
COLUMNS = (
    "id", "at", "severity", "kind", "headline", "source", "incident", "state", "owner", "clients", "records",
    "new_people", "verdict", "sightings", "last_seen", "address",
)  # fmt: skip
CLIENT_COLUMNS = ("client", "name", "records", "canaries")
DONE = {
    "ack": "acknowledged", "assign": "assigned", "snooze": "snoozed", "close": "closed", "reopen": "new again",
}  # fmt: skip


def show(asked: Asked) -> WebPage:
    """The list."""
    wanted = _filter(asked)
    page = asked.number("page", 1, MAX_PAGE)
    found = list_events(asked.store, wanted, asked.now, limit=PAGE + 1, offset=(page - 1) * PAGE)
    names = asked.console.names()
    events = [each.to_json(names.clients) for each in found[:PAGE]]
    data = {
        "events": events,
        "page_number": page,
        "more_pages": len(found) > PAGE,
    }
    more = {
        "state": asked.choice("state", STATES, "open"),
        "states": STATES,
        "severities": [each.value for each in Severity],
        "kinds": [each.value for each in EventKind],
        "incidents": names.incidents,
        "spans": SPANS,
        "reasons": REASONS,
        "said": _said(asked),
        "filtered": wanted != Filter(state=wanted.state),
    }
    return WebPage("alerts.html", "Alerts", data, COLUMNS, [[each[name] for name in COLUMNS] for each in events], more)


def _filter(asked: Asked) -> Filter:
    incident = asked.query.get("incident", "")
    state = asked.choice("state", STATES, "open")
    return Filter(
        state="" if state == "all" else state,
        severity=asked.choice("severity", [each.value for each in Severity]),
        kind=asked.choice("kind", [each.value for each in EventKind]),
        source=asked.query.get("source", ""),
        incident=None if not incident else "" if incident == "-" else incident,
        about=asked.choice("about", ("leaks", "watching")),
        text=asked.query.get("q", "").strip(),
    )


def _said(asked: Asked) -> str:
    done, number = asked.query.get("done", ""), asked.query.get("n", "")
    if done not in DONE or not number.isdecimal():
        return ""
    return f"{int(number[:9]):,} {'event is' if number == '1' else 'events are'} {DONE[done]}"


def show_one(asked: Asked) -> WebPage:
    """One event."""
    event_id = asked.path["event"]
    found = asked.store.events.find(event_id) if len(event_id) >= 8 else None
    if found is None:
        raise NoSuchPage("there is no event with that id")
    event, more = found
    names = asked.console.names()
    triage = asked.store.triage.of([event.id], asked.now).get(event.id, EventTriage())
    message = message_of(event, clients=names.clients, incident=names.incidents.get(event.incident, ""))
    hits = HitTotals.of_facts(event.facts, names.clients).hits
    clients = [
        {
            "client": hit["client"],
            "name": names.clients.get(hit["client"], ""),
            "records": hit["records"],
            "canaries": hit["canaries"],
        }
        for hit in hits
    ]
    data: dict[str, Any] = {
        "id": event.id,
        "kind": event.kind.value,
        "severity": event.severity.value,
        "at": event.at.isoformat(timespec="seconds"),
        "headline": message.title,
        "source": event.source,
        "incident": event.incident,
        "fields": [{"label": field.label, "lines": list(field.lines), "more": field.more} for field in message.fields],
        "advice": message.advice,
        "command": show_command(event),
        "clients": clients,
        "triage": triage.to_json(),
        "history": asked.store.audit.about(event.id),
        "deliveries": asked.store.outbox.alerts(event=event.id, now=asked.now),
        "sightings": more["sightings"],
        "last_seen": more["last_seen"],
    }
    shown = {"listed": LISTED, "spans": SPANS, "reasons": REASONS, "said": _said(asked)}
    rows = [[each[name] for name in CLIENT_COLUMNS] for each in clients]
    return WebPage("alert.html", message.title, data, CLIENT_COLUMNS, rows, shown)


async def decide_about(
    console: Console, person: Person, fields: Sequence[tuple[str, str]], path: Mapping[str, str]
) -> str:
    """What the form of the list and of one event sends; the address to return to says what was done."""
    del path
    given = dict(fields)
    events = [value for name, value in fields if name == "event"]
    decision, what = _decision(given, person)
    number = await run_in_threadpool(_record, console, events, decision, person.name)
    back = local_address(given.get("back", ""), "/alerts")
    return address(back.partition("?")[0], dict(_pairs(back)), done=what, n=number)


def _pairs(back: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(back.partition("?")[2])


def _decision(given: Mapping[str, str], person: Person) -> tuple[Decision, str]:
    note, what = checked_note(given.get("note", "")), given.get("do", "")
    if what == "ack":
        return Decision(TriageState.ACKNOWLEDGED, checked_owner(given.get("owner", "") or person.name), note=note), what
    if what == "assign":
        return Decision(None, checked_owner(given.get("owner", "")), note=note), what
    if what == "snooze":
        until = snooze_end(given.get("until", ""), datetime.now(UTC))
        return Decision(TriageState.SNOOZED, until=until, note=note), what
    if what == "close" and given.get("reason") in REASONS:
        return Decision(TriageState.CLOSED, reason=given["reason"], note=note), what
    if what == "reopen":
        return Decision(TriageState.NEW, "", note=note), what
    raise InputError("that is no decision", hint="acknowledge, assign, snooze, close with a reason, or reopen")


def _record(console: Console, events: Sequence[str], decision: Decision, who: str) -> int:
    with contextlib.closing(console.writing()) as store:
        ids = [found[0].id for each in events if len(each) >= 8 and (found := store.events.find(each)) is not None]
        if len(ids) != len(events) or not ids:
            raise InputError("no event was chosen, or one of them is gone", hint="choose events in the list")
        return decide(store, ids, decision, who, datetime.now(UTC))[0]
