"""Discord's webhooks: one embed with a field for each fact, and no mentions."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import orjson

from crawler.alerts.channels.markdown import escape, size
from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Field, Message, fit
from data.settings.settings import Channel

KIND = "discord"
# Title 256, 25 fields, name of a field 256, its value 1,024, all texts of all embeds together 6,000.
LIMITS = ChatLimits(
    source="docs.discord.com, Message Resource, Embed Limits",
    title=256, field=1_000, fields=25, text=5_700, body=60_000,
)  # fmt: skip


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The webhook request. `wait` makes Discord answer after it has stored the message, not before."""
    fitted = fit(message, LIMITS, size)
    embed = {
        "title": escape(fitted.headline),
        "color": fitted.colour,
        "timestamp": fitted.at,
        "fields": [_field(each) for each in (*fitted.fields, *fitted.closing)],
    }
    value = {"embeds": [embed], "allowed_mentions": {"parse": []}}
    parts = urlsplit(channel.url.get_secret_value())
    query = "&".join(filter(None, (parts.query, "wait=true")))
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
    return Outgoing("POST", url, {"content-type": "application/json"}, orjson.dumps(value))


def _field(field: Field) -> dict[str, object]:
    return {"name": escape(field.label), "value": escape(field.value), "inline": False}


def retry_after(body: bytes) -> float | None:
    """Seconds of `retry_after` in the response of a rate limit."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    wait = value.get("retry_after") if isinstance(value, dict) else None
    return float(wait) if isinstance(wait, int | float) and wait >= 0 else None
