"""The page for three in the morning: whether somebody is looking, and what is open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from crawler.alerts.phrases.catalogue import phrases_in
from data.plural import counted
from data.store.selftests import SELFTEST_EVERY
from scheduler.console.console import KEPT_SECONDS, Console
from scheduler.console.pages import Asked, WebPage
from scheduler.reports.clocks import aware_of_incidents
from scheduler.reports.open_events import Filter, OpenIncident, first_alerts, list_events, open_incidents

LATEST = 8
# The first alerts of incidents change only when a new incident begins, or one was a false alarm.
FIRST_SECONDS = 30.0
COLUMNS = (
    "incident", "severity", "new_people", "new_low", "new_high", "clients_hit", "verdict", "certainty", "source",
    "first_seen", "hours_left", "owner", "open_events",
)  # fmt: skip


def show(asked: Asked) -> WebPage:
    """The page `Now`."""
    console, now = asked.console, asked.now
    status = console.status()
    incidents = open_ones(console)
    names = console.names()
    shown = [incident_json(each, asked) for each in incidents]
    watching = list_events(asked.store, Filter(about="watching", severity="critical"), now, limit=LATEST)
    watching += list_events(asked.store, Filter(about="watching", severity="warning"), now, limit=LATEST)
    data = {
        "looking": looking(status, now),
        "incidents": shown,
        "watching": [each.to_json(names.clients) for each in watching[:LATEST]],
        "problems": status["problems"],
    }
    return WebPage("now.html", "Now", data, COLUMNS, [[each[name] for name in COLUMNS] for each in shown])


def open_ones(console: Console) -> list[OpenIncident]:
    """The open incidents; what was read of an event is not read again."""
    return console.kept(
        "incidents open", KEPT_SECONDS, lambda: open_incidents(console.reading(), datetime.now(UTC), console.figures)
    )


def aware(asked: Asked) -> dict[str, datetime]:
    """Incident -> since when the controller is aware, where a person has entered that."""
    console = asked.console
    found = console.kept("aware", KEPT_SECONDS, lambda: aware_of_incidents(console.reading()))
    return {incident: entered.at for incident, entered in found.items()}


def looking(status: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Whether the sources are watched: a word, a sentence, and the figures that it rests on.

    `state` is `looking`, `gaps` (some source is not seen, or some alert not delivered) or `blind` (a person must act now).
    """
    sources = [each for each in status["sources"] if each["state"] != "disabled"]
    silent = [each for each in sources if each["state"] == "failing" or each["last_success"] is None]
    seen = [each for each in sources if each["last_success"] is not None]
    oldest = min(seen, key=lambda each: each["last_success"], default=None)
    outbox, beat = status["outbox"], status["heartbeat_age_seconds"]
    reasons = []
    if not sources:
        reasons.append("no source is enabled")
    elif len(silent) == len(sources):
        reasons.append("no source can be read")
    if status["daemon"] != "running":
        reasons.append("no daemon runs" if beat is not None else "the daemon was never started")
    if status["selftest"] == "failed":
        reasons.append("the self-test failed: client data may not be recognised")
    state = "blind" if reasons else "gaps" if silent or status["problems"] else "looking"
    if not reasons:
        reasons = [f"{counted(len(silent), 'source')} of {len(sources):,} not read"] if silent else []
        if others := len(status["problems"]):
            reasons.append(counted(others, "problem"))
    return {
        "state": state,
        "reasons": reasons,
        "sources": len(sources),
        "silent": len(silent),
        "oldest_success": oldest
        and {"source": oldest["name"], "at": oldest["last_success"], "age_seconds": oldest["age_seconds"]},
        "waiting": outbox["depth"],
        "held": outbox["held"],
        "refused": outbox["refused"],
        "selftest": status["selftest"],
        "selftest_age_seconds": status["selftest_age_seconds"],
        "selftest_every_seconds": SELFTEST_EVERY.total_seconds(),
        "daemon": status["daemon"],
        "heartbeat_age_seconds": beat,
        "at": now,
    }


def incident_json(incident: OpenIncident, asked: Asked) -> dict[str, Any]:
    """One open incident, as the page and its twins show it."""
    names = asked.console.names()
    since, (term, seconds) = aware(asked).get(incident.id), asked.console.given.term
    # a term does not begin anew because the first alert was closed
    first = asked.console.kept("first alerts", FIRST_SECONDS, lambda: first_alerts(asked.console.reading()))
    due = (since or min(incident.first, first.get(incident.id, incident.first))) + timedelta(seconds=seconds)
    event = incident.gravest.event
    facts = event.facts
    new, low, high = incident.new or (None, None, None)
    return {
        "id": incident.id,
        "incident": names.incidents.get(incident.id, incident.id) or "no incident",
        "severity": incident.worst.value,
        "headline": incident.gravest.to_json(names.clients)["headline"],
        "event": event.id,
        "new_people": new,
        "new_low": low,
        "new_high": high,
        "clients_hit": len(incident.clients),
        "clients": max(len(names.clients), len(incident.clients)),
        "at_least": incident.partial,
        "verdict": facts.get("verdict", ""),
        "verdict_text": phrases_in("en").get(f"verdict.{facts.get('verdict', '')}", ""),
        "certainty": facts.get("confidence") or None,
        "source": event.source,
        "first_seen": incident.first.isoformat(timespec="seconds"),
        "last_seen": incident.last.isoformat(timespec="seconds"),
        "hours_left": round((due - asked.now).total_seconds() / 3600, 1) if term else None,
        "term": term,
        "counted_since": "aware" if since else "first alert",
        "owner": ", ".join(incident.owners),
        "open_events": sum(incident.events.values()),
        "by_state": dict(incident.events),
    }
