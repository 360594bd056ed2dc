"""What becomes of alerts and states whose channel is no longer in the settings."""

from __future__ import annotations

from datetime import datetime

from data.model import EventKind
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.delivery.lasting_states import recovery_event
from scheduler.delivery.routing import route_around, route_by


def reroute(settings: Settings, store: Store, now: datetime) -> None:
    """Let alerts that wait for no channel, or for one that is no longer declared, go where events go now.

    What a digest for such a channel was to tell goes there one by one. What continues an event goes where that one would
    go. An event that now goes nowhere keeps its alert, which is then refused and so stays visible.
    """
    if not settings.channels:
        return
    route = route_by(settings)
    store.outbox.take_apart(settings.channels, now)
    for event in store.outbox.undeliverable(settings.channels):
        first = store.events.get(event.thread) if event.thread else None
        if channels := route(event) or (route(first) if first is not None else ()):
            store.outbox.send_elsewhere(event.id, channels, settings.channels, now)
    gone = [
        state
        for state in store.states.lasting("")
        if state.kind is EventKind.DELIVERY_FAILED and state.subject not in settings.channels
    ]
    waiting = store.outbox.open_channels() if gone else set()
    for state in gone:
        if state.subject not in waiting:
            # a channel that does not exist, and that nothing waits for, can fail no longer
            store.states.end("", state.kind, state.subject, recovery_event, route_around(settings, state.subject), now)
