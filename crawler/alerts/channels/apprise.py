"""Any of the services that Apprise knows (extra `apprise`): a short plain text, for receivers that have no dialect here."""

from __future__ import annotations

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from data.model import EventKind, Severity
from data.settings.settings import Channel

KIND = "apprise"
# Services have limits from 160 characters (text messages) on. What is longer than the one that is used is sent in parts.
LIMITS = ChatLimits(
    source="our own; Apprise splits what is longer than `body_maxlen` of the service",
    title=200, field=400, fields=12, text=1_500, body=16 * 1024,
)  # fmt: skip


def _size(text: str) -> int:
    return len(text.encode())


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The order for `scheduler.delivery.apprise`: title, text, and one of the four types that Apprise has."""
    fitted = fit(message, LIMITS, _size)
    kind = "failure" if fitted.severity is Severity.CRITICAL else "warning"
    if fitted.severity.rank < Severity.WARNING.rank:
        kind = "success" if fitted.kind == EventKind.RECOVERED else "info"
    value = {"title": fitted.headline, "body": fitted.text.partition("\n")[2], "type": kind}
    return Outgoing("APPRISE", channel.url.get_secret_value(), {}, orjson.dumps(value))


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header, if the service answers over HTTP."""
    return None


answer = None
