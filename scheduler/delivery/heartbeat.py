"""The sign of life: one line to the channels of `[heartbeat]`, and a call of a dead man's switch.

It does not pass through the outbox: a line that says "all was well an hour ago" is worth nothing later, and what is sent
every hour should not fill the database. Whoever misses it knows that something is wrong, whatever it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from crawler.alerts.events import build_event
from crawler.alerts.headlines import headline_of
from crawler.alerts.phrases.catalogue import phrases_in
from data.model import EventKind
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.delivery.delivery import DisplayNames, http_client, send_at_once

log = structlog.get_logger("daemon")

SWITCH = "the dead man's switch"


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """What the sign of life says.

    Attributes:
        conditions: number of sources that are `fine`, `late` and `blind`.
        examined: posts that were examined since `since`. since: the last sign of life, or the start.
        waiting, refused: alerts in the outbox. failing: names of the daemon's work that fails or is late.
    """

    conditions: Mapping[str, int]
    examined: int
    since: datetime
    waiting: int
    refused: int
    failing: Sequence[str]

    def facts(self) -> dict[str, Any]:
        """The facts of its event."""
        return {
            **{name: self.conditions.get(name, 0) for name in ("fine", "late", "blind")},
            "examined": self.examined,
            "since": self.since.isoformat(timespec="seconds"),
            "waiting": self.waiting,
            "refused": self.refused,
            "failing": list(self.failing),
        }


async def send_sign_of_life(
    settings: Settings,
    sign: SignOfLife,
    now: datetime,
    store: Store | None = None,
    *,
    only: Collection[str] | None = None,
) -> list[str]:
    """Send it, with the head of the chains of the `store`, to all channels and to the dead man's switch of `[heartbeat]`.

    Args:
        settings: of the home.
        sign: of life.
        now: aware UTC.
        store: of the home.
        only: places that an earlier call returned, to which alone it is sent; None for all.

    Returns:
        The channels that did not take it, and `SWITCH`; the others were told.
    """
    chosen = settings.heartbeat
    event = build_event(EventKind.HEARTBEAT, now, now.isoformat(), facts=sign.facts())
    channels = [name for name in chosen.channels if only is None or f"channel {name}" in only]
    accepted = await send_at_once(settings, event, DisplayNames({}, {}), channels=channels, store=store)
    lost = [f"channel {name}" for name in channels if name not in accepted]
    if only is None or SWITCH in only:
        line = headline_of(event, {}, phrases_in("en"))
        lost += [] if await _call_switch(settings, line, failing=bool(sign.failing)) else [SWITCH]
    return lost


async def _call_switch(settings: Settings, line: str, *, failing: bool) -> bool:
    """Call the address of the switch; whether it answered well, or is not to be called."""
    chosen = settings.heartbeat
    url = chosen.failing_url if failing else chosen.url
    if url is None:
        # a switch that is not called rings: that is what it is for
        return True
    import httpx

    content = line.encode() if chosen.method == "POST" else None
    try:
        async with asyncio.timeout(chosen.timeout.total_seconds()), http_client() as client:
            answer = await client.request(chosen.method, url.get_secret_value(), content=content, timeout=None)
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
        # an error of the library may quote the address, which is a secret
        log.error("the dead man's switch could not be called", error=type(error).__name__)
        return False
    if not answer.is_success:
        log.error("the dead man's switch refused the call", status=answer.status_code)
    return answer.is_success
