"""PagerDuty's Events API v2: an event triggers an alert, and the end of a state resolves the alert that began it."""

from __future__ import annotations

import hashlib

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
        "dedup_key": dedup_key(fitted),
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


def dedup_key(message: Message) -> str:
    """The same for all messages of a thread, and for the beginning of a lasting state, its reminders and its end.

    Two cases may send to one service, and both may have a source of the same name.
    """
    subject = message.facts.get("subject", message.facts.get("channel") if message.kind != EventKind.DIGEST else None)
    if subject is None:
        parts = [message.thread.event if message.thread is not None else message.event]
    else:
        parts = [str(message.facts.get("of") or message.kind), message.source, str(subject)]
    # names that others wrote may hold half of a character that needs two code units
    identity = "\0".join((message.case, *parts)).encode(errors="surrogatepass")
    return hashlib.sha256(identity).hexdigest()


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None


answer = None
