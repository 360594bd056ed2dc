"""A receiver on loopback for each kind of channel, which takes what one function says: mail, syslog, and everything over HTTP."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers.mail import mail_server
from tests.servers.strict_chats import NEEDS
from tests.servers.webhook import Answer, Received, Webhook

Take = Callable[[Received], Answer]
"""Answers one message; a status below 300 takes it. Mail answers the status as SMTP does, and syslog with a reset if it is none."""


@contextmanager
def receiver(kind: str, take: Take) -> Iterator[dict[str, Any]]:
    """The settings of a channel of a kind whose messages `take` gets; a mail is `SMTP`, a frame of syslog is `SYSLOG`."""
    if kind == "email":
        with mail_server() as (inbox, port):
            inbox.answer = lambda content: f"{take(Received('SMTP', '', {}, content))[0]} answer"
            yield {"kind": kind, "url": f"smtp://127.0.0.1:{port}", **NEEDS[kind]}
    elif kind == "syslog":
        with _syslog_server(take) as port:
            yield {"kind": kind, "url": f"tcp://127.0.0.1:{port}"}
    else:
        with Webhook([take]) as server:
            url = server.url.replace("http", "json") if kind == "apprise" else server.url
            yield {"kind": kind, "url": f"{url}/hook", **NEEDS.get(kind, {})}


@contextmanager
def _syslog_server(take: Take) -> Iterator[int]:
    """The port of a server that closes a connection after a frame that was taken, and resets it after any other."""

    class Frame(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            body = b""
            while more := self.request.recv(65_536):
                body += more
            if take(Received("SYSLOG", "", {}, body))[0] >= 300:
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def finish(self) -> None:
            # without the shutdown of the library, after which there would be no reset
            self.request.close()

    class Server(socketserver.ThreadingTCPServer):
        def shutdown_request(self, request: Any) -> None:
            self.close_request(request)

    with Server(("127.0.0.1", 0), Frame) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
