"""The dialects of the channels: what each module of this package defines, and how a channel finds its module.

A *dialect* turns a message into the HTTP request that one kind of channel expects.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast
from urllib.parse import urlsplit

import orjson

from crawler.alerts import channels
from crawler.alerts.message import ChatLimits, Message
from data.errors import ConfigError
from data.settings.settings import Channel

# Characters of what a chat calls a message.
MAX_REMOTE = 255
_WITH_HOST = frozenset({"http", "https", "smtp", "smtps", "tcp", "tls"})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The HTTP request that delivers one alert."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Method, masked address and size; the path and the headers are left out because they hold secrets."""
        return f"<Outgoing {self.method} {masked(self.url)}, {len(self.body)} bytes>"


class Dialect(Protocol):
    """What a channel module defines."""

    KIND: str
    LIMITS: ChatLimits

    def compose(self, channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:
        """The request that delivers a message; `alert` is the idempotency key, `timestamp` is in Unix seconds."""
        ...

    def retry_after(self, body: bytes) -> float | None:
        """Seconds that the body of a response asks to wait; None if it does not say."""
        ...

    @property
    def answer(self) -> Callable[[Channel, bytes], str] | None:
        """What the body of a positive response calls the message, '' if it does not say; None if it never does.

        Raises:
            DeliveryDeferred, DeliveryRefused: the body says that the chat did not take the message.
        """
        ...


def masked(url: str) -> str:
    """An address that may be shown: scheme, host and port. The rest of a webhook's address is its secret.

    Of an address of Apprise only the scheme: it may have a token where others have the host (`tgram://TOKEN/…`), and need
    not be an address by any other rule.
    """
    scheme = url.partition("://")[0].lower()
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{scheme}://…"
    if scheme not in _WITH_HOST:
        return f"{scheme}://…"
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
    """The dialect of a channel."""
    known = dialects()
    if channel.kind not in known:
        raise ConfigError(
            f"there is no kind of channel called '{channel.kind}'", hint=f"the kinds are: {', '.join(sorted(known))}"
        )
    return known[channel.kind]


def json_text(body: bytes, key: str) -> str:
    """A text of a JSON object that a server answered with, '' if there is none of at most 255 characters."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) and len(found) <= MAX_REMOTE else ""
