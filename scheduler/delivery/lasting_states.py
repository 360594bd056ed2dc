"""Whether Tor is there, as a lasting state of the installation: told when it goes, reminded of, told when it is back."""

from __future__ import annotations

from datetime import datetime, timedelta

from crawler.alerts.events import make
from data.model import EventKind
from data.store.store import Route, Store
from scheduler.delivery.delivery import recovered

SUBJECT = "tor"
LOOK_EVERY = timedelta(seconds=10)


def tell_tor(store: Store, route: Route, reason: str, now: datetime, *, hint: str = "") -> int:
    """Begin the state with a reason, end it without one; returns how many events that made.

    Args:
        store: of the home.
        route: channels of an event.
        reason: why Tor is not there, one sentence; '' where it is.
        now: aware UTC.
        hint: what to do.
    """
    if not reason:
        return int(store.close_state("", EventKind.TOR_DOWN, SUBJECT, recovered, route, now))
    said = f"{reason} ({hint})" if hint else reason
    event = make(EventKind.TOR_DOWN, now, SUBJECT, now.isoformat(), facts={"subject": SUBJECT, "reason": said})
    return int(store.open_state(event, SUBJECT, route, now))
