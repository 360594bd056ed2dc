"""PagerDuty's Events API v2: an event triggers an alert, and the end of a state resolves the alert that began it."""

from __future__ import annotations

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from data.model import EventKind, Severity
from data.settings.settings import Channel

KIND = "pagerduty"
# The summary has 1,024 characters, a key 255, an event 512 KB.
LIMITS = ChatLimits(
    source="developer.pagerduty.com, Events API v2, Send an Alert Event",
    title=1_000, field=8_000, fields=60, text=60_000, body=256 * 1024,
)  # fmt: skip
_SEVERITY = {Severity.CRITICAL: "critical", Severity.WARNING: "warning"}


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The request to `/v2/enqueue`; `token` is the integration key, and an event that is sent twice is one alert."""
    fitted = fit(message, LIMITS)
    ended = fitted.kind == EventKind.RECOVERED and fitted.facts.get("of")
    value: dict[str, object] = {
        "routing_key": channel.token.get_secret_value() if channel.token else "",
        "event_action": "resolve" if ended else "trigger",
        "dedup_key": fitted.thread_key(),
    }
    if not ended:
        value["payload"] = {
            "summary": fitted.headline,
            "source": "tocsin",
            "severity": _SEVERITY.get(fitted.severity, "info"),
            "timestamp": fitted.at,
            "class": fitted.kind,
            "custom_details": {field.label: field.value for field in (*fitted.fields, *fitted.closing)},
        }
    return Outgoing("POST", channel.url.get_secret_value(), {"content-type": "application/json"}, orjson.dumps(value))


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None


answer = None
