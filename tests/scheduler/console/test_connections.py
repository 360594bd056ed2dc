"""Bounds of one connection, with uvicorn and real sockets: who takes nothing of an answer is cut off, who takes it late gets it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from scheduler.console import connections
from scheduler.console.connections import BoundedConnection

PART = b"x" * 65_536
PARTS = 512
WAIT = 60


class Server:
    """Answers every request with 32 MiB, more than the kernel holds for somebody who does not read."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self.answer,
            interface="asgi3",
            http=BoundedConnection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.listening])))

    async def answer(self, scope, receive, send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(PARTS):
                await send({"type": "http.response.body", "body": PART, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.ended.set()

    def asked(self) -> socket.socket:
        connection = socket.socket()
        # a window that does not grow: what is not read stays with the server
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.settimeout(WAIT)
        connection.connect(self.listening.getsockname())
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection

    def paused(self) -> BoundedConnection:
        """The connection to which nothing more can be written."""
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            for each in list(self.server.server_state.connections):
                if each.flow.write_paused:
                    return each
            time.sleep(0.01)
        raise AssertionError("everything was written")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.thread.start()
    yield made
    made.server.should_exit = True
    made.thread.join(WAIT)
    made.listening.close()


def all_of(connection: socket.socket) -> int:
    total = 0
    while part := connection.recv(1 << 20):
        total += len(part)
    return total


@pytest.mark.slow
def test_who_takes_nothing_of_an_answer_is_cut_off_and_holds_nothing(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "TAKE_SECONDS", 0.2)
    with server.asked() as connection:
        # the answer ends though nobody has read a byte of it
        assert server.ended.wait(WAIT)
        got = 0
        with contextlib.suppress(ConnectionResetError):
            got = all_of(connection)
        assert got < PARTS * len(PART)


@pytest.mark.slow
def test_who_takes_an_answer_late_but_in_time_gets_all_of_it(server: Server):
    with server.asked() as connection:
        slow = server.paused()
        timer = slow._take
        assert timer is not None
        assert not timer.cancelled()
        assert timer.when() - slow.loop.time() > connections.TAKE_SECONDS - WAIT
        assert all_of(connection) > PARTS * len(PART)
        assert timer.cancelled()
