"""Matrix rooms: a room shows one message per transaction id, even if it is delivered twice."""

from __future__ import annotations

import html
from urllib.parse import quote

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.wording import Message
from data.settings.settings import Channel

KIND = "matrix"


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The PUT request of one room message; the id of the alert is its transaction id."""
    rows = "".join(f"<li><b>{html.escape(name)}:</b> {html.escape(value)}</li>" for name, value in message.fields)
    value = {
        "msgtype": "m.text",
        "body": message.text,
        "format": "org.matrix.custom.html",
        "formatted_body": f"<b>{html.escape(message.title)}</b><ul>{rows}</ul>"
        f"<p>{html.escape(message.advice)} <code>{html.escape(message.link)}</code></p>",
        "m.mentions": {},
    }
    token = channel.token.get_secret_value() if channel.token else ""
    address = channel.url.get_secret_value().rstrip("/")
    return Outgoing(
        "PUT",
        f"{address}/_matrix/client/v3/rooms/{quote(channel.room, safe='')}/send/m.room.message/{alert}",
        {"content-type": "application/json", "authorization": f"Bearer {token}"},
        orjson.dumps(value),
    )


def retry_after(body: bytes) -> float | None:
    """Seconds of `retry_after_ms` in the response of a rate limit."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    wait = value.get("retry_after_ms") if isinstance(value, dict) else None
    return wait / 1000 if isinstance(wait, int) and wait >= 0 else None
