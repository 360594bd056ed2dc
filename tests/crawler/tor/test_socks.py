"""The handshake with a SOCKS port, against real sockets that answer well, badly or not at all; no Tor is needed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from crawler.tor import errors
from crawler.tor import socks as socks_module
from crawler.tor.dial_socket import Dialler, DialServer, pair
from crawler.tor.socks import Identity, TorBackend
from crawler.transport.errors import trouble_of
from data.errors import Final, Retry, TorDown, TorFailed, TorRefused
from data.settings.endpoint import Endpoint

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Asked(list[tuple[bytes, bytes, bytes]]):
    """(user, password, destination) of each connection."""


def socks(asked: Asked, code: int = 0) -> Serve:
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
        asked.append((user, password, head[3:] + size + await reader.readexactly(length + 2)))
        writer.write(bytes([5, code, 0, 1]) + bytes(6))
        if not code:
            writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    return serve


def says(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(3)
        writer.write(answer)
        await writer.drain()
        writer.close()

    return serve


async def through(tmp_path, serve: Serve | None, use, *, identity: Identity | None = None, patience: float = 0.0):
    """Run `use(backend)` with the runner's and the crawl's end of the road, and a server at the SOCKS address."""
    place = tmp_path / "socks"
    server = await asyncio.start_unix_server(serve, str(place)) if serve else None
    ours, theirs = pair()
    dials = DialServer(ours, Endpoint(path=str(place)))
    dialler = Dialler(theirs)
    down: list[TorDown] = []
    backend = TorBackend(
        dialler.connect,
        identity or Identity("source", "secret", renew_after=3),
        patience=patience,
        stays_down=down.append,
        pause=0.05,
    )
    try:
        return await use(backend), down
    finally:
        dials.close()
        dialler.close()
        if server is not None:
            server.close()
        # what was closed ends in the loop's next rounds
        await asyncio.sleep(0.02)


def run(tmp_path, serve: Serve | None, use, **keys):
    return asyncio.run(through(tmp_path, serve, use, **keys))


async def echoed(backend: TorBackend) -> bytes:
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
def test_names_go_to_tor_as_they_are(tmp_path, host, expected):
    asked = Asked()

    async def use(backend: TorBackend) -> None:
        await (await backend.connect_tcp(host, 8080, timeout=5)).aclose()

    run(tmp_path, socks(asked), use)
    assert asked == [(b"source", b"secret", expected + (8080).to_bytes(2, "big"))]


def test_bytes_flow_both_ways(tmp_path):
    assert run(tmp_path, socks(Asked()), echoed) == (b"hello", [])


@pytest.mark.parametrize("code", [*errors.CODES, 0x99])
def test_every_code_is_an_error_in_words_with_a_mark(tmp_path, code):
    with pytest.raises((TorFailed, TorRefused)) as caught:
        run(tmp_path, socks(Asked(), code), echoed)
    error = caught.value
    assert error.code in errors.WORDS
    assert isinstance(error, Retry) != isinstance(error, Final)
    trouble = trouble_of(error)
    assert (trouble.code, trouble.retry) == (error.code, isinstance(error, Retry))
    assert str(error) in trouble.detail
    assert (not trouble.retry) == (error.code in errors.CERTAIN)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.0 501 Tor is not an HTTP Proxy\r\n\r\n", "no SOCKS port"),
        (b"\x05\xff", "no user names"),
        (b"\x05\x00", "no user names"),
        (b"\x05\x02\x01\x01", "refuses our user name"),
        (b"", "ended the connection"),
        (b"\x05", "ended the connection"),
    ],
)
def test_what_is_no_tor_is_a_tor_that_is_down(tmp_path, answer, words):
    with pytest.raises(TorDown, match=words):
        run(tmp_path, says(answer), echoed)


def test_nobody_there_is_waited_for_and_then_told_once(tmp_path):
    async def use(backend: TorBackend) -> list[BaseException]:
        return await asyncio.gather(*(echoed(backend) for _ in range(3)), return_exceptions=True)

    errors, down = run(tmp_path, None, use, patience=0.2)
    assert [type(error) for error in errors] == [TorDown] * 3
    assert "does not run" in str(down[0])


def test_one_that_comes_back_in_time_is_used(tmp_path):
    async def use(backend: TorBackend) -> bytes:
        waiting = asyncio.ensure_future(echoed(backend))
        await asyncio.sleep(0.15)
        server = await asyncio.start_unix_server(socks(Asked()), str(tmp_path / "socks"))
        found = await waiting
        server.close()
        return found

    assert run(tmp_path, None, use, patience=5.0) == (b"hello", [])


def test_a_frozen_tor_has_a_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(socks_module, "GREETING_SECONDS", 0.1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    with pytest.raises(TorDown, match="frozen"):
        run(tmp_path, silent, echoed)


def test_failures_of_circuits_renew_the_identity_and_others_do_not(tmp_path):
    asked = Asked()

    async def use(backend: TorBackend) -> None:
        for _ in range(7):
            with pytest.raises(TorFailed):
                await backend.connect_tcp("a.onion", 80, timeout=5)

    run(tmp_path, socks(asked, 0xF2), use)
    assert [user for user, *_ in asked] == [b"source"] * 3 + [b"source:1"] * 3 + [b"source:2"]
    asked.clear()
    (tmp_path / "other").mkdir()
    run(tmp_path / "other", socks(asked, 0xF0), use)
    assert {user for user, *_ in asked} == {b"source"}, "an absent site is no fault of the circuit"


def test_no_unix_socket_is_a_road(tmp_path):
    async def use(backend: TorBackend) -> None:
        await backend.connect_unix_socket("/run/anything")

    with pytest.raises(TorDown):
        run(tmp_path, socks(Asked()), use)
