"""Connections through Tor's SOCKS port for httpcore2: the handshake, the choice of circuits, and the stream.

This module creates no sockets; `crawler.tor.tor_dial` gives one that is connected to the SOCKS port. Host names are
passed to Tor unchanged: no other resolver sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address
from socket import socket
from typing import Any

import httpcore2

from crawler.tor.errors import CIRCUIT_FAULTS, connect_timeout, error_for, tor_down
from crawler.transport.tls import check_pin, refusal_of
from data.errors import CertificateRefused, TorDown

# Tor answers the greeting without using the network; a Tor that does not answer it in time is frozen.
GREETING_SECONDS = 5.0
BUFFER = 256 * 1024


class CircuitIdentity:
    """The SOCKS user of a source: Tor uses different circuits for different SOCKS users.

    Attributes:
        epoch: how often the user name was changed to get new circuits.
    """

    def __init__(self, user: str, secret: str, *, renew_after: int) -> None:
        """An identity that changes its user name after `renew_after` failures of circuits in a row."""
        self._user, self._secret, self._renew_after = user, secret, renew_after
        self.epoch = 0
        self._failed = 0

    def credentials(self) -> tuple[bytes, bytes]:
        """User name and password for the SOCKS port."""
        user = f"{self._user}:{self.epoch}" if self.epoch else self._user
        return user.encode()[:255], self._secret.encode()[:255]

    def note_success(self) -> None:
        """Count a connection that was made."""
        self._failed = 0

    def note_failure(self, epoch: int) -> None:
        """Count a failed circuit that was requested in `epoch`; after `renew_after` in a row new circuits are used."""
        if epoch != self.epoch:
            return
        self._failed += 1
        if self._failed >= self._renew_after:
            self.epoch, self._failed = self.epoch + 1, 0


class SocksStream(httpcore2.AsyncNetworkStream):
    """A connection to a site through Tor."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes; b"" at the end."""
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout from error
        except OSError as error:
            raise httpcore2.ReadError from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all bytes; a few may still wait in the buffer on return."""
        if not buffer:
            return
        try:
            self._writer.write(buffer)
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore2.WriteTimeout from error
        except OSError as error:
            raise httpcore2.WriteError from error

    async def aclose(self) -> None:
        """Close the connection."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection, encrypted with TLS."""
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
            check_pin(ssl_context, self._writer.get_extra_info("ssl_object"))
        except CertificateRefused:
            self._writer.close()
            raise
        except ssl.SSLCertVerificationError as error:
            self._writer.close()
            raise refusal_of(error) from error
        except TimeoutError as error:
            self._writer.close()
            raise httpcore2.ConnectTimeout from error
        except OSError as error:
            self._writer.close()
            raise httpcore2.ConnectError from error
        return self

    def get_extra_info(self, info: str) -> Any:
        """The value of `ssl_object` or `is_readable` (whether an idle connection has ended); None for other names."""
        if info == "ssl_object":
            return self._writer.get_extra_info("ssl_object")
        if info == "is_readable":
            return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()
        # There is no peer address: only Tor knows the address of the site.
        return None


