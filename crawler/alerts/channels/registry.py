"""The channel dialects: what each module of this package offers, and how they are found by their files."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast
from urllib.parse import urlsplit

from crawler.alerts import channels
from crawler.alerts.wording import Message
from data.errors import ConfigError
from data.settings.settings import Channel


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One HTTP request of a delivery."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Without address path and headers: both carry secrets."""
        return f"<Outgoing {self.method} {masked(self.url)}, {len(self.body)} bytes>"


class Dialect(Protocol):
    """What a channel module defines."""

    KIND: str

    def compose(self, channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:
        """The request that delivers a message; `alert` is the idempotency key, `timestamp` Unix seconds."""
        ...

    def retry_after(self, body: bytes) -> float | None:
        """Seconds that an answer's body asks to wait, where the dialect puts them there."""
        ...


def masked(url: str) -> str:
    """An address for people: scheme, host and port; the rest of a webhook's address is its secret."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or '?'}{port}/…"


@cache
def dialects() -> Mapping[str, Dialect]:
    """Every channel dialect by its kind."""
    found: dict[str, Dialect] = {}
    for module in pkgutil.iter_modules(channels.__path__, f"{channels.__name__}."):
        loaded = importlib.import_module(module.name)
        if hasattr(loaded, "compose"):
            found[loaded.KIND] = cast("Dialect", loaded)
    return found


def dialect(channel: Channel) -> Dialect:
    """The dialect that a channel speaks."""
    known = dialects()
    if channel.kind not in known:
        raise ConfigError(
            f"no channel dialect is called '{channel.kind}'", hint=f"there are: {', '.join(sorted(known))}"
        )
    return known[channel.kind]
