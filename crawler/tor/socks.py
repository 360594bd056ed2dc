"""Connections through Tor's SOCKS port for httpcore2: the handshake, the identity whose circuits are used, the stream.

Nothing here makes a socket; `crawler.tor.dial_socket` gives one that is connected to the SOCKS port. Names go to Tor
as they are: nobody else is asked for them.
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

from crawler.tor.errors import CIRCUIT, error_of, gone, slow
from data.errors import TorDown

# A Tor answers the greeting out of its own memory; one that does not is frozen.
GREETING_SECONDS = 5.0
BUFFER = 256 * 1024


class Identity:
    """Whose circuits a source uses: Tor keeps streams of different SOCKS users on different circuits.

    Attributes:
        epoch: counts the renewals.
    """

    def __init__(self, user: str, secret: str, *, renew_after: int) -> None:
        self._user, self._secret, self._renew_after = user, secret, renew_after
        self.epoch = 0
        self._failed = 0

    def credentials(self) -> tuple[bytes, bytes]:
        """User name and password for the SOCKS port."""
        user = f"{self._user}:{self.epoch}" if self.epoch else self._user
        return user.encode()[:255], self._secret.encode()[:255]

    def worked(self) -> None:
        """A connection came."""
        self._failed = 0

    def failed(self, epoch: int) -> None:
        """A circuit failed that was asked for at an epoch; after some in a row the next connection gets new circuits."""
        if epoch != self.epoch:
            return
        self._failed += 1
        if self._failed >= self._renew_after:
            self.epoch, self._failed = self.epoch + 1, 0


class SocksStream(httpcore2.AsyncNetworkStream):
    """A connection to a site, through Tor."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes, none at the end."""
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout from error
        except OSError as error:
            raise httpcore2.ReadError from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Hand all bytes to the kernel, or nearly all."""
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
        """Close it."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection, encrypted."""
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError as error:
            self._writer.close()
            raise httpcore2.ConnectTimeout from error
        except OSError as error:
            self._writer.close()
            raise httpcore2.ConnectError from error
        return self

    def get_extra_info(self, info: str) -> Any:
        """`ssl_object`, and `is_readable`: whether an idle connection has ended."""
        if info == "ssl_object":
            return self._writer.get_extra_info("ssl_object")
        if info == "is_readable":
            return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()
        # neither end of it is the site: its address is known to Tor alone
        return None


class TorBackend(httpcore2.AsyncNetworkBackend):
    """Makes every connection through Tor, for there is nothing else it could make one with.

    Args:
        dial: gives a socket that is connected to the SOCKS port; raises TorDown.
        identity: whose circuits.
        pause: seconds between tries while Tor is away.
        patience: seconds for which a Tor that went away is waited for.
        stays_down: called once when it did not come back.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[socket]],
        identity: Identity,
        *,
        patience: float,
        stays_down: Callable[[TorDown], None],
        pause: float = 0.5,
    ) -> None:
        self._dial, self._identity = dial, identity
        self._patience, self._pause, self._stays_down = patience, pause, stays_down
        self._away_since: float | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - the interface's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - the interface's
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to a site.

        Raises:
            TorDown, TorFailed, TorRefused: there is none.
        """
        reader, writer = await self._greeted()
        epoch = self._identity.epoch
        longest = timeout or 60.0
        code = None
        try:
            async with asyncio.timeout(longest):
                writer.write(b"\x05\x01\x00" + _address(host) + port.to_bytes(2, "big"))
                code = await _reply(reader)
        except TimeoutError as error:
            self._identity.failed(epoch)
            raise slow(longest) from error
        except (OSError, EOFError) as error:
            raise gone("Tor ended the connection before it answered") from error
        finally:
            if code != 0:
                writer.close()
        if code:
            if code in CIRCUIT:
                self._identity.failed(epoch)
            raise error_of(code)
        self._identity.worked()
        return SocksStream(reader, writer)

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002 - the interface's
        timeout: float | None = None,  # noqa: ARG002 - the interface's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - the interface's
    ) -> httpcore2.AsyncNetworkStream:
        """Never."""
        raise gone("a Unix socket is no road to a site")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _greeted(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the SOCKS port that took our identity; waits for a Tor that is away."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                greeted = await self._greet(await self._dial())
            except TorDown as error:
                if self._away_since is None:
                    self._away_since = clock()
                if clock() - self._away_since >= self._patience:
                    self._stays_down(error)
                    raise
                await asyncio.sleep(self._pause)
            else:
                self._away_since = None
                return greeted

    async def _greet(self, sock: socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER)
        user, password = self._identity.credentials()
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                # only with a name, so that no other source's circuits are ever used
                writer.write(b"\x05\x01\x02")
                choice = await reader.readexactly(2)
                if choice[0] != 5:
                    raise gone("what answers at Tor's SOCKS address is no SOCKS port (an HTTP proxy?)")
                if choice[1] != 2:
                    raise gone("the SOCKS port takes no user names: it is no Tor, or one that mixes circuits")
                writer.write(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
                if (await reader.readexactly(2))[1] != 0:
                    raise gone("the SOCKS port refuses our user name")
        except TimeoutError as error:
            writer.close()
            raise gone("Tor is frozen: its SOCKS port takes connections and says nothing") from error
        except (OSError, EOFError) as error:
            writer.close()
            raise gone("Tor's SOCKS port ended the connection at once") from error
        except BaseException:
            writer.close()
            raise
        return reader, writer


def _address(host: str) -> bytes:
    """The address as SOCKS writes it: numbers as numbers, all else as a name that Tor has to resolve."""
    try:
        number = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        name = host.encode("ascii")
        return b"\x03" + bytes([len(name)]) + name
    return (b"\x01" if number.version == 4 else b"\x04") + number.packed


async def _reply(reader: asyncio.StreamReader) -> int:
    version, code, _, kind = await reader.readexactly(4)
    if version != 5:
        raise gone("what answers at Tor's SOCKS address is no SOCKS port")
    length = {1: 4, 4: 16}.get(kind)
    if length is None:
        length = (await reader.readexactly(1))[0]
    await reader.readexactly(length + 2)
    return int(code)


async def probe(sock: socket, seconds: float = GREETING_SECONDS) -> int:
    """The code that a SOCKS port gives for an address that cannot be one: 0xF6 from a Tor that says all it knows.

    Tor sees at once that the checksum is wrong; nothing goes out for it.

    Raises:
        TorDown: it is no Tor, or does not answer.
    """

    async def dial() -> socket:
        return sock

    backend = TorBackend(dial, Identity("tocsin-doctor", "x", renew_after=1), patience=0, stays_down=lambda _: None)
    reader, writer = await backend._greeted()
    try:
        async with asyncio.timeout(seconds):
            writer.write(b"\x05\x01\x00" + _address("a" * 56 + ".onion") + b"\0\x50")
            return await _reply(reader)
    except (TimeoutError, OSError, EOFError) as error:
        raise gone("Tor does not answer in time") from error
    finally:
        writer.close()
