"""E-mail: plain text and HTML, sent through a mail server with TLS; the same alert always has the same Message-ID."""

from __future__ import annotations

import html
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.message import ChatLimits, Field, Message, fit
from data.model import Severity
from data.settings.settings import Channel

KIND = "email"
# Mail servers take 10 MB and more; a line of a header has at most 998 characters (RFC 5322, 2.1.1).
LIMITS = ChatLimits(
    source="RFC 5321, 4.5.3.1 (64 KB of message content, at least); RFC 5322, 2.1.1 (998 characters a line)",
    title=250, field=4_000, fields=60, text=20_000, body=64 * 1024,
)  # fmt: skip


def _size(text: str) -> int:
    """Bytes of a text as plain text; HTML and encoding together take about twice as much again."""
    return len(text.encode())


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:  # noqa: ARG001 - as all do
    """The mail, for `scheduler.delivery.mail`; programs that know its Message-ID show an alert that is sent twice once."""
    fitted = fit(message, LIMITS, _size)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name="Tocsin", addr_spec=channel.sender)
    mail["To"] = [Address(addr_spec=each) for each in channel.recipients]
    mail["Subject"] = fitted.headline
    mail["Date"] = format_datetime(datetime.fromisoformat(fitted.at))
    mail["Message-ID"] = f"<{alert}@tocsin.invalid>"
    if message.thread is not None:
        first = f"<{message.thread.alert}@tocsin.invalid>"
        mail["In-Reply-To"], mail["References"] = first, first
    # no automatic answer (RFC 3834), and what most programs show as important
    mail["Auto-Submitted"] = "auto-generated"
    if fitted.severity is Severity.CRITICAL:
        mail["Importance"] = "high"
    mail.set_content(fitted.text + "\n", cte="quoted-printable")
    items = "".join(map(_item, (*fitted.fields, *fitted.closing)))
    mail.add_alternative(
        f"<html><body><p><b>{html.escape(fitted.headline)}</b></p><ul>{items}</ul></body></html>\n",
        subtype="html", cte="quoted-printable",
    )  # fmt: skip
    headers = {"from": channel.sender, "to": ", ".join(channel.recipients)}
    return Outgoing("SMTP", channel.url.get_secret_value(), headers, mail.as_bytes())


def _item(field: Field) -> str:
    return f"<li><b>{html.escape(field.opening.rstrip())}</b> {html.escape(field.value).replace(chr(10), '<br>')}</li>"


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: mail servers do not say when to try again."""
    return None


answer = None
