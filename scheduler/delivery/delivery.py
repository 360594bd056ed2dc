"""Delivery of the alerts in the outbox to their channels, for the daemon and for foreground commands."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import structlog

from crawler.alerts.channels.registry import Outgoing, dialect, masked
from crawler.alerts.events import build_event
from crawler.alerts.wording import message_of
from data.case.incidents import read_incidents
from data.case.watchlist import client_names
from data.errors import ConfigError, DeliveryDeferred, DeliveryRefused, StoreError
from data.model import Alert, Event, EventKind
from data.settings.home import Home
from data.settings.settings import Channel, Settings
from data.store.outbox import Delivery, alert_id
from data.store.store import Store
from scheduler.delivery.lasting_states import recovery_event
from scheduler.delivery.mail import send_mail
from scheduler.delivery.routing import route_around, route_by

if TYPE_CHECKING:
    # loading it takes 5 MB, which a crawl without due alerts saves
    import httpx

log = structlog.get_logger("delivery")

# A response to an alert is a line or two; no more than this is read.
MAX_RESPONSE = 64 * 1024
# Seconds before the second try; the delay doubles with each try, up to the maximum.
FIRST_DELAY, MAX_DELAY = 2.0, 900.0
# A channel that asks for a longer delay is tried again after this one: an alert must not wait for a week.
MAX_RETRY_AFTER = 3600.0
FOREGROUND_DEADLINE = 30.0
# Seconds after which one run begins no further delivery to a channel.
RUN_SECONDS = 30.0
# 408 and 425 ask for the same request again, 429 asks for it later; so do all statuses from 500 on.
_RETRY_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class DisplayNames:
    """The names that messages show in place of ids: of clients and incidents, by id."""

    clients: Mapping[str, str]
    incidents: Mapping[str, str]

    @classmethod
    def of_home(cls, home: Home) -> DisplayNames:
        """The names that a home has; without those whose file is damaged, because alerts about the damage must go out."""
        try:
            incidents = {incident.id: incident.name for incident in read_incidents(home.path)}
        except ConfigError:
            incidents = {}
        try:
            clients = client_names(home.watchlist_dir)
        except (ConfigError, StoreError):
            clients = {}
        return cls(clients, incidents)


NO_NAMES = DisplayNames({}, {})


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """How many alerts their channels accepted, deferred and refused."""

    sent: int = 0
    deferred: int = 0
    refused: int = 0

    def __add__(self, other: DeliveryCounts) -> DeliveryCounts:
        """The sums of the counts."""
        return DeliveryCounts(self.sent + other.sent, self.deferred + other.deferred, self.refused + other.refused)


def http_client() -> httpx.AsyncClient:
    """A client that ignores proxy variables of the environment and follows no redirects."""
    import httpx

    return httpx.AsyncClient(trust_env=False, follow_redirects=False)


async def send(client: httpx.AsyncClient, channel: Channel, outgoing: Outgoing) -> int:
    """Send one alert; returns the status of the channel's response.

    Raises:
        DeliveryDeferred: there was no response in time, or one that asks for a later try; `retry_after` may say when.
        DeliveryRefused: the channel would give the same response to the same request again.
    """
    if outgoing.method == "SMTP":
        return await send_mail(channel, outgoing)
    import httpx

    shown = masked(outgoing.url)
    try:
        async with asyncio.timeout(channel.timeout.total_seconds()):
            async with client.stream(
                outgoing.method, outgoing.url, headers=dict(outgoing.headers), content=outgoing.body, timeout=None
            ) as response:
                status, body = response.status_code, b""
                if 200 <= status < 300:
                    # the status alone says that the alert was accepted; a body may never end
                    return status
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_RESPONSE:
                        break
    except TimeoutError as error:
        raise DeliveryDeferred(f"{shown} did not respond within {channel.timeout.total_seconds():g} s") from error
    except httpx.InvalidURL as error:
        raise DeliveryRefused(f"{shown} is not a valid address", hint="correct the channel's url") from error
    except httpx.HTTPError as error:
        raise DeliveryDeferred(f"{shown} cannot be reached ({type(error).__name__})") from error
    if status in _RETRY_STATUSES or status >= 500:
        wait = _retry_after(response.headers.get("retry-after", ""))
        wait = dialect(channel).retry_after(body) if wait is None else wait
        raise DeliveryDeferred(f"{shown} responded with {status}", status=status, retry_after=wait)
    if 300 <= status < 400:
        raise DeliveryRefused(
            f"{shown} redirects ({status}); redirects are not followed",
            status=status,
            hint="configure the final address",
        )
    raise DeliveryRefused(f"{shown} responded with {status}", status=status, hint="check the address and the token")


def _retry_after(header: str) -> float | None:
    if not header:
        return None
    try:
        if header.isdecimal():
            return float(header)
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError, OSError):
        # the receiver wrote it: years without end, impossible offsets
        return None


def _retry_delay(attempts: int, retry_after: float | None) -> timedelta:
    """The time until the next try: what the channel asked for, or else doubled with each try; both with some jitter."""
    jitter = random.uniform(1.0, 1.25)  # noqa: S311 - spreads retries, protects nothing
    if retry_after is not None and math.isfinite(retry_after) and retry_after >= 0:
        return timedelta(seconds=min(retry_after, MAX_RETRY_AFTER) + jitter - 1.0)
    return timedelta(seconds=min(FIRST_DELAY * 2 ** min(attempts, 10), MAX_DELAY) * jitter)


def _head_of(store: Store) -> str:
    """The head of the chains as text; '' if the evidence cannot be read, because an alert must not wait for that."""
    try:
        return str(store.head())
    except StoreError as error:
        log.error("an alert goes out without the head of the chains", error=str(error))
        return ""


def _compose(settings: Settings, alert: Alert, names: DisplayNames, *, head: str = "") -> Outgoing:
    """The request that brings an alert to its channel, with the head of the chains, if there is one."""
    channel = settings.channels[alert.channel]
    message = message_of(
        alert.event,
        clients=names.clients,
        case=settings.case,
        link=settings.link,
        incident=names.incidents.get(alert.event.incident, ""),
        head=head,
    )
    return dialect(channel).compose(channel, alert.id, message, int(time.time()))


async def _deliver_one(
    client: httpx.AsyncClient, settings: Settings, store: Store, delivery: Delivery, names: DisplayNames
) -> DeliveryCounts:
    alert, channel = delivery.alert, settings.channels.get(delivery.alert.channel)
    try:
        if channel is None:
            raise DeliveryRefused(f"the channel '{alert.channel}' is no longer in the settings")
        status = await send(client, channel, _compose(settings, alert, names, head=_head_of(store)))
    except DeliveryDeferred as error:
        now = datetime.now(UTC)
        next_try = now + _retry_delay(delivery.attempts, error.retry_after)
        store.outbox.mark_deferred(alert.id, error.status, str(error), next_try, now)
        store.outbox.postpone(alert.channel, next_try)
        _update_channel_state(settings, store, alert, str(error), now, failing=delivery.attempts >= 2)
        return DeliveryCounts(deferred=1)
    except (DeliveryRefused, ConfigError) as error:
        now = datetime.now(UTC)
        store.outbox.mark_refused(alert.id, getattr(error, "status", 0), str(error), now)
        _update_channel_state(settings, store, alert, str(error), now, failing=True)
        return DeliveryCounts(refused=1)
    except Exception as error:  # noqa: BLE001 - what a receiver answers may make a library raise anything
        now, reason = datetime.now(UTC), f"sending to the channel failed with {type(error).__name__}"
        next_try = now + _retry_delay(delivery.attempts, None)
        store.outbox.mark_deferred(alert.id, 0, reason, next_try, now)
        store.outbox.postpone(alert.channel, next_try)
        _update_channel_state(settings, store, alert, reason, now, failing=delivery.attempts >= 2)
        return DeliveryCounts(deferred=1)
    now = datetime.now(UTC)
    store.outbox.mark_sent(alert.id, status, now)
    _update_channel_state(settings, store, alert, "", now, failing=False)
    return DeliveryCounts(sent=1)


def _update_channel_state(
    settings: Settings, store: Store, alert: Alert, reason: str, now: datetime, *, failing: bool
) -> None:
    """Begin or end the state that a channel does not accept alerts; only the other channels are notified of it."""
    name = alert.channel
    others = route_around(settings, name)
    if failing:
        event = build_event(
            EventKind.DELIVERY_FAILED, now, name, now.isoformat(), facts={"channel": name, "reason": reason}
        )
        store.states.begin(event, name, others, now)
    elif not reason:
        store.states.end("", EventKind.DELIVERY_FAILED, name, recovery_event, others, now)


def _reroute(settings: Settings, store: Store) -> None:
    """Let alerts that wait for no channel, or for one that is no longer declared, go where events go now.

    An event that now goes nowhere keeps its alert, which is then refused and so stays visible.
    """
    if not settings.channels:
        return
    route, now = route_by(settings), datetime.now(UTC)
    for event in store.outbox.undeliverable(settings.channels):
        if channels := route(event):
            store.outbox.send_elsewhere(event.id, channels, settings.channels, now)


async def deliver_due(
    settings: Settings, store: Store, names: DisplayNames | Callable[[], DisplayNames] = NO_NAMES
) -> DeliveryCounts:
    """Send every alert that is due: those of one channel one after another, those of different channels concurrently.

    After a `kill -9` between the channel's response and the note of it in the outbox, the alert is sent again with the
    same idempotency key.
    """
    _reroute(settings, store)
    due = store.outbox.due(datetime.now(UTC))
    if not due:
        return DeliveryCounts()
    shown = names if isinstance(names, DisplayNames) else names()
    per_channel: dict[str, list[Delivery]] = {}
    for delivery in due:
        per_channel.setdefault(delivery.alert.channel, []).append(delivery)

    async def deliver_to_channel(client: httpx.AsyncClient, deliveries: list[Delivery]) -> DeliveryCounts:
        total, began = DeliveryCounts(), time.monotonic()
        for delivery in deliveries:
            if time.monotonic() - began > RUN_SECONDS:
                # a slow channel must not delay new alerts of the others; the next run continues here
                break
            outcome = await _deliver_one(client, settings, store, delivery, shown)
            total += outcome
            if outcome.deferred:
                # the channel is down or busy, so its other alerts would be deferred as well: they wait with this one
                break
        return total

    async with http_client() as client:
        outcomes = await asyncio.gather(*(deliver_to_channel(client, each) for each in per_channel.values()))
    return sum(outcomes, DeliveryCounts())


async def send_at_once(settings: Settings, event: Event, names: DisplayNames = NO_NAMES) -> Sequence[str]:
    """Send an event that cannot be stored straight to its channels; returns the channels that accepted it.

    The alert has the id that the outbox would give it. Nothing is raised: a channel that fails is only logged.
    """
    accepted = []
    async with http_client() as client:
        for name in route_by(settings)(event) if settings.channels else ():
            try:
                outgoing = _compose(settings, Alert(alert_id(event.id, name), event, name), names)
                await send(client, settings.channels[name], outgoing)
            except Exception as error:  # noqa: BLE001 - the other channels are told all the same
                log.error("a channel could not be told without the database", channel=name, error=type(error).__name__)
                continue
            accepted.append(name)
    return accepted


async def deliver_until_empty(
    settings: Settings, store: Store, names: DisplayNames = NO_NAMES, *, deadline: float = FOREGROUND_DEADLINE
) -> DeliveryCounts:
    """Deliver until no alert waits, or until the next try would be after the deadline.

    Args:
        settings: of the home.
        store: of the home.
        names: display names for the messages.
        deadline: seconds from now.

    Returns:
        The alerts that were sent and refused, and as deferred those that still wait.
    """
    end = time.monotonic() + deadline
    total = DeliveryCounts()
    while True:
        outcome = await deliver_due(settings, store, names)
        total = DeliveryCounts(total.sent + outcome.sent, 0, total.refused + outcome.refused)
        waiting = store.outbox.next_tries()
        if not waiting:
            return total
        pause = max(0.0, (min(waiting) - datetime.now(UTC)).total_seconds())
        if time.monotonic() + pause > end:
            return DeliveryCounts(total.sent, len(waiting), total.refused)
        await asyncio.sleep(pause)
