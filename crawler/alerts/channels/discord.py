"""Discord's webhooks: one embed with a field for each fact, and no mentions."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import orjson

from crawler.alerts.channels.markdown import escape, size
from crawler.alerts.channels.registry import Outgoing, json_text
from crawler.alerts.message import ChatLimits, Field, Message, fit
from data.settings.settings import Channel

KIND = "discord"
# Title 256, 25 fields, name of a field 256, its value 1,024, all texts of all embeds together 6,000.
LIMITS = ChatLimits(
    source="docs.discord.com, Message Resource, Embed Limits",
    title=256, field=1_000, fields=25, text=5_700, body=60_000,
)  # fmt: skip


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The webhook request. `wait` makes Discord answer after it has stored the message, not before.

    A webhook cannot answer a message, but it can change its own: another place where the data was seen is added to the
    first message.
    """
    thread = message.thread
    changes = thread if thread is not None and thread.remote and thread.first is not None else None
    fitted = fit(changes.first if changes is not None and changes.first is not None else message, LIMITS, size)
    embed = {
        "title": escape(fitted.headline),
        "color": fitted.colour,
        "timestamp": fitted.at,
        "fields": [_field(each) for each in (*fitted.fields, *fitted.closing)],
    }
    value = {"embeds": [embed], "allowed_mentions": {"parse": []}}
    parts = urlsplit(channel.url.get_secret_value())
    path, query = parts.path, "&".join(filter(None, (parts.query, "wait=true")))
    if changes is not None:
        path, query = f"{path}/messages/{changes.remote}", parts.query
    url = urlunsplit((parts.scheme, parts.netloc, path, query, ""))
    headers = {"content-type": "application/json"}
    return Outgoing("POST" if changes is None else "PATCH", url, headers, orjson.dumps(value))


def _field(field: Field) -> dict[str, object]:
    return {"name": escape(field.label), "value": escape(field.value), "inline": False}


def answer(channel: Channel, body: bytes) -> str:  # noqa: ARG001 - one shape for all
    """The id of the message."""
    found = json_text(body, "id")
    return found if found.isdecimal() else ""


def retry_after(body: bytes) -> float | None:
    """Seconds of `retry_after` in the response of a rate limit."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    wait = value.get("retry_after") if isinstance(value, dict) else None
    return float(wait) if isinstance(wait, int | float) and wait >= 0 else None
