"""Sending one mail to a mail server: TLS always, except to this machine, and every refused recipient is told."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crawler.alerts.channels.registry import Outgoing, masked
from data.errors import DeliveryDeferred, DeliveryRefused
from data.plural import counted
from data.settings.settings import Channel

if TYPE_CHECKING:
    from aiosmtplib import SMTPResponseException

PORTS = {"smtp": 587, "smtps": 465}


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def send_mail(channel: Channel, outgoing: Outgoing) -> int:
    """Send a mail; returns the status of the mail server's last answer, 250.

    Raises:
        DeliveryDeferred: the server cannot be reached, does not answer in time, or refuses for now (4xx).
        DeliveryRefused: the server refuses the login, the sender, the mail or a recipient (5xx), or has no TLS. The
            recipients that it took have got the mail.
    """
    import aiosmtplib

    parts, shown = urlsplit(outgoing.url), masked(outgoing.url)
    host = parts.hostname or ""
    client = aiosmtplib.SMTP(
        hostname=host,
        port=parts.port or PORTS[parts.scheme],
        use_tls=parts.scheme == "smtps",
        start_tls=False,
        timeout=None,
    )
    try:
        async with asyncio.timeout(channel.timeout.total_seconds()):
            await client.connect()
            if parts.scheme == "smtp" and not _is_this_machine(host):
                await client.ehlo()
                if not client.supports_extension("starttls"):
                    raise DeliveryRefused(f"{shown} offers no TLS", hint="name a server that does")
                await client.starttls()
            if channel.user:
                await client.login(channel.user, channel.token.get_secret_value() if channel.token else "")
            refused, _ = await client.sendmail(channel.sender, list(channel.recipients), outgoing.body)
    except TimeoutError as error:
        raise DeliveryDeferred(f"{shown} did not respond within {channel.timeout.total_seconds():g} s") from error
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _refusal(shown, error.recipients[0], counted(len(error.recipients), "recipient")) from error
    except aiosmtplib.SMTPResponseException as error:
        raise _refusal(shown, error, "the mail") from error
    except aiosmtplib.SMTPNotSupported as error:
        raise DeliveryRefused(f"{shown} offers no login", hint="remove user and token") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise DeliveryDeferred(f"{shown} cannot be reached ({type(error).__name__})") from error
    finally:
        # without QUIT: the server has the mail, and whether it also says goodbye must not decide if it was sent
        transport = client.transport
        client.close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
        # asyncio closes the socket in its next round, which may be the last one of a command
        await asyncio.sleep(0)
    if refused:
        status = max(code for code, _ in refused.values())
        raise DeliveryRefused(
            f"{shown} refused {counted(len(refused), 'recipient')} ({status}); the others have the mail",
            status=status,
            hint="correct the channel's recipients",
        )
    return 250


def _refusal(shown: str, error: SMTPResponseException, what: str) -> DeliveryDeferred | DeliveryRefused:
    if 400 <= error.code < 500:
        return DeliveryDeferred(f"{shown} refused {what} for now ({error.code})", status=error.code)
    return DeliveryRefused(
        f"{shown} refused {what} ({error.code})", status=error.code, hint="check login, sender and recipients"
    )
