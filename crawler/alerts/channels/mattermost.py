"""Mattermost's incoming webhooks: an attachment with a field for each fact."""

from __future__ import annotations

import orjson

from crawler.alerts.channels.markdown import escape, size
from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from data.settings.settings import Channel

KIND = "mattermost"
# A post has 16,383 characters. Attachments count for the properties of a post: 8,000 characters in old servers, with names
# and punctuation of their JSON.
LIMITS = ChatLimits(
    source="docs.mattermost.com, Incoming webhooks, Message attachments; mattermost/mattermost, model/post.go",
    title=500, field=2_000, fields=40, text=5_500, body=60_000,
)  # fmt: skip


def attachment(message: Message) -> dict[str, object]:
    """The fields of a message as an attachment in Slack's older form, with all text escaped for Markdown."""
    return {
        "fallback": escape(message.headline),
        "color": f"#{message.colour:06x}",
        "fields": [
            {"title": escape(field.label), "value": escape(field.value), "short": False}
            for field in (*message.fields, *message.closing)
        ],
    }


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The webhook request. Mattermost has no idempotency key, so an alert that is sent twice is shown twice."""
    fitted = fit(message, LIMITS, size)
    value = {"text": escape(fitted.headline), "attachments": [attachment(fitted)]}
    return Outgoing("POST", channel.url.get_secret_value(), {"content-type": "application/json"}, orjson.dumps(value))


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None


answer = None
