"""A server whose answers break HTTP, or use it against the client; it speaks in bytes, since no HTTP library sends them."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator

OK = b"HTTP/1.1 200 OK\r\n"
_DIGITS = b"9" * 40


@functools.cache
def _bomb() -> bytes:
    """256 MiB of zeros, compressed twice as HTTP allows: less than 2 kB."""
    inner = zlib.compressobj(9, wbits=31)
    once = b"".join([*(inner.compress(bytes(2**20)) for _ in range(256)), inner.flush()])
    outer = zlib.compressobj(9, wbits=31)
    return outer.compress(once) + outer.flush()


def _endless_headers() -> Iterator[bytes]:
    yield OK
    for number in range(10**9):
        yield b"X-%d: %s\r\n" % (number, b"a" * 1000)


def _endless_header_line() -> Iterator[bytes]:
    yield OK + b"X-Long: "
    while True:
        yield b"a" * 4096


def _endless_body() -> Iterator[bytes]:
    yield OK + b"Content-Type: text/html\r\n\r\n"
    while True:
        yield b"a"
        time.sleep(0.05)


def _whole(*parts: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([b"".join(parts)])


def _compressed_twice() -> Iterator[bytes]:
    yield OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(_bomb()) + _bomb()


ANSWERS: dict[str, Callable[[], Iterator[bytes]]] = {
    "endless-headers": _endless_headers,
    "endless-header-line": _endless_header_line,
    "endless-body": _endless_body,
    "short-body": _whole(OK, b"Content-Length: 1000000\r\n\r\nab"),
    "two-lengths": _whole(OK, b"Content-Length: 2\r\nContent-Length: 2000\r\n\r\nab"),
    "negative-length": _whole(OK, b"Content-Length: -1\r\n\r\nab"),
    "huge-chunk": _whole(OK, b"Transfer-Encoding: chunked\r\n\r\n", b"F" * 40, b"\r\nab"),
    "bomb": _compressed_twice,
    "retry-after": _whole(
        b"HTTP/1.1 503 Later\r\nRetry-After: 1e40\r\nRetry-After: ", _DIGITS, b"\r\nContent-Length: 0\r\n\r\n"
    ),
    "retry-after-date": _whole(
        b"HTTP/1.1 429 Later\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 +", _DIGITS, b"\r\nContent-Length: 0\r\n\r\n"
    ),
    "bad-redirect": _whole(b"HTTP/1.1 302 Found\r\nLocation: http://[::1%00/\xff\xfe\r\nContent-Length: 0\r\n\r\n"),
    "other-redirect": _whole(b"HTTP/1.1 301 Moved\r\nLocation: //other.invalid:99999/\r\nContent-Length: 0\r\n\r\n"),
    "no-http": _whole(b"SSH-2.0-OpenSSH_9.2\r\n\x00\x01\x02"),
    "odd-status": _whole(b"HTTP/1.1 99999999999 \xff\r\nContent-Length: 0\r\n\r\n"),
    "nothing": _whole(b""),
}


class HostileServer:
    """Answers /NAME/… with the answer of this name as long as `sane(path)` returns None, else with what it returns.

    Attributes:
        asked: paths of the requests. bodies: their bodies, by path. answer: the name of that for all paths; '' for their own.
    """

    def __init__(self, sane: Callable[[str], bytes | None]) -> None:
        self.sane, self.answer = sane, ""
        self.asked: list[str] = []
        self.bodies: list[tuple[str, bytes]] = []
        self._closed = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        # the client may end the connection at any time
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            request = stream.readline()
            if not request:
                # it was ended before it asked for anything
                return
            path = request.split(b" ")[1].decode()
            length = 0
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.bodies.append((path, stream.read(length)))
            self.asked.append(path)
            body = self.sane(path)
            if body is not None:
                connection.sendall(OK + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                return
            for part in ANSWERS[self.answer or path.split("/")[1]]():
                if self._closed.is_set():
                    return
                connection.sendall(part)

    def close(self) -> None:
        """End all answers."""
        self._closed.set()
        self._socket.close()
