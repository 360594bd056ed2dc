"""Connects to the first of several addresses that accepts: attempts begin one after another and run side by side.

Source: RFC 8305, "Happy Eyeballs Version 2".
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest

# RFC 8305, section 5: the recommended Connection Attempt Delay.
ATTEMPT_DELAY = 0.25
# A name server may name any number of addresses: a site with more of them has these to accept a connection.
MAX_ADDRESSES = 8

Address = tuple[socket.AddressFamily, str]


async def connect_first(addresses: Sequence[Address], port: int) -> socket.socket:
    """A connected, non-blocking socket to the address that accepted first; the other attempts are given up.

    The next address is tried after `ATTEMPT_DELAY`, or at once if an attempt fails. The caller sets the time limit.

    Args:
        addresses: in order of preference, at least one; the first `MAX_ADDRESSES` are used, families taking turns.
        port: of all of them.

    Raises:
        OSError: no address accepts the connection; the error is that of the last attempt.
    """
    waiting = deque(_families_in_turn(addresses)[:MAX_ADDRESSES])
    running: set[asyncio.Task[socket.socket]] = set()
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "there is no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(_connect(waiting.popleft(), port)))
            delay = ATTEMPT_DELAY if waiting else None
            ended, _ = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for attempt in ended:
                error = attempt.exception()
                if error is None:
                    running.remove(attempt)
                    return attempt.result()
                running.remove(attempt)
                if not isinstance(error, OSError):
                    raise error
                failure = error
        raise failure
    finally:
        await _give_up(running)


def _families_in_turn(addresses: Sequence[Address]) -> list[Address]:
    """The addresses with the families of the first and of the other ones in turn (RFC 8305, section 4)."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]


async def _connect(address: Address, port: int) -> socket.socket:
    family, host = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _give_up(attempts: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel attempts, and close the sockets of those that have just succeeded."""
    for attempt in attempts:
        attempt.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()
