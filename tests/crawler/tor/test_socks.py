"""The SOCKS handshake with real sockets that answer correctly, wrongly or not at all; no Tor is needed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from crawler.tor import errors
from crawler.tor import socks as socks_module
from crawler.tor.socks import CircuitIdentity, TorBackend
from crawler.tor.tor_dial import TorDialClient, dial_tor
from crawler.transport.dial_socket import DialServer, dial_socket_pair
from crawler.transport.errors import trouble_of
from data.errors import Final, Retry, TorDown, TorFailed, TorRefused
from data.settings.endpoint import Endpoint

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Requests(list[tuple[bytes, bytes, bytes]]):
    """(user, password, destination) of each connection that was requested."""


def socks_port(requests: Requests, code: int = 0) -> Serve:
    """A SOCKS port that answers every request with one code."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b"\x05\x01\x02"
        writer.write(b"\x05\x02")
        _, length = await reader.readexactly(2)
        user = await reader.readexactly(length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x01\x00")
        head = await reader.readexactly(4)
        size = b"" if head[3] in (1, 4) else await reader.readexactly(1)
        length = {1: 4, 4: 16}.get(head[3]) or size[0]
        requests.append((user, password, head[3:] + size + await reader.readexactly(length + 2)))
        writer.write(bytes([5, code, 0, 1]) + bytes(6))
        if not code:
            writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    return serve


def answers_with(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(3)
        writer.write(answer)
        await writer.drain()
        writer.close()

    return serve


async def connected(
    tmp_path, serve: Serve | None, use, *, identity: CircuitIdentity | None = None, max_wait: float = 0.0
):
    """Run `use(backend)` with both ends of a dial socket and a server at the SOCKS address."""
    place = tmp_path / "socks"
    server = await asyncio.start_unix_server(serve, str(place)) if serve else None
    ours, theirs = dial_socket_pair()
    server_end = DialServer(ours, dial_tor(Endpoint(path=str(place))))
    client = TorDialClient(theirs)
    down: list[TorDown] = []
    backend = TorBackend(
        client.connect,
        identity or CircuitIdentity("source", "secret", renew_after=3),
        max_wait=max_wait,
        on_give_up=down.append,
        retry_seconds=0.05,
    )
    try:
        return await use(backend), down
    finally:
        server_end.close()
        client.close()
        if server is not None:
            server.close()
        # Closed transports end within the next iterations of the event loop.
        await asyncio.sleep(0.02)


def run(tmp_path, serve: Serve | None, use, **keys):
    return asyncio.run(connected(tmp_path, serve, use, **keys))


async def send_and_receive(backend: TorBackend) -> bytes:
    stream = await backend.connect_tcp("paste.onion", 80, timeout=5)
    await stream.write(b"hello")
    found = await stream.read(100)
    await stream.aclose()
    return found


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("paste.onion", b"\x03\x0bpaste.onion"),
        ("clear.example", b"\x03\x0dclear.example"),
        ("127.0.0.2", b"\x01\x7f\0\0\x02"),
        ("2001:db8::1", b"\x04" + socket.inet_pton(socket.AF_INET6, "2001:db8::1")),
        ("[::1]", b"\x04" + socket.inet_pton(socket.AF_INET6, "::1")),
    ],
)
def test_host_names_are_passed_to_tor_unchanged(tmp_path, host, expected):
    requests = Requests()

    async def use(backend: TorBackend) -> None:
        await (await backend.connect_tcp(host, 8080, timeout=5)).aclose()

    run(tmp_path, socks_port(requests), use)
    assert requests == [(b"source", b"secret", expected + (8080).to_bytes(2, "big"))]


def test_bytes_flow_both_ways(tmp_path):
    assert run(tmp_path, socks_port(Requests()), send_and_receive) == (b"hello", [])


@pytest.mark.parametrize("code", [*errors.SOCKS_FAILURES, 0x99])
def test_every_reply_code_has_an_error_with_a_message_and_a_retry_mark(tmp_path, code):
    with pytest.raises((TorFailed, TorRefused)) as caught:
        run(tmp_path, socks_port(Requests(), code), send_and_receive)
    error = caught.value
    assert error.code in errors.ALL_CODES
    assert isinstance(error, Retry) != isinstance(error, Final)
    trouble = trouble_of(error)
    assert (trouble.code, trouble.retry) == (error.code, isinstance(error, Retry))
    assert str(error) in trouble.detail
    assert (not trouble.retry) == (error.code in errors.PERMANENT_CODES)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.0 501 Tor is not an HTTP Proxy\r\n\r\n", "not a SOCKS port"),
        (b"\x05\xff", "no user names"),
        (b"\x05\x00", "no user names"),
        (b"\x05\x02\x01\x01", "refuses our user name"),
        (b"", "closed the connection"),
        (b"\x05", "closed the connection"),
    ],
)
def test_a_server_that_is_not_a_tor_counts_as_a_tor_that_is_down(tmp_path, answer, words):
    with pytest.raises(TorDown, match=words):
        run(tmp_path, answers_with(answer), send_and_receive)


def test_an_absent_tor_is_waited_for_and_then_reported(tmp_path):
    async def use(backend: TorBackend) -> list[BaseException]:
        return await asyncio.gather(*(send_and_receive(backend) for _ in range(3)), return_exceptions=True)

    errors, down = run(tmp_path, None, use, max_wait=0.2)
    assert [type(error) for error in errors] == [TorDown] * 3
    assert "is not running" in str(down[0])


def test_a_tor_that_comes_back_in_time_is_used(tmp_path):
    async def use(backend: TorBackend) -> bytes:
        waiting = asyncio.ensure_future(send_and_receive(backend))
        await asyncio.sleep(0.15)
        server = await asyncio.start_unix_server(socks_port(Requests()), str(tmp_path / "socks"))
        found = await waiting
        server.close()
        return found

    assert run(tmp_path, None, use, max_wait=5.0) == (b"hello", [])


def test_a_frozen_tor_has_a_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(socks_module, "GREETING_SECONDS", 0.1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    with pytest.raises(TorDown, match="frozen"):
        run(tmp_path, silent, send_and_receive)


def test_only_failures_of_circuits_change_the_identity(tmp_path):
    requests = Requests()

    async def use(backend: TorBackend) -> None:
        for _ in range(7):
            with pytest.raises(TorFailed):
                await backend.connect_tcp("a.onion", 80, timeout=5)

    run(tmp_path, socks_port(requests, 0xF2), use)
    assert [user for user, *_ in requests] == [b"source"] * 3 + [b"source:1"] * 3 + [b"source:2"]
    requests.clear()
    (tmp_path / "other").mkdir()
    run(tmp_path / "other", socks_port(requests, 0xF0), use)
    assert {user for user, *_ in requests} == {b"source"}, "an absent site is not a fault of the circuit"


def test_no_site_is_reached_over_a_unix_socket(tmp_path):
    async def use(backend: TorBackend) -> None:
        await backend.connect_unix_socket("/run/anything")

    with pytest.raises(TorDown):
        run(tmp_path, socks_port(Requests()), use)
