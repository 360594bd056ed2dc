"""The page to which a one-time link in a message leads: what the alert is, and a form that takes it on. Nobody need be signed in."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from scheduler.console.console import Console
from scheduler.console.pages import WebPage
from scheduler.delivery.take_links import is_open, link_of, take


def ask(console: Console, secret: str, now: datetime) -> WebPage:
    """The page with the form; nothing is decided by looking at it. It says no more than the message said."""
    found = link_of(console.reading(), secret, now)
    if found is None:
        return _page(403, state="invalid")
    known = console.reading().events.find(found.event)
    if known is None:
        return _page(403, state="invalid")
    event, _ = known
    if not is_open(console.reading(), event.id, now):
        return _page(200, state="held", event=event.id)
    return _page(
        200,
        state="asked",
        link=secret,
        event=event.id,
        kind=event.kind.value,
        severity=event.severity.value,
        at=event.at,
    )


def decide_by_link(console: Console, secret: str, name: str, now: datetime) -> WebPage:
    """Take the alert on; raises InputError, with the reason, if that cannot be."""
    with contextlib.closing(console.writing()) as store:
        found = take(store, secret, name, now)
    return _page(200, state="taken", event=found.event, name=name)


def _page(status: int, **data: Any) -> WebPage:
    return WebPage("take.html", "Take an alert on", data, status=status)