class TorBackend(httpcore2.AsyncNetworkBackend):
    """Makes every connection through Tor: it has no other way to make one.

    Args:
        dial: returns a socket that is connected to the SOCKS port; raises TorDown.
        identity: decides which circuits are used.
        max_wait: seconds to wait for a Tor that cannot be reached.
        on_give_up: called when Tor did not come back within `max_wait`.
        retry_seconds: pause between attempts meanwhile.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[socket]],
        identity: CircuitIdentity,
        *,
        max_wait: float,
        on_give_up: Callable[[TorDown], None],
        retry_seconds: float = 0.5,
    ) -> None:
        self._dial, self._identity = dial, identity
        self._max_wait, self._retry_seconds, self._on_give_up = max_wait, retry_seconds, on_give_up
        self._down_since: float | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - part of httpcore2's interface
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - part of httpcore2's interface
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to a site.

        Raises:
            TorDown: Tor cannot be used.
            TorFailed, TorRefused: Tor did not reach the site; a later attempt may succeed (TorFailed) or cannot.
        """
        reader, writer = await self._authenticated()
        epoch = self._identity.epoch
        seconds = timeout or 60.0
        code = None
        try:
            async with asyncio.timeout(seconds):
                writer.write(b"\x05\x01\x00" + _address(host) + port.to_bytes(2, "big"))
                code = await _read_reply(reader)
        except TimeoutError as error:
            self._identity.note_failure(epoch)
            raise connect_timeout(seconds) from error
        except (OSError, EOFError) as error:
            raise tor_down("Tor closed the connection before it answered") from error
        finally:
            if code != 0:
                writer.close()
        if code:
            if code in CIRCUIT_FAULTS:
                self._identity.note_failure(epoch)
            raise error_for(code)
        self._identity.note_success()
        return SocksStream(reader, writer)

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002 - part of httpcore2's interface
        timeout: float | None = None,  # noqa: ARG002 - part of httpcore2's interface
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - part of httpcore2's interface
    ) -> httpcore2.AsyncNetworkStream:
        """Always raises TorDown: no site is reached over a Unix socket."""
        raise tor_down("sites are never contacted over a Unix socket")

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        await asyncio.sleep(seconds)

    async def _authenticated(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the SOCKS port that accepted our identity; waits for a Tor that cannot be reached."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                connection = await self._authenticate(await self._dial())
            except TorDown as error:
                if self._down_since is None:
                    self._down_since = clock()
                if clock() - self._down_since >= self._max_wait:
                    self._on_give_up(error)
                    raise
                await asyncio.sleep(self._retry_seconds)
            else:
                self._down_since = None
                return connection

    async def _authenticate(self, sock: socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER)
        user, password = self._identity.credentials()
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                # Only authentication by user name is offered, so that circuits of other sources are never used.
                writer.write(b"\x05\x01\x02")
                choice = await reader.readexactly(2)
                if choice[0] != 5:
                    raise tor_down(
                        "Tor's SOCKS address is not a SOCKS port: it answers with another protocol (HTTP proxy?)"
                    )
                if choice[1] != 2:
                    raise tor_down(
                        "the SOCKS port accepts no user names: it is not a Tor, or shares circuits between users"
                    )
                writer.write(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
                if (await reader.readexactly(2))[1] != 0:
                    raise tor_down("the SOCKS port refuses our user name")
        except TimeoutError as error:
            writer.close()
            raise tor_down("Tor is frozen: its SOCKS port accepts connections, but does not answer") from error
        except (OSError, EOFError) as error:
            writer.close()
            raise tor_down("Tor's SOCKS port closed the connection at once") from error
        except BaseException:
            writer.close()
            raise
        return reader, writer


def _address(host: str) -> bytes:
    """The address as SOCKS encodes it: an IP address in binary form, anything else as a name for Tor to resolve."""
    try:
        number = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        name = host.encode("ascii")
        return b"\x03" + bytes([len(name)]) + name
    return (b"\x01" if number.version == 4 else b"\x04") + number.packed


async def _read_reply(reader: asyncio.StreamReader) -> int:
    version, code, _, kind = await reader.readexactly(4)
    if version != 5:
        raise tor_down("Tor's SOCKS address is not a SOCKS port")
    length = {1: 4, 4: 16}.get(kind)
    if length is None:
        length = (await reader.readexactly(1))[0]
    await reader.readexactly(length + 2)
    return int(code)


async def probe_socks_port(sock: socket, seconds: float = GREETING_SECONDS) -> int:
    """The reply code of a SOCKS port for an invalid onion address: 0xF6 from a Tor with ExtendedErrors.

    Tor sees at once that the checksum is wrong, and sends nothing over the network.

    Raises:
        TorDown: it is not a Tor, or does not answer.
    """

    async def dial() -> socket:
        return sock

    identity = CircuitIdentity("tocsin-doctor", "x", renew_after=1)
    backend = TorBackend(dial, identity, max_wait=0, on_give_up=lambda _: None)
    reader, writer = await backend._authenticated()
    try:
        async with asyncio.timeout(seconds):
            writer.write(b"\x05\x01\x00" + _address("a" * 56 + ".onion") + b"\0\x50")
            return await _read_reply(reader)
    except (TimeoutError, OSError, EOFError) as error:
        raise tor_down("Tor did not answer in time") from error
    finally:
        writer.close()
