"""Google Chat's incoming webhooks: a card with a widget for each fact."""

from __future__ import annotations

import html
from urllib.parse import urlsplit, urlunsplit

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Field, Message, fit
from data.settings.settings import Channel

KIND = "google-chat"
# A card has 32 KB and 100 widgets.
LIMITS = ChatLimits(
    source="developers.google.com, Chat API reference: CardWithId (32 KB), Card (100 widgets)",
    title=500, field=4_000, fields=60, text=20_000, body=31_000,
)  # fmt: skip


def escape(text: str) -> str:
    """The text with the characters escaped of which Google Chat makes tags; a new line is `<br>`."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def size(text: str) -> int:
    """Bytes of an escaped text in JSON, with the widget around it."""
    return len(orjson.dumps(escape(text))) + len('{"decoratedText":{"topLabel":"","text":"","wrapText":true}},')


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The webhook request. The header of a card shows plain text and is cut by Google, so the first line is a widget."""
    fitted = fit(message, LIMITS, size)
    widgets: list[dict[str, object]] = [{"textParagraph": {"text": f"<b>{escape(fitted.headline)}</b>"}}]
    widgets += map(_widget, (*fitted.fields, *fitted.closing))
    value: dict[str, object] = {
        "fallbackText": fitted.headline,
        "cardsV2": [{"cardId": alert, "card": {"sections": [{"widgets": widgets}]}}],
    }
    # a key of our own names the thread; whoever turned threads off in the space gets a new message
    value["thread"] = {"threadKey": message.thread.alert if message.thread is not None else alert}
    parts = urlsplit(channel.url.get_secret_value())
    query = "&".join(filter(None, (parts.query, "messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD")))
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
    headers = {"content-type": "application/json; charset=UTF-8"}
    return Outgoing("POST", url, headers, orjson.dumps(value))


def _widget(field: Field) -> dict[str, object]:
    return {"decoratedText": {"topLabel": field.label, "text": escape(field.value), "wrapText": True}}


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header, or unknown."""
    return None


answer = None
