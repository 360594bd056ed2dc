"""Sending one message to a syslog server, over TCP or TLS."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

from crawler.alerts.channels.registry import Outgoing, masked
from data.errors import DeliveryDeferred
from data.settings.settings import Channel

# RFC 3195 and RFC 5425 give these ports.
PORTS = {"tcp": 601, "tls": 6514}
SENT = 200
"""The status of a message that was sent: a syslog server has no answer of its own."""


async def send_syslog(channel: Channel, outgoing: Outgoing) -> int:
    """Send a message and wait until the server has closed the connection after it, which is all the receipt there is.

    Raises:
        DeliveryDeferred: the server cannot be reached, is silent, has no valid certificate, or ended the connection
            before the message did.
    """
    parts, shown = urlsplit(outgoing.url), masked(outgoing.url)
    context = ssl.create_default_context() if parts.scheme == "tls" else None
    writer = None
    try:
        async with asyncio.timeout(channel.timeout.total_seconds()):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port or PORTS[parts.scheme], ssl=context
            )
            writer.write(outgoing.body)
            await writer.drain()
            # the server has read everything once it closes its side too; a reset says that it has not
            if writer.can_write_eof():
                writer.write_eof()
                while await reader.read(4096):
                    pass
            else:
                writer.close()
                await writer.wait_closed()
    except TimeoutError as error:
        raise DeliveryDeferred(f"{shown} did not take the message in {channel.timeout.total_seconds():g} s") from error
    except ssl.SSLCertVerificationError as error:
        raise DeliveryDeferred(f"{shown} has a certificate that is not valid for it") from error
    except (OSError, ssl.SSLError) as error:
        raise DeliveryDeferred(f"{shown} cannot be reached ({type(error).__name__})") from error
    finally:
        if writer is not None:
            writer.transport.abort()
            # asyncio closes the socket in its next round, which may be the last one of a command
            await asyncio.sleep(0)
    return SENT
