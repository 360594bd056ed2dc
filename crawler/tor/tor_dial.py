"""Connections to Tor's SOCKS port: the runner makes them, a crawl process requests them over its dial socket.

The crawl process can request nothing but one more connection to the SOCKS port, whose address only the runner knows.
"""

from __future__ import annotations

import asyncio
import errno
import socket

from crawler.tor.errors import tor_down
from crawler.transport.dial_socket import RETRY_SECONDS, RUNNER_ENDED, Dial, DialClient, DialFailed
from data.errors import TorDown
from data.settings.endpoint import Endpoint

# A Tor on this machine accepts a connection at once; one on another machine within a few round trips.
DIAL_SECONDS = 5.0
_TIMED_OUT = "Tor did not accept the connection in time"


async def connect_to(endpoint: Endpoint, seconds: float = DIAL_SECONDS) -> socket.socket:
    """A connected non-blocking socket.

    Raises:
        OSError: the connection is refused, or not accepted in time.
    """
    family = socket.AF_UNIX if endpoint.path else socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(seconds):
            if not endpoint.path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await asyncio.get_running_loop().sock_connect(sock, (endpoint.host, endpoint.port))
                return sock
            while True:
                # A full queue gives EAGAIN, which for a Unix socket does not mean that the connection is on its way.
                try:
                    sock.connect(endpoint.path)
                except BlockingIOError:
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    return sock
    except TimeoutError as error:
        sock.close()
        raise OSError(errno.ETIMEDOUT, "the connection was not accepted in time") from error
    except BaseException:
        sock.close()
        raise


def dial_tor(endpoint: Endpoint) -> Dial:
    """The runner's dial function for crawls over Tor: the SOCKS port, whatever target is named."""

    async def dial(target: bytes) -> socket.socket:  # noqa: ARG001 - there is one target
        return await connect_to(endpoint)

    return dial


class TorDialClient:
    """The crawl process's end for a crawl over Tor."""

    def __init__(self, sock: socket.socket) -> None:
        self._client = DialClient(sock)

    async def connect(self) -> socket.socket:
        """A socket that is connected to Tor's SOCKS port.

        Raises:
            TorDown: Tor accepts no connection, or the runner has ended.
        """
        try:
            return await self._client.connect(seconds=2 * DIAL_SECONDS)
        except DialFailed as error:
            raise _error_for(error.code) from error

    def close(self) -> None:
        """Request no more connections."""
        self._client.close()


def _error_for(code: int) -> TorDown:
    if code == RUNNER_ENDED:
        return tor_down("the runner process, which makes the connections to Tor, has ended")
    if code in (errno.ECONNREFUSED, errno.ENOENT):
        return tor_down("Tor is not running: nothing listens at its SOCKS address")
    if code in (errno.EACCES, errno.EPERM):
        return tor_down("this user has no permission to connect to Tor's SOCKS socket")
    if code == errno.ETIMEDOUT:
        return tor_down(_TIMED_OUT)
    return tor_down(f"Tor cannot be reached ({errno.errorcode.get(code, str(code))})")
