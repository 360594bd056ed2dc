"""Sending one message through Apprise, in a process of its own: no secret in its arguments or logs, one time limit for all."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crawler.alerts.channels.registry import Outgoing, masked
from data.errors import DeliveryDeferred, DeliveryRefused
from data.settings.settings import Channel
from scheduler.delivery.apprise_process import START_SECONDS

HINT = "install the extra:  pip install 'tocsin[apprise]'"


@dataclass(frozen=True, slots=True)
class AppriseAnswer:
    """What came of an order.

    Attributes:
        known: whether Apprise knows the service. sent: whether the service took the message.
        status, retry_after: of its last answer over HTTP; 0 and `""` for none.
    """

    known: bool
    sent: bool
    status: int
    retry_after: str


async def send_by_apprise(channel: Channel, outgoing: Outgoing) -> AppriseAnswer:
    """Send a message.

    Raises:
        DeliveryDeferred: the process did not end in time, or failed.
        DeliveryRefused: Apprise is not installed, or knows no such service.
    """
    answer = await ask_apprise(channel, {"url": outgoing.url, **orjson.loads(outgoing.body)})
    if not answer.known:
        raise DeliveryRefused(
            f"{masked(outgoing.url)} is no service that Apprise knows", hint="correct the channel's url"
        )
    return answer


def environment_of(ours: Mapping[str, str]) -> dict[str, str]:
    """The environment of the process: without keys and the folder of credentials, and proxies, which would see the message."""
    kept = {
        name: value
        for name, value in ours.items()
        if not name.upper().startswith(("TOCSIN_", "APPRISE_", "CREDENTIALS_"))
    }
    return {**kept, "NO_PROXY": "*", "no_proxy": "*"}


async def ask_apprise(channel: Channel, order: Mapping[str, Any]) -> AppriseAnswer:
    """Run the process with an order, as `scheduler.delivery.apprise_process` takes it.

    Raises:
        DeliveryDeferred: it did not end in time, or failed.
        DeliveryRefused: Apprise is not installed.
    """
    shown = masked(str(order["url"]))
    if importlib.util.find_spec("apprise") is None:
        raise DeliveryRefused("Apprise is not installed", hint=HINT)
    seconds = channel.timeout.total_seconds()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "scheduler.delivery.apprise_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment_of(os.environ),
    )
    try:
        async with asyncio.timeout(START_SECONDS + seconds):
            out, _ = await process.communicate(orjson.dumps({**order, "seconds": seconds}))
    except TimeoutError as error:
        raise DeliveryDeferred(f"{shown} did not take the message within {seconds:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return AppriseAnswer(**orjson.loads(out))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise DeliveryDeferred(f"{shown}: Apprise failed (status {process.returncode})") from error
