"""The runner's connections for crawls of the clear web: to declared hosts only, and never into a private network.

A crawl process names `HOST:PORT`. The allow-list is checked once more here, in a process that no page of a site can
influence, and the name is resolved here, so that the crawl process needs no resolver.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from crawler.transport.dial_socket import NOT_ALLOWED, PRIVATE_ADDRESS, UNKNOWN_NAME, DialFailed
from crawler.transport.happy_eyeballs import Address, connect_first
from crawler.transport.public_addresses import is_public

DNS_SECONDS = 20.0

# Threads of their own: name servers that do not answer must not keep crawls from being started.
_RESOLVING = ThreadPoolExecutor(32, "resolving")

Pairs = Collection[tuple[str, int]]


class DirectDial:
    """Connects to the declared hosts of one source.

    Args:
        allowed: the (host, port) pairs of the source.
        seconds: total time limit of one connection.
    """

    def __init__(self, allowed: Pairs, seconds: float) -> None:
        self._allowed, self._seconds = frozenset(allowed), seconds

    async def __call__(self, target: bytes) -> socket.socket:
        """A connected, non-blocking socket.

        Raises:
            DialFailed: the target is not declared, its name is unknown, or it leads into a private network.
            OSError: no address of it accepts the connection in time.
        """
        host, port = _parse(target)
        if (host, port) not in self._allowed:
            raise DialFailed(NOT_ALLOWED)
        try:
            async with asyncio.timeout(self._seconds):
                return await connect_first(await self._addresses(host, port), port)
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, "the connection was not accepted in time") from error

    async def _addresses(self, host: str, port: int) -> list[Address]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        try:
            async with asyncio.timeout(min(DNS_SECONDS, self._seconds)):
                found = await asyncio.get_running_loop().run_in_executor(_RESOLVING, look_up)
        except (socket.gaierror, UnicodeError) as error:
            raise DialFailed(UNKNOWN_NAME) from error
        addresses = list(dict.fromkeys((family, str(place[0])) for family, _, _, _, place in found))
        permitted: list[Address] = [each for each in addresses if self._may_reach(host, each[1], port)]
        if not permitted:
            raise DialFailed(PRIVATE_ADDRESS if addresses else UNKNOWN_NAME)
        return permitted

    def _may_reach(self, host: str, address: str, port: int) -> bool:
        """Whether a name may lead to an address: a private or loopback address must be declared itself.

        Otherwise whoever controls the name server of a declared site could point the site's name at services of the
        operator's own network.
        """
        numbers = address.partition("%")[0]
        return is_public(numbers) or host == numbers or (numbers, port) in self._allowed


def _parse(target: bytes) -> tuple[str, int]:
    try:
        host, _, port = target.decode("ascii").rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)
    except ValueError as error:
        raise DialFailed(NOT_ALLOWED) from error
