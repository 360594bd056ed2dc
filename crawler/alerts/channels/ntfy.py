"""ntfy: a push message in plain text to a topic of ntfy.sh or of a server of one's own."""

from __future__ import annotations

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from data.model import Severity
from data.settings.settings import Channel

KIND = "ntfy"
# A longer message becomes an attachment, which phones do not show (server setting `message-size-limit`, 4,096 bytes).
LIMITS = ChatLimits(
    source="docs.ntfy.sh, Publishing, Limitations",
    title=250, field=1_500, fields=40, text=4_000, body=16_000,
)  # fmt: skip
_PRIORITY = {Severity.CRITICAL: 5, Severity.WARNING: 4, Severity.NOTICE: 3}


def _size(text: str) -> int:
    return len(text.encode())


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The request to the root of the server; without `markdown` the text is shown as it is."""
    fitted = fit(message, LIMITS, _size)
    value = {
        "topic": channel.topic,
        "title": fitted.headline,
        "message": fitted.text.partition("\n")[2],
        "priority": _PRIORITY.get(fitted.severity, 2),
    }
    headers = {"content-type": "application/json"}
    if channel.token is not None:
        headers["authorization"] = f"Bearer {channel.token.get_secret_value()}"
    return Outgoing("POST", channel.url.get_secret_value(), headers, orjson.dumps(value))


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None


answer = None
