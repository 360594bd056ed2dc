"""Storms: when more alerts wait for a channel than people can read, the most severe go out and a digest tells the rest.

Nothing is dropped: each event stays listed, and a grouped alert counts as sent only when its digest is. Receivers that are
programs get every alert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from crawler.alerts.events import build_event
from data.model import EventKind, Severity
from data.settings.settings import Channel
from data.store.outbox import STORM, Waiting
from data.store.store import Store

MACHINES = frozenset({"alertmanager", "generic", "syslog"})
"""Kinds of channels that are read by programs."""
WINDOW = timedelta(minutes=10)
"""`Channel.burst` counts the messages of this time."""
DIGEST_EVERY = timedelta(minutes=5)
# The most severe alerts of a storm that are still messages of their own.
SINGLE = 3
# Entries of each list in the facts of a digest, and events whose first lines it tells.
MAX_LISTED, MAX_EVENTS_SHOWN = 20, 5


def calm(store: Store, name: str, channel: Channel, now: datetime, *, at_once: bool) -> None:
    """If too many alerts are due for a channel, group them into a digest or let them wait for the next one.

    Args:
        store: of the home.
        name: of the channel.
        channel: its settings.
        now: aware UTC.
        at_once: make a digest even if the last one was made a moment ago: nobody will be there later.
    """
    if channel.burst == 0 or channel.kind in MACHINES:
        return
    waiting = store.outbox.waiting(name, now)
    if not waiting:
        return
    sent = store.outbox.sent_since(name, now - WINDOW)
    last = max((at for kind, at in sent if kind == EventKind.DIGEST), default=None)
    if last is None and len(sent) + len(waiting) <= channel.burst:
        return
    # in a storm, only a critical alert of a kind and an incident of which no critical one was told is one of its own
    told, single = store.outbox.told_since(name, now - WINDOW), 0
    grouped: list[Waiting] = []
    for each in sorted(waiting, key=lambda each: -each.severity.rank):
        key = (each.kind, each.incident)
        if single < SINGLE and key not in told and (each.severity is Severity.CRITICAL or not sent):
            told.add(key)
            single += 1
        else:
            grouped.append(each)
    if last is not None and now < last + DIGEST_EVERY and not at_once:
        store.outbox.hold([each.alert for each in grouped], last + DIGEST_EVERY, STORM)
    elif len(grouped) > 1:
        _group(store, name, grouped, now)


def _group(store: Store, name: str, grouped: Sequence[Waiting], now: datetime) -> None:
    """Store the digest of alerts of a channel and mark them as grouped, in one transaction."""
    with store.database.transaction():
        digest = build_event(
            EventKind.DIGEST,
            now,
            name,
            *sorted(each.event for each in grouped),
            severity=max((each.severity for each in grouped), key=lambda each: each.rank),
            facts=_facts(store, name, grouped),
        )
        store.events.add([digest], lambda _: (name,), now)
        store.outbox.group([each.alert for each in grouped], digest.id, name, now)


def _facts(store: Store, name: str, grouped: Sequence[Waiting]) -> dict[str, Any]:
    """What the message of a digest needs: numbers by severity, kind, source, incident and client."""
    clients: dict[str, dict[str, Any]] = {}
    sources: Counter[str] = Counter()
    for each in grouped:
        # one by one: each may hold a list of all clients
        event = store.events.get(each.event)
        if event is None:
            continue
        sources[event.source] += 1
        for hit in event.facts.get("clients", ()):
            row = clients.setdefault(hit["client"], {"client": hit["client"], "canaries": 0, "records": 0, "kinds": []})
            # the same records may be in several posts, so the largest number is the least there are
            row["canaries"], row["records"] = max(row["canaries"], hit["canaries"]), max(row["records"], hit["records"])
            row["kinds"] = sorted({*row["kinds"], *hit.get("kinds", ())})
    incidents = Counter(each.incident for each in grouped if each.incident)
    del sources[""]
    facts: dict[str, Any] = {
        "channel": name,
        "events": len(grouped),
        "severities": Counter(each.severity.value for each in grouped),
        "kinds": Counter(each.kind.value for each in grouped),
        "sources": dict(sources.most_common(MAX_LISTED)),
        "incidents": dict(incidents.most_common(MAX_LISTED)),
        # the most severe ones stand first
        "worst": [each.event for each in grouped[:MAX_EVENTS_SHOWN]],
    }
    if clients:
        facts["clients"] = [clients[client] for client in sorted(clients)]
    return facts
