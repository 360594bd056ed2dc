"""Matrix rooms: a room shows one message per transaction id, even if it is delivered twice."""

from __future__ import annotations

import html
from urllib.parse import quote

import orjson

from crawler.alerts.channels.registry import Outgoing, json_text
from crawler.alerts.message import ChatLimits, Field, Message, fit
from data.settings.settings import Channel

KIND = "matrix"
# An event is refused above 65,536 bytes of canonical JSON, with ids, signatures and hashes that the server adds
# (Matrix specification, client-server API, "Size limits"). The text stands in it twice, as plain text and as HTML.
LIMITS = ChatLimits(
    source="Matrix specification, client-server API, Size limits",
    title=1_000, field=8_000, fields=60, text=48_000, body=60_000,
)  # fmt: skip


def _in_html(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def size(text: str) -> int:
    """Bytes of a text in the body and in the formatted body together, with the tags around a field."""
    return len(orjson.dumps(text)) + len(orjson.dumps(_in_html(text))) + len("<li><b></b></li>")


def _item(field: Field) -> str:
    return f"<li><b>{html.escape(field.opening.rstrip())}</b> {_in_html(field.value)}</li>"


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The PUT request of one room message; the id of the alert is its transaction id."""
    fitted = fit(message, LIMITS, size)
    items = "".join(map(_item, (*fitted.fields, *fitted.closing)))
    value: dict[str, object] = {
        "msgtype": "m.text",
        "body": fitted.text,
        "format": "org.matrix.custom.html",
        "formatted_body": f"<b>{html.escape(fitted.headline)}</b><ul>{items}</ul>",
        "m.mentions": {},
    }
    if message.thread is not None and message.thread.remote:
        root = message.thread.remote
        # clients without threads show it as a reply (specification, "Threading": fallback for unthreaded clients)
        value["m.relates_to"] = {
            "rel_type": "m.thread", "event_id": root, "is_falling_back": True, "m.in_reply_to": {"event_id": root},
        }  # fmt: skip
    token = channel.token.get_secret_value() if channel.token else ""
    address = channel.url.get_secret_value().rstrip("/")
    return Outgoing(
        "PUT",
        f"{address}/_matrix/client/v3/rooms/{quote(channel.room, safe='')}/send/m.room.message/{alert}",
        {"content-type": "application/json", "authorization": f"Bearer {token}"},
        orjson.dumps(value),
    )


def answer(channel: Channel, body: bytes) -> str:  # noqa: ARG001 - one shape for all
    """The id of the event that the server made of the message."""
    return json_text(body, "event_id")


def retry_after(body: bytes) -> float | None:
    """Seconds of `retry_after_ms` in the response of a rate limit."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    wait = value.get("retry_after_ms") if isinstance(value, dict) else None
    return wait / 1000 if isinstance(wait, int) and wait >= 0 else None
