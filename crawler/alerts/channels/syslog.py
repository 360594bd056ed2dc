"""Syslog: one message in the form of RFC 5424, whose text is an event in ArcSight's Common Event Format (CEF)."""

from __future__ import annotations

import os
import re
import socket
from datetime import UTC, datetime
from functools import cache

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Message, fit
from crawler.alerts.plain_text import sanitize
from data.model import Severity
from data.settings.settings import Channel

KIND = "syslog"
# rsyslog cuts messages at 8 KiB (`global(maxMessageSize)`); RFC 5424, 6.1 asks receivers for 2,048 bytes.
LIMITS = ChatLimits(
    source="rsyslog, global(maxMessageSize): 8k",
    title=250, field=1_500, fields=40, text=5_500, body=8_000,
)  # fmt: skip
# RFC 5424, 6.2.1: facility 16 (local use 0), severities critical, warning, notice and informational.
_FACILITY = 16
_PRIORITY = {Severity.CRITICAL: 2, Severity.WARNING: 4, Severity.NOTICE: 5, Severity.INFO: 6}
_CEF_SEVERITY = {Severity.CRITICAL: 10, Severity.WARNING: 6, Severity.NOTICE: 3, Severity.INFO: 1}
_BOM = "\ufeff"


def _in_header(text: str) -> str:
    return re.sub(r"([\\|])", r"\\\1", text.replace("\n", " "))


def _in_extension(text: str) -> str:
    return re.sub(r"([\\=])", r"\\\1", text).replace("\r", " ").replace("\n", "\\n")


def _size(text: str) -> int:
    return len(_in_extension(text).encode())


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("tocsin")


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The frame for `scheduler.delivery.syslog`: the number of bytes, a space and the message (RFC 6587, 3.4.1)."""
    fitted = fit(message, LIMITS, _size)
    at = datetime.fromisoformat(fitted.at).astimezone(UTC)
    host = re.sub(r"[^\x21-\x7e]", "", socket.gethostname())[:255] or "-"
    header = (
        f"<{_FACILITY * 8 + _PRIORITY[fitted.severity]}>1 {at:%Y-%m-%dT%H:%M:%SZ} {host} tocsin {os.getpid()}"
        f" {fitted.kind[:32]} -"
    )
    severity = _CEF_SEVERITY[fitted.severity]
    cef = f"CEF:0|Tocsin|tocsin|{_in_header(_version())}|{fitted.kind}|{_in_header(fitted.title)}|{severity}|"
    extension = {
        "rt": str(int(at.timestamp() * 1000)),
        "externalId": alert,
        "cs1Label": "event",
        "cs1": fitted.event,
        "cs2Label": "source",
        "cs2": sanitize(fitted.source),
        **({"cs3Label": "thread", "cs3": fitted.thread.event} if fitted.thread is not None else {}),
        "msg": fitted.text,
    }
    shown = " ".join(f"{key}={_in_extension(value)}" for key, value in extension.items() if value)
    body = f"{header} {_BOM}{cef}{shown}".encode()
    return Outgoing("SYSLOG", channel.url.get_secret_value(), {}, b"%d %b" % (len(body), body))


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: a syslog server answers nothing."""
    return None


answer = None
