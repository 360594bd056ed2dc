"""Rocket.Chat's incoming webhooks: an attachment with a field for each fact."""

from __future__ import annotations

import orjson

from crawler.alerts.channels.markdown import escape, size
from crawler.alerts.channels.mattermost import attachment
from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from data.settings.settings import Channel

KIND = "rocketchat"
# `Message_MaxAllowedSize` is 5,000 characters by default.
LIMITS = ChatLimits(
    source="docs.rocket.chat, Message settings, Maximum Allowed Characters Per Message",
    title=500, field=2_000, fields=40, text=4_800, body=60_000,
)  # fmt: skip


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The webhook request. Addresses are not looked up for previews, and an alert that is sent twice is shown twice."""
    fitted = fit(message, LIMITS, size)
    value = {"text": escape(fitted.headline), "parseUrls": False, "attachments": [attachment(fitted)]}
    return Outgoing("POST", channel.url.get_secret_value(), {"content-type": "application/json"}, orjson.dumps(value))


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None


answer = None
