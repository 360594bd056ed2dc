"""Slack: blocks within Slack's limits, the plain text as fallback, and no mentions.

An incoming webhook does not say how it calls a message, so that nothing can answer it. A bot (`room` and `token`) can: its
messages form threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import orjson

from crawler.alerts.channels.registry import Outgoing, json_text, masked
from crawler.alerts.message import ChatLimits, Message, fit
from data.errors import DeliveryDeferred, DeliveryRefused
from data.model import Severity
from data.settings.settings import Channel

KIND = "slack"
# A header has 150 characters, the text of a section 3,000, a message 50 blocks (docs.slack.dev, "Reference: blocks").
# All blocks together have about 13,000 characters, although that page does not say so (slackapi/bolt-js, issue 2509).
LIMITS = ChatLimits(
    source="docs.slack.dev, Reference: blocks; slackapi/bolt-js issue 2509",
    title=150, field=2_000, fields=40, text=9_000, body=100_000,
)  # fmt: skip
SECTION = 3_000
# The fallback stands in notifications, and is the whole message on servers that copy Slack's webhooks but show no blocks.
# Slack recommends at most 4,000 characters (docs.slack.dev, "chat.postMessage"); Mattermost and Rocket.Chat take more.
FALLBACK_LIMITS = ChatLimits(
    source="docs.slack.dev, chat.postMessage, Truncating content",
    title=150, field=1_000, fields=40, text=3_900, body=100_000,
)  # fmt: skip


def escape(text: str) -> str:
    """The text with Slack's three control characters escaped, so that no link or mention can form."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def size(text: str) -> int:
    """Characters of an escaped text as JavaScript counts them, where an emoji counts as two."""
    return len(escape(text).encode("utf-16-le")) // 2


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The webhook request. Slack has no idempotency key, so an alert that is sent twice is shown twice.

    All text is `plain_text`, in which no formatting and no link can form, whatever a name holds.
    """
    fitted = fit(message, LIMITS, size)
    sections = _sections(escape(field.text) for field in (*fitted.fields, *fitted.closing))
    value: dict[str, object] = {
        "text": escape(fit(message, FALLBACK_LIMITS, size).text),
        "blocks": [
            {"type": "header", "text": _plain(escape(fitted.headline))},
            *({"type": "section", "text": _plain(section)} for section in sections),
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }
    address = channel.url.get_secret_value()
    if channel.token is None:
        return Outgoing("POST", address, {"content-type": "application/json"}, orjson.dumps(value))
    value["channel"] = channel.room
    if message.thread is not None and message.thread.remote:
        value["thread_ts"] = message.thread.remote
        # what people should act on is also shown outside of the thread
        value["reply_broadcast"] = message.severity.rank >= Severity.WARNING.rank
    headers = {
        "content-type": "application/json; charset=utf-8",
        "authorization": f"Bearer {channel.token.get_secret_value()}",
    }
    return Outgoing("POST", f"{address.rstrip('/')}/chat.postMessage", headers, orjson.dumps(value))


# Errors of chat.postMessage that pass by themselves (docs.slack.dev, "chat.postMessage", Errors).
_PASSING = frozenset(
    {"rate_limited", "ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", ""}
)


def answer(channel: Channel, body: bytes) -> str:
    """The time stamp of a bot's message, which is its name; '' for a webhook.

    Raises:
        DeliveryDeferred, DeliveryRefused: Slack answers with status 200 that it did not take the message.
    """
    if channel.token is None:
        return ""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict) and value.get("ok") is True:
        return json_text(body, "ts")
    found = value.get("error") if isinstance(value, dict) else None
    # Slack's own word for what is wrong, and nothing else that a server may write
    error = found if isinstance(found, str) and re.fullmatch("[a-z_]{1,60}", found) else ""
    shown = f"{masked(channel.url.get_secret_value())} did not take the message ({error or 'unknown answer'})"
    if error in _PASSING:
        raise DeliveryDeferred(shown, status=200)
    raise DeliveryRefused(shown, status=200, hint="check `room`, the token and its scope chat:write")


def _plain(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _sections(texts: Iterable[str]) -> list[str]:
    """The texts, joined to as few sections as hold them; each text is shorter than a section."""
    sections: list[str] = []
    for text in texts:
        if sections and len((sections[-1] + text).encode("utf-16-le")) // 2 < SECTION:
            sections[-1] += f"\n{text}"
        else:
            sections.append(text)
    return sections


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: Slack gives the waiting time in the `Retry-After` header."""
    return None
