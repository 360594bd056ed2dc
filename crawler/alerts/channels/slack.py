"""Slack's incoming webhooks: blocks within Slack's limits, the plain text as fallback, and no mentions."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
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
    value = {
        "text": escape(fit(message, FALLBACK_LIMITS, size).text),
        "blocks": [
            {"type": "header", "text": _plain(escape(fitted.headline))},
            *({"type": "section", "text": _plain(section)} for section in sections),
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }
    return Outgoing("POST", channel.url.get_secret_value(), {"content-type": "application/json"}, orjson.dumps(value))


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
