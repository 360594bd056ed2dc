"""Delivery of the alerts in the outbox to their channels, for the daemon and for foreground commands."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import structlog

from crawler.alerts.channels.registry import Outgoing, dialect, masked
from crawler.alerts.events import build_event
from crawler.alerts.follow_up import belongs_in_thread, follow_up, is_sighting, with_sightings
from crawler.alerts.message import Message, Thread
from crawler.alerts.wording import message_of
from data.case.incidents import read_incidents
from data.errors import ConfigError, DeliveryDeferred, DeliveryRefused, StoreError
from data.model import Alert, Event, EventKind
from data.settings.home import Home
from data.settings.settings import Channel, Settings
from data.store.outbox import Delivery, alert_id
from data.store.store import Store
from data.watchlist.manifest import client_names
from scheduler.delivery.apprise import send_by_apprise
from scheduler.delivery.lasting_states import recovery_event
from scheduler.delivery.mail import send_mail
from scheduler.delivery.rerouting import reroute
from scheduler.delivery.routing import quiet_until, route_around, route_by
from scheduler.delivery.storms import calm
from scheduler.delivery.syslog import send_syslog
from scheduler.delivery.take_links import make_link

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
# Seconds for the body of the response of a chat that took a message.
ANSWER_SECONDS = 5.0
# Seconds until a command looks again whether another process has delivered what was due.
WAIT_SECONDS = 0.2
# Seconds after which one run begins no further delivery to a channel.
RUN_SECONDS = 30.0
# The other channels are told of a channel that does not take an alert three times, or asks for a longer wait than this.
LONG_WAIT = timedelta(minutes=2)
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

    # responses are read as they come, and no further than a limit
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, headers={"accept-encoding": "identity"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """The response of a channel that took a message: its status, and what the chat calls the message, '' if unknown."""

    status: int
    remote: str = ""


async def send(client: httpx.AsyncClient, channel: Channel, outgoing: Outgoing) -> Accepted:
    """Send one alert.

    Raises:
        DeliveryDeferred: there was no response in time, or one that asks for a later try; `retry_after` may say when.
        DeliveryRefused: the channel would give the same response to the same request again.
    """
    if outgoing.method == "SMTP":
        return Accepted(await send_mail(channel, outgoing))
    if outgoing.method == "SYSLOG":
        return Accepted(await send_syslog(channel, outgoing))
    if outgoing.method == "APPRISE":
        answer = await send_by_apprise(channel, outgoing)
        if not answer.sent:
            raise refusal_of(channel, outgoing.url, answer.status, answer.retry_after, b"")
        return Accepted(answer.status or 200)
    import httpx

    shown = masked(outgoing.url)
    try:
        async with asyncio.timeout(channel.timeout.total_seconds()) as limit:
            async with client.stream(
                outgoing.method, outgoing.url, headers=dict(outgoing.headers), content=outgoing.body, timeout=None
            ) as response:
                status, body = response.status_code, b""
                if 200 <= status < 300:
                    # the alert is there: no time limit may make it look deferred
                    limit.reschedule(None)
                    return Accepted(status, await _answer_of(channel, response))
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
    raise refusal_of(channel, outgoing.url, status, response.headers.get("retry-after", ""), body)


def refusal_of(channel: Channel, url: str, status: int, header: str, body: bytes) -> DeliveryDeferred | DeliveryRefused:
    """What a response leads to by which a channel did not take a message.

    Args:
        channel: its settings.
        url: to which the message was sent.
        status: of the response, 0 for none.
        header: `Retry-After`, `""` for none.
        body: of the response.
    """
    shown = masked(url)
    if status in _RETRY_STATUSES or status >= 500:
        wait = _retry_after(header)
        wait = dialect(channel).retry_after(body) if wait is None else wait
        return DeliveryDeferred(f"{shown} responded with {status}", status=status, retry_after=wait)
    if status < 300:
        return DeliveryDeferred(f"{shown} did not take the message", status=status)
    if status < 400:
        return DeliveryRefused(
            f"{shown} redirects ({status}); redirects are not followed",
            status=status,
            hint="configure the final address",
        )
    return DeliveryRefused(f"{shown} responded with {status}", status=status, hint="check the address and the token")


async def _answer_of(channel: Channel, response: httpx.Response) -> str:
    """What the chat calls the message that it took, '' if it does not say.

    The status alone says that a message was accepted, except where `Dialect.answer` finds a refusal in the body. A body may
    never end, so it is given `ANSWER_SECONDS`.

    Raises:
        DeliveryDeferred, DeliveryRefused: the body says that the message was not taken.
    """
    read = dialect(channel).answer
    if read is None:
        return ""
    body = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_RESPONSE:
                    break
    except Exception as error:  # noqa: BLE001 - the message is there; only its name is not known
        log.info("a channel took a message and did not say how it calls it", error=type(error).__name__)
    return read(channel, body)


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


def _message(
    settings: Settings, channel: Channel, event: Event, names: DisplayNames, listed: Sequence[Event], head: str
) -> Message:
    return message_of(
        event,
        clients=names.clients,
        case=settings.case,
        link=settings.link,
        incident=names.incidents.get(event.incident, ""),
        head=head,
        language=channel.language,
        listed=listed,
    )


def _compose(settings: Settings, alert: Alert, names: DisplayNames, store: Store | None = None) -> Outgoing:
    """The request that brings an alert to its channel; arguments as of `_message_of_alert`."""
    return _request(settings, alert, _message_of_alert(settings, alert, names, store))


def _request(settings: Settings, alert: Alert, message: Message) -> Outgoing:
    channel = settings.channels[alert.channel]
    return dialect(channel).compose(channel, alert.id, message, int(time.time()))


def _message_of_alert(settings: Settings, alert: Alert, names: DisplayNames, store: Store | None) -> Message:
    """The message of an alert, in the thread of the first one of its happening.

    Args:
        settings: of the home.
        alert: to send.
        names: display names.
        store: of the home; None if it cannot be read, so that there is no head of the chains and no thread.
    """
    channel, event = settings.channels[alert.channel], alert.event
    head = _head_of(store) if store is not None else ""
    worst = event.facts.get("worst", ()) if event.kind is EventKind.DIGEST and store is not None else ()
    listed = [found for each in worst if store is not None and (found := store.events.get(each)) is not None]
    message = _message(settings, channel, event, names, listed, head)
    first = store.events.get(event.thread) if store is not None and event.thread else None
    if store is not None and first is not None:
        message = follow_up(message, event, first, names.clients, store.events.places(first.id))
        first_alert = alert_id(first.id, alert.channel)
        is_there, remote = store.outbox.remote(first_alert)
        whole = None
        if is_there and is_sighting(event):
            whole = _message(settings, channel, first, names, (), head)
            whole = with_sightings(whole, store.events.sightings(first.id))
        if is_there and belongs_in_thread(event):
            message = replace(message, thread=Thread(first_alert, first.id, remote, whole))
    if store is not None and channel.take_links:
        message = replace(message, take=_take_link(settings, store, alert))
    return message


def _take_link(settings: Settings, store: Store, alert: Alert) -> str:
    """A one-time link to take the alert on; '' if it cannot be stored, because an alert must not wait for that."""
    try:
        return make_link(store, settings.console, alert.event, alert.channel, datetime.now(UTC))
    except StoreError as error:
        log.error("an alert goes out without a link to take it on", error=str(error))
        return ""


async def _deliver_one(
    client: httpx.AsyncClient, settings: Settings, store: Store, delivery: Delivery, names: DisplayNames
) -> DeliveryCounts:
    alert, channel = delivery.alert, settings.channels.get(delivery.alert.channel)
    try:
        if channel is None:
            raise DeliveryRefused(f"the channel '{alert.channel}' is no longer in the settings")
        accepted = await _send_in_thread(client, settings, store, alert, names)
    except DeliveryDeferred as error:
        now = datetime.now(UTC)
        next_try = now + _retry_delay(delivery.attempts, error.retry_after)
        store.outbox.mark_deferred(alert.id, error.status, str(error), next_try, now)
        store.outbox.postpone(alert.channel, next_try)
        failing = delivery.attempts >= 2 or next_try - now > LONG_WAIT
        _update_channel_state(settings, store, alert, str(error), now, failing=failing)
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
    store.outbox.mark_sent(alert.id, accepted.status, now, remote=accepted.remote)
    _update_channel_state(settings, store, alert, "", now, failing=False)
    return DeliveryCounts(sent=1)


async def _send_in_thread(
    client: httpx.AsyncClient, settings: Settings, store: Store, alert: Alert, names: DisplayNames
) -> Accepted:
    """Send an alert, in the thread of an earlier message if it continues one; as one of its own if that is gone."""
    channel, message = settings.channels[alert.channel], _message_of_alert(settings, alert, names, store)
    outgoing = _request(settings, alert, message)
    try:
        return await send(client, channel, outgoing)
    except DeliveryRefused:
        if message.thread is None or not message.thread.remote:
            # nothing about it could be gone; a mail that some recipients refused must not reach the others again
            raise
        apart = _request(settings, alert, replace(message, thread=replace(message.thread, remote="", first=None)))
        if (apart.method, apart.url, apart.body) == (outgoing.method, outgoing.url, outgoing.body):
            raise
        log.info("a message that an alert belongs to is gone; the alert stands for itself", channel=alert.channel)
        return await send(client, channel, apart)


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


async def deliver_due(
    settings: Settings,
    store: Store,
    names: DisplayNames | Callable[[], DisplayNames] = NO_NAMES,
    *,
    foreground: bool = False,
) -> DeliveryCounts:
    """Send every alert that is due: those of one channel one after another, those of different channels concurrently.

    Of a storm of alerts a digest tells most (`scheduler.delivery.storms`); in a `foreground` command none waits for one.
    After a `kill -9` between the channel's response and the note of it in the outbox, the alert is sent again with the
    same idempotency key. While another process delivers, nothing is sent here: it would be shown twice.
    """
    reroute(settings, store, datetime.now(UTC))
    if not store.outbox.has_open():
        return DeliveryCounts()
    with store.delivering() as is_free:
        return await _deliver_due(settings, store, names, foreground=foreground) if is_free else DeliveryCounts()


async def _deliver_due(
    settings: Settings, store: Store, names: DisplayNames | Callable[[], DisplayNames], *, foreground: bool
) -> DeliveryCounts:
    now = datetime.now(UTC)
    store.outbox.release_held([name for name in settings.channels if quiet_until(settings, name, now) is None], now)
    for name, channel in settings.channels.items():
        if (until := quiet_until(settings, name, now)) is not None:
            store.outbox.hold_quiet(name, until, now)
        try:
            calm(store, name, channel, now, at_once=foreground)
        except StoreError as error:
            log.error("alerts are not grouped, because the database cannot be written", error=str(error))
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


async def send_at_once(
    settings: Settings,
    event: Event,
    names: DisplayNames = NO_NAMES,
    *,
    channels: Sequence[str] | None = None,
    store: Store | None = None,
) -> Sequence[str]:
    """Send an event that is not stored straight to its channels; returns the channels that accepted it.

    The alert has the id that the outbox would give it. Nothing is raised: a channel that fails is only logged.
    `channels` are those of the event's routes if None; with the `store`, the
    message carries the head of the chains.
    """
    accepted = []
    if channels is None:
        channels = route_by(settings)(event) if settings.channels else ()
    async with http_client() as client:
        for name in channels:
            try:
                outgoing = _compose(settings, Alert(alert_id(event.id, name), event, name), names, store)
                await send(client, settings.channels[name], outgoing)
            except Exception as error:  # noqa: BLE001 - the other channels are told all the same
                log.error("a channel could not be told at once", channel=name, error=type(error).__name__)
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
        outcome = await deliver_due(settings, store, names, foreground=True)
        total = DeliveryCounts(total.sent + outcome.sent, 0, total.refused + outcome.refused)
        waiting = store.outbox.next_tries()
        if not waiting:
            return total
        pause = max(0.0, (min(waiting) - datetime.now(UTC)).total_seconds())
        if outcome == DeliveryCounts():
            # another process delivers what is due
            pause = max(pause, WAIT_SECONDS)
        if time.monotonic() + pause > end:
            return DeliveryCounts(total.sent, len(waiting), total.refused)
        await asyncio.sleep(pause)
