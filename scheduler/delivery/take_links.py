"""One-time links in messages by which whoever reads one takes the alert on: made for a channel, used in the console.

A link opens a page; only the form on it decides, because chats look at addresses that are posted. Digests of the secrets alone
are stored. Once one link of an event is used, the others of it are too.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from data.errors import InputError
from data.model import Event, EventKind, TriageState
from data.store.database import stamp
from data.store.store import Store
from data.store.triage import Decision
from scheduler.delivery.decisions import checked_owner, decide

LASTS = timedelta(hours=24)
PATH = "/take"
# What nobody can take on: it tells that something is over, or that all is well.
_NEVER = frozenset({EventKind.RECOVERED, EventKind.HEARTBEAT})


@dataclass(frozen=True, slots=True)
class TakeLink:
    """What a link is for: an event, and the channel in which it was sent."""

    event: str
    channel: str


def make_link(store: Store, console: str, event: Event, channel: str, now: datetime) -> str:
    """A new link for a message; `""` if nobody can take the event on, or somebody has.

    Args:
        store: of the home.
        console: address of the console.
        event: of the message; it must be stored.
        channel: name of the channel that gets the message.
        now: aware UTC.
    """
    if event.kind in _NEVER or event.facts.get("trial") or not is_open(store, event.id, now):
        return ""
    secret = secrets.token_urlsafe(32)
    with store.together():
        store.database.execute("delete from take_link where expires < ?", (stamp(now),))
        store.database.insert(
            "take_link",
            {"digest": _digest(secret), "event": event.id, "channel": channel, "expires": stamp(now + LASTS)},
        )
    return f"{console.rstrip('/')}{PATH}?link={secret}"


def link_of(store: Store, secret: str, now: datetime) -> TakeLink | None:
    """What a link is for; None if it is unknown, used or older than `LASTS`. Only reads."""
    row = store.database.first_row(
        "select event, channel from take_link where digest = ? and used is null and expires > ?",
        _digest(secret),
        stamp(now),
    )
    return None if row is None else TakeLink(row["event"], row["channel"])


def take(store: Store, secret: str, name: str, now: datetime) -> TakeLink:
    """Acknowledge the event of a link for the person who used it; the audit chain says that a link was all that was shown.

    Raises:
        InputError: the link or the name is not valid, or somebody has taken the event on already.
    """
    who = checked_owner(name)
    with store.together():
        found = link_of(store, secret, now)
        if found is None:
            raise InputError(
                "this link was used, or is older than a day", hint="sign in, or run: tocsin alert ack ID --note TEXT"
            )
        if not is_open(store, found.event, now):
            raise InputError("somebody has taken this alert on already", hint="sign in to see who")
        decide(store, [found.event], Decision(TriageState.ACKNOWLEDGED, who), f"{who} (a link in {found.channel})", now)
        store.database.execute("update take_link set used = ? where event = ?", (stamp(now), found.event))
    return found


def is_open(store: Store, event: str, now: datetime) -> bool:
    """Whether nobody has taken an event on, put it aside or closed it."""
    states = store.triage.of([event], now)
    return event not in states or states[event].state is TriageState.NEW


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
