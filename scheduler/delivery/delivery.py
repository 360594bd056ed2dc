"""What the daemon and foreground commands do beside crawling: deliver the outbox, remind of lasting states, self-tests."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from crawler.alerts.channels.registry import Outgoing, dialect, masked
from crawler.alerts.events import build_event
from crawler.alerts.wording import message_of
from data.case.incidents import read_incidents
from data.case.watchlist import client_names
from data.errors import ConfigError, DeliveryDeferred, DeliveryRefused
from data.model import Alert, EventKind
from data.settings.home import Home
from data.settings.settings import Channel, Settings
from data.store.outbox import Delivery
from data.store.store import Store
from scheduler.delivery.lasting_states import recovery_event
from scheduler.delivery.routing import route_around

if TYPE_CHECKING:
    # 5 MB: a crawl whose alerts are not due yet does without
    import httpx

# An answer to an alert is a line or two; more is not read.
MAX_ANSWER = 64 * 1024
BACK_OFF, MAX_BACK_OFF = 2.0, 900.0
# A receiver that asks for longer than this is asked again all the same: an alarm must not sleep for a week.
MAX_RETRY_AFTER = 3600.0
FOREGROUND_DEADLINE = 30.0
# 408 and 425 ask for the same request again; 429 and 503 say when.
_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Names:
    """What ids are called in messages: clients and incidents by id."""

    clients: Mapping[str, str]
    incidents: Mapping[str, str]

    @classmethod
    def of(cls, home: Home) -> Names:
        """As the home has them; a file of incidents that cannot be read leaves their ids, for an alert must go out."""
        try:
            incidents = {incident.id: incident.name for incident in read_incidents(home.path)}
        except ConfigError:
            incidents = {}
        return cls(client_names(home.watchlist_dir), incidents)


NO_NAMES = Names({}, {})


@dataclass(frozen=True, slots=True)
class Delivered:
    """Outcome of a round: alerts that were taken, put off, refused."""

    sent: int = 0
    deferred: int = 0
    refused: int = 0

    def __add__(self, other: Delivered) -> Delivered:
        """Sum of two rounds."""
        return Delivered(self.sent + other.sent, self.deferred + other.deferred, self.refused + other.refused)


def http_client() -> httpx.AsyncClient:
    """A client that no proxy variable steers and no redirect leads elsewhere."""
    import httpx

    return httpx.AsyncClient(trust_env=False, follow_redirects=False)


async def send(client: httpx.AsyncClient, channel: Channel, outgoing: Outgoing) -> int:
    """Make one delivery; the status that the channel answered with.

    Raises:
        DeliveryDeferred: no answer in time, or one that says "later"; `retry_after` may say when.
        DeliveryRefused: an answer that the same request will get again.
    """
    import httpx

    shown = masked(outgoing.url)
    try:
        async with asyncio.timeout(channel.timeout.total_seconds()):
            async with client.stream(
                outgoing.method, outgoing.url, headers=dict(outgoing.headers), content=outgoing.body, timeout=None
            ) as answer:
                body = b""
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        break
    except TimeoutError as error:
        raise DeliveryDeferred(f"{shown} gave no answer within {channel.timeout.total_seconds():g} s") from error
    except httpx.InvalidURL as error:
        raise DeliveryRefused(f"{shown} is no address", hint="correct the channel's url") from error
    except httpx.HTTPError as error:
        raise DeliveryDeferred(f"{shown} is not reached ({type(error).__name__})") from error
    status = answer.status_code
    if 200 <= status < 300:
        return status
    if status in _LATER or status >= 500:
        wait = _retry_after(answer.headers.get("retry-after", ""))
        wait = dialect(channel).retry_after(body) if wait is None else wait
        raise DeliveryDeferred(f"{shown} answered {status}", status=status, retry_after=wait)
    if 300 <= status < 400:
        raise DeliveryRefused(
            f"{shown} redirects ({status}); redirects are not followed", status=status, hint="put the final address in"
        )
    raise DeliveryRefused(f"{shown} answered {status}", status=status, hint="check the address and the token")


def _retry_after(header: str) -> float | None:
    if not header:
        return None
    if header.isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def _pause(attempts: int, asked: float | None) -> timedelta:
    """Until the next try: what the channel asked for, else doubling, both with a little noise."""
    noise = random.uniform(1.0, 1.25)  # noqa: S311 - spreads retries, guards nothing
    if asked is not None:
        return timedelta(seconds=min(asked, MAX_RETRY_AFTER) + noise - 1.0)
    return timedelta(seconds=min(BACK_OFF * 2 ** min(attempts, 10), MAX_BACK_OFF) * noise)


async def _deliver(
    client: httpx.AsyncClient, settings: Settings, store: Store, delivery: Delivery, names: Names
) -> Delivered:
    alert, channel = delivery.alert, settings.channels.get(delivery.alert.channel)
    try:
        if channel is None:
            raise DeliveryRefused(f"the channel '{alert.channel}' is not in the settings any more")
        message = message_of(
            alert.event,
            clients=names.clients,
            case=settings.case,
            link=settings.link,
            incident=names.incidents.get(alert.event.incident, ""),
        )
        outgoing = dialect(channel).compose(channel, alert.id, message, int(time.time()))
        status = await send(client, channel, outgoing)
    except DeliveryDeferred as error:
        now = datetime.now(UTC)
        next_try = now + _pause(delivery.attempts, error.retry_after)
        store.outbox.mark_deferred(alert.id, error.status, str(error), next_try, now)
        _channel_state(settings, store, alert, str(error), now, failing=delivery.attempts >= 2)
        return Delivered(deferred=1)
    except (DeliveryRefused, ConfigError) as error:
        now = datetime.now(UTC)
        store.outbox.mark_refused(alert.id, getattr(error, "status", 0), str(error), now)
        _channel_state(settings, store, alert, str(error), now, failing=True)
        return Delivered(refused=1)
    now = datetime.now(UTC)
    store.outbox.mark_sent(alert.id, status, now)
    _channel_state(settings, store, alert, "", now, failing=False)
    return Delivered(sent=1)


def _channel_state(
    settings: Settings, store: Store, alert: Alert, reason: str, now: datetime, *, failing: bool
) -> None:
    """Begin or end the state "this channel does not take alerts"; the others are told, never the channel itself."""
    name = alert.channel
    others = route_around(settings, name)
    if failing:
        event = build_event(
            EventKind.DELIVERY_FAILED, now, name, now.isoformat(), facts={"channel": name, "reason": reason}
        )
        store.states.begin(event, name, others, now)
    elif not reason:
        store.states.end("", EventKind.DELIVERY_FAILED, name, recovery_event, others, now)


async def deliver_due(settings: Settings, store: Store, names: Names = NO_NAMES) -> Delivered:
    """Send every alert that is due, one after another per channel and all channels side by side.

    A `kill -9` between the channel's answer and its mark sends the alert again with the same idempotency key.
    """
    due = store.outbox.due(datetime.now(UTC))
    if not due:
        return Delivered()
    per_channel: dict[str, list[Delivery]] = {}
    for delivery in due:
        per_channel.setdefault(delivery.alert.channel, []).append(delivery)

    async def serve(client: httpx.AsyncClient, deliveries: list[Delivery]) -> Delivered:
        total = Delivered()
        for delivery in deliveries:
            outcome = await _deliver(client, settings, store, delivery, names)
            total += outcome
            if outcome.deferred:
                # the channel is down or busy: the rest would wait behind the same wall
                break
        return total

    async with http_client() as client:
        outcomes = await asyncio.gather(*(serve(client, each) for each in per_channel.values()))
    return sum(outcomes, Delivered())


async def deliver_until_empty(
    settings: Settings, store: Store, names: Names = NO_NAMES, *, deadline: float = FOREGROUND_DEADLINE
) -> Delivered:
    """Deliver for a foreground command: until nothing waits, something failed twice, or the deadline passed."""
    end = time.monotonic() + deadline
    total = Delivered()
    while True:
        outcome = await deliver_due(settings, store, names)
        total = Delivered(total.sent + outcome.sent, 0, total.refused + outcome.refused)
        waiting = store.outbox.next_tries()
        if not waiting:
            return total
        pause = max(0.0, (min(waiting) - datetime.now(UTC)).total_seconds())
        if time.monotonic() + pause > end:
            return Delivered(total.sent, len(waiting), total.refused)
        await asyncio.sleep(pause)
