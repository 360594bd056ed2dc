"""Routing: which channels an event is sent to, and until when it waits for one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from data.case.incidents import slug
from data.model import Event
from data.settings.settings import Route as RouteSettings
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
        return tuple(dict.fromkeys(name for each in settings.routes if _takes(each, event) for name in each.channels))

    return route


def _takes(route: RouteSettings, event: Event) -> bool:
    """Whether a route sends an event."""
    if route.escalation and not event.facts.get("escalated"):
        return False
    return (
        event.severity.rank >= route.min_severity.rank
        and (not route.kinds or event.kind.value in route.kinds)
        and (not route.sources or event.source in route.sources)
        and (not route.incidents or event.incident in map(slug, route.incidents))
        and (not route.clients or any(hit["client"] in route.clients for hit in event.facts.get("clients", ())))
    )


def route_around(settings: Settings, channel: str) -> Route:
    """Routing to all channels but one, for events about that channel."""
    route = route_by(settings)
    return lambda event: tuple(name for name in route(event) if name != channel)


def quiet_until(settings: Settings, name: str, now: datetime) -> datetime | None:
    """The end of the quiet hours of a channel, if they are now; otherwise None."""
    channel = settings.channels.get(name)
    if channel is None or channel.quiet_hours is None:
        return None
    return channel.quiet_hours.end_of(now, channel.timezone)
