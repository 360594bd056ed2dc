"""Slack's incoming webhooks: blocks within Slack's limits, the plain text as fallback, and no mentions."""

from __future__ import annotations

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.wording import Message
from data.settings.settings import Channel

KIND = "slack"
# docs.slack.dev, "Reference: blocks": header 150 characters, section text 3,000, 50 blocks
MAX_HEADER, MAX_TEXT, MAX_BLOCKS = 150, 3000, 50


def escape(text: str) -> str:
    """The text with Slack's three control characters escaped, so that no link or mention can form."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The webhook request. Slack has no idempotency key, so an alert that is sent twice is shown twice."""
    lines = [f"*{escape(name)}:* {escape(value)}" for name, value in message.fields]
    sections: list[str] = [""]
    for line in lines:
        if len(sections[-1]) + len(line) + 1 > MAX_TEXT:
            sections.append("")
        sections[-1] += line[:MAX_TEXT] + "\n"
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": message.title[:MAX_HEADER], "emoji": False}},
        *({"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in sections if text),
        {
            "type": "context",
            "elements": [{"type": "mrkdwn", "text": escape(f"{message.advice} {message.link}".strip())[:MAX_TEXT]}],
        },
    ]
    value = {
        "text": escape(message.text)[:MAX_TEXT],
        "blocks": blocks[:MAX_BLOCKS],
        "unfurl_links": False,
        "unfurl_media": False,
    }
    return Outgoing("POST", channel.url.get_secret_value(), {"content-type": "application/json"}, orjson.dumps(value))


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: Slack gives the waiting time in the `Retry-After` header."""
    return None
