"""Microsoft Teams: an Adaptive Card for the trigger "When a Teams webhook request is received" of Workflows."""

from __future__ import annotations

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from data.model import Severity
from data.settings.settings import Channel

KIND = "teams"
# A message has about 28 KB. Some flows turn it into UTF-16, which doubles that.
LIMITS = ChatLimits(
    source="learn.microsoft.com, Teams, Create Incoming Webhooks and Limits and specifications (message size 28 KB)",
    title=500, field=2_000, fields=30, text=7_000, body=14_000,
)  # fmt: skip
_STYLES = {Severity.CRITICAL: "attention", Severity.WARNING: "warning"}


def size(text: str) -> int:
    """Bytes of a text in JSON, with a share of the element around it."""
    return len(orjson.dumps(text))


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The request that starts the flow; status 202 says only that the flow was started.

    Text stands in text runs alone: a text block reads Markdown, a text run does not.
    """
    fitted = fit(message, LIMITS, size)
    body: list[dict[str, object]] = [
        {
            "type": "Container",
            "style": _STYLES.get(fitted.severity, "accent"),
            "bleed": True,
            "items": [_paragraph([_run(fitted.headline, bold=True)])],
        }
    ]
    body += [
        _paragraph([_run(field.opening, bold=True), _run(field.value)]) for field in (*fitted.fields, *fitted.closing)
    ]
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "fallbackText": fitted.headline,
        "msteams": {"width": "Full"},
        "body": body,
    }
    value = {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }
    headers = {"content-type": "application/json; charset=utf-8"}
    return Outgoing("POST", channel.url.get_secret_value(), headers, orjson.dumps(value))


def _paragraph(runs: list[dict[str, object]]) -> dict[str, object]:
    return {"type": "RichTextBlock", "inlines": runs}


def _run(text: str, *, bold: bool = False) -> dict[str, object]:
    return {"type": "TextRun", "text": text, **({"weight": "Bolder"} if bold else {})}


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None


answer = None
