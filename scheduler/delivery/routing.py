"""Routing: which channels an event is sent to."""

from __future__ import annotations

from collections.abc import Sequence

from data.model import Event
from data.settings.settings import Settings
from data.store.events import Route
from data.store.outbox import NO_CHANNEL


def route_by(settings: Settings) -> Route:
    """Routing by the settings; without routes, events of severity warning and above go to every channel.

    While no channel is declared, these events wait in the outbox for the first one (`NO_CHANNEL`).
    """

    def route(event: Event) -> Sequence[str]:
        if not settings.routes:
            return (tuple(settings.channels) or (NO_CHANNEL,)) if event.severity.rank >= 2 else ()
        return tuple(
            dict.fromkeys(
                name
                for each in settings.routes
                if event.severity.rank >= each.min_severity.rank
                and (not each.kinds or event.kind.value in each.kinds)
                and (not each.sources or event.source in each.sources)
                for name in each.channels
            )
        )

    return route


def route_around(settings: Settings, channel: str) -> Route:
    """Routing to all channels but one, for events about that channel."""
    route = route_by(settings)
    return lambda event: tuple(name for name in route(event) if name != channel)
