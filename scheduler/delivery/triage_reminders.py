"""The state "critical alerts are not acknowledged": one reminder for all of them, escalated, and ended by itself."""

from __future__ import annotations

from datetime import datetime

from crawler.alerts.events import build_event
from data.model import EventKind, Severity
from data.settings.settings import Settings
from data.store.store import Store
from data.store.triage import Unacknowledged
from scheduler.delivery.lasting_states import recovery_event
from scheduler.delivery.routing import route_by

SUBJECT = "unacknowledged alerts"


def remind_of_unacknowledged(settings: Settings, store: Store, now: datetime) -> bool:
    """Begin, renew or end the state that critical alerts stay unacknowledged; True if that made an event.

    However many alerts there are, there is one event when the oldest is `triage.remind_after` old, one more after each
    `triage.remind_every` and one when the oldest is `triage.escalate_after` old, and one when none is left.
    """
    route, limits = route_by(settings), settings.triage
    found = store.triage.unacknowledged(now - limits.remind_after, now) if limits.remind_after else None
    if found is None:
        return store.states.end("", EventKind.UNACKNOWLEDGED, SUBJECT, recovery_event, route, now)
    lasting = next((each for each in store.states.lasting("") if each.kind is EventKind.UNACKNOWLEDGED), None)
    escalated = now - found.since >= limits.escalate_after
    event = build_event(
        EventKind.UNACKNOWLEDGED,
        now,
        found.oldest,
        now.isoformat(),
        severity=Severity.CRITICAL if escalated else None,
        facts=_facts(found, escalated=escalated),
    )
    if lasting is None:
        return store.states.begin(event, SUBJECT, route, now)
    last, _ = store.events.find(lasting.event) or (None, None)
    first_escalation = escalated and (last is None or not last.facts.get("escalated"))
    if not first_escalation and now - lasting.notified < limits.remind_every:
        return False
    store.states.renew(event, SUBJECT, route, now)
    return True


def _facts(found: Unacknowledged, *, escalated: bool) -> dict[str, object]:
    return {
        "subject": SUBJECT,
        "events": found.events,
        "oldest": found.oldest,
        "began": found.since.isoformat(timespec="seconds"),
        "escalated": escalated,
    }
