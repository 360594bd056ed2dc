"""The runner's connections for crawls of the clear web: to declared hosts, never into a private network by a name."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator

import pytest

from crawler.transport.dial_socket import (
    NOT_ALLOWED,
    PRIVATE_ADDRESS,
    UNKNOWN_NAME,
    DialClient,
    DialFailed,
    DialServer,
    dial_socket_pair,
)
from scheduler.crawls.direct_dial import DirectDial


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def dialled(allowed: set[tuple[str, int]], target: str, seconds: float = 10.0) -> int:
    """0 if the crawl's end of a dial socket got a connection, else the code of the failure."""

    async def go() -> int:
        ours, theirs = dial_socket_pair()
        server, client = DialServer(ours, DirectDial(allowed, seconds)), DialClient(theirs)
        try:
            connected = await client.connect(target.encode(), seconds=seconds + 1)
        except DialFailed as error:
            return error.code
        else:
            connected.close()
            return 0
        finally:
            server.close()
            client.close()

    return asyncio.run(go())


def test_a_declared_address_is_connected_to(port):
    assert dialled({("127.0.0.1", port)}, f"127.0.0.1:{port}") == 0


@pytest.mark.parametrize(
    "target", ["127.0.0.1:1", "127.0.0.2:{port}", "localhost:{port}", "nonsense", "127.0.0.1:x", ":", "é:80"]
)
def test_what_is_not_declared_is_refused(port, target):
    assert dialled({("127.0.0.1", port)}, target.format(port=port)) == NOT_ALLOWED


def test_a_declared_name_that_leads_to_this_machine_is_refused(port):
    assert dialled({("localhost", port)}, f"localhost:{port}") == PRIVATE_ADDRESS


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1.", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "localhost.", "0", "0.0.0.0."],
)
def test_no_way_of_writing_this_machine_is_connected_to(port, host):
    # resolvers differ in which of these they take for an address, which for a name, and which for neither
    assert dialled({(host, port)}, f"{host}:{port}") in {PRIVATE_ADDRESS, UNKNOWN_NAME}


@pytest.mark.parametrize("host", ["[::ffff:127.0.0.1]", "[::1]", "127.0.0.1.", "0x7f.1", "2130706433", "localhost."])
def test_an_address_in_another_form_than_declared_is_refused(port, host):
    assert dialled({("127.0.0.1", port)}, f"{host}:{port}") == NOT_ALLOWED


def test_such_a_name_is_connected_to_where_its_address_is_declared_as_well(port):
    assert dialled({("localhost", port), ("127.0.0.1", port)}, f"localhost:{port}") == 0


def test_failures_have_their_codes(port):
    assert dialled({("tocsin.invalid", 80)}, "tocsin.invalid:80") == UNKNOWN_NAME
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unused = closed.getsockname()[1]
    assert dialled({("127.0.0.1", unused)}, f"127.0.0.1:{unused}") == errno.ECONNREFUSED


def test_an_error_of_any_kind_while_dialling_is_answered_at_once():
    async def broken(_target: bytes) -> socket.socket:
        raise ZeroDivisionError

    async def go() -> int:
        ours, theirs = dial_socket_pair()
        server, client = DialServer(ours, broken), DialClient(theirs)
        try:
            await client.connect(b"x", seconds=600)
        except DialFailed as error:
            return error.code
        finally:
            server.close()
            client.close()
        return 0

    assert asyncio.run(asyncio.wait_for(go(), 60)) == errno.EIO
