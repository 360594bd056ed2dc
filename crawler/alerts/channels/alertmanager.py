"""Prometheus Alertmanager, API v2: an event fires an alert, and the end of a lasting state resolves the alert that began it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from crawler.alerts.plain_text import sanitize
from data.model import EventKind, Severity
from data.settings.settings import Channel

KIND = "alertmanager"
# Alertmanager has no limit of its own; what it sends on carries all annotations of a group, and its receivers have limits.
LIMITS = ChatLimits(
    source="our own; Alertmanager's openapi.yaml (api/v2) sets none",
    title=250, field=4_000, fields=60, text=12_000, body=64 * 1024,
)  # fmt: skip
# An alert that does not say until when it fires resolves after `resolve_timeout` (5 min). The end of a state is told when it
# comes, and its reminders (each `daemon.remind_every`) make it fire on; a happening has no end, and is no news after a day.
SUBJECT_FIRES, HAPPENING_FIRES = timedelta(days=30), timedelta(days=1)


def _size(text: str) -> int:
    """Bytes of a text in JSON."""
    return len(orjson.dumps(text))


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The POST to `/api/v2/alerts`.

    Labels are what Alertmanager tells alerts apart by, so that an alert which is sent twice is one, and a state has the same
    labels from its beginning to its end. `thread` is the same for all that belongs together: the label to group by.
    """
    fitted, now = fit(message, LIMITS, _size), datetime.fromtimestamp(timestamp, UTC)
    # the end of a state that is told late, or a clock that was set back, must not end before it begins
    at = min(datetime.fromisoformat(fitted.at), now)
    began = str(fitted.facts.get("began") or "")
    starts = min(datetime.fromisoformat(began), at) if began else at
    state, ended = str(fitted.facts.get("of") or fitted.kind), fitted.kind == EventKind.RECOVERED
    # a warning that nothing ends has a subject too
    lasting = message.state_key is not None and not fitted.facts.get("once")
    ends = at if ended and lasting else now + (SUBJECT_FIRES if lasting else HAPPENING_FIRES)
    severities = [fitted.severity]
    if ended and lasting:
        # a state may have begun with any of them, and become more severe; the end of an alert that does not fire tells nothing
        severities = list(Severity)
    labels = {
        "alertname": f"tocsin_{state if lasting else fitted.kind}",
        "case": sanitize(fitted.case),
        "source": sanitize(fitted.source),
        "thread": message.thread_key(),
        # a happening is an alert of its own in the group of its thread
        "event": "" if lasting else fitted.event,
    }
    fields = {field.label: field.value for field in (*fitted.fields, *fitted.closing)}
    annotations = {"summary": fitted.headline, "description": "\n".join(f"{k}: {v}" for k, v in fields.items())}
    value = [
        {
            "labels": {name: text for name, text in (labels | {"severity": each.value}).items() if text},
            "annotations": annotations,
            "startsAt": starts.isoformat(),
            "endsAt": ends.isoformat(),
            **({"generatorURL": fitted.link} if fitted.link.startswith(("https://", "http://")) else {}),
        }
        for each in severities
    ]
    headers = {"content-type": "application/json"}
    if channel.token is not None:
        headers["authorization"] = f"Bearer {channel.token.get_secret_value()}"
    return Outgoing("POST", channel.url.get_secret_value().rstrip("/") + "/api/v2/alerts", headers, orjson.dumps(value))


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: Alertmanager does not say when to try again."""
    return None


answer = None
