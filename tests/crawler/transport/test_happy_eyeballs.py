"""Several addresses of one name at real sockets: one that accepts is used, whatever the others do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.transport.happy_eyeballs import MAX_ADDRESSES, connect_first

V4, V6 = socket.AF_INET, socket.AF_INET6


def full_server(address: str, port: int, kept: contextlib.ExitStack) -> None:
    """A server whose queue is full: the kernel answers no further attempt to connect, as a dead host does."""
    server = kept.enter_context(socket.socket())
    server.bind((address, port))
    server.listen(0)
    for _ in range(2):
        filling = kept.enter_context(socket.socket())
        filling.setblocking(False)
        filling.connect_ex((address, port))


@pytest.fixture
def kept() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def server_at(address: str, kept: contextlib.ExitStack) -> int:
    family = V6 if ":" in address else V4
    server = kept.enter_context(socket.create_server((address, 0), family=family))
    return server.getsockname()[1]


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def connected(addresses, port: int) -> str:
    """The address that was connected to; with a limit that no attempt after another would keep."""

    async def go() -> str:
        async with asyncio.timeout(30):
            with await connect_first(addresses, port) as sock:
                assert not sock.getblocking()
                return sock.getpeername()[0]

    return asyncio.run(go())


@pytest.mark.slow
def test_dead_addresses_cost_a_quarter_of_a_second_each_and_leave_no_socket(kept):
    port = server_at("127.0.0.9", kept)
    dead = [f"127.0.0.{number}" for number in range(2, 9)]
    for address in dead:
        full_server(address, port, kept)
    before = open_descriptors()
    assert connected([(V4, address) for address in [*dead, "127.0.0.9"]], port) == "127.0.0.9"
    assert open_descriptors() == before


def test_after_an_address_that_refuses_the_next_is_tried(kept):
    port = server_at("127.0.0.3", kept)
    assert connected([(V4, "127.0.0.2"), (V4, "127.0.0.3")], port) == "127.0.0.3"


def test_the_families_take_turns(kept):
    port = server_at("::1", kept)
    refusing = [(V4, f"127.0.0.{number}") for number in range(2, 2 + MAX_ADDRESSES)]
    assert connected([*refusing, (V6, "::1")], port) == "::1", "it is tried second, not after all the others"


def test_the_last_error_is_raised_if_no_address_accepts(kept):
    port = server_at("127.0.0.1", kept)
    with pytest.raises(ConnectionRefusedError):
        connected([(V4, "127.0.0.2"), (V4, "127.0.0.3")], port)
    with pytest.raises(ConnectionRefusedError):
        connected([(V4, f"127.0.0.{number}") for number in range(2, 2 + MAX_ADDRESSES)] + [(V4, "127.0.0.1")], port)
