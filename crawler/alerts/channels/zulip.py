"""Zulip: a message of a bot to a channel, as a block of code, in which no formatting, link or mention can form."""

from __future__ import annotations

import base64
import re
from urllib.parse import urlencode

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from data.settings.settings import Channel

KIND = "zulip"
# A message has 10,000 characters, a topic 60 (`max_message_length`, `max_topic_length`).
LIMITS = ChatLimits(
    source="zulip.com/api/send-message",
    title=1_000, field=4_000, fields=60, text=9_800, body=60_000,
)  # fmt: skip
MAX_TOPIC = 60
_FENCE = re.compile("`{3,}|~{3,}")


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The form that sends a message; `user` and `token` are the bot's address and its API key.

    Zulip's Markdown has no escape for all that it reads. In a block of code it reads nothing but the end of the block.
    """
    text = _FENCE.sub(lambda run: "\u2060".join(run.group()), fit(message, LIMITS).text)
    form = {
        "type": "stream",
        "to": channel.room,
        "topic": channel.topic[:MAX_TOPIC] or _topic(message),
        "content": f"```text\n{text}\n```",
    }
    token = channel.token.get_secret_value() if channel.token else ""
    login = base64.b64encode(f"{channel.user}:{token}".encode()).decode()
    return Outgoing(
        "POST",
        f"{channel.url.get_secret_value().rstrip('/')}/api/v1/messages",
        {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {login}"},
        urlencode(form).encode(),
    )


def _topic(message: Message) -> str:
    """A topic for each thread of events: that is how Zulip keeps messages together."""
    return f"Tocsin {(message.thread.event if message.thread is not None else message.event)[:12]}"


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None


answer = None
