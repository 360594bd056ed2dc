"""Gives a crawl process its connections to Tor: the runner connects and passes the connected socket to the process.

Both talk over a pair of Unix sockets. The crawl process can request nothing but one more connection to Tor's SOCKS
port, whose address only the runner knows. So the crawl process does not need the right to create sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Callable

from crawler.tor.errors import tor_down
from data.errors import TorDown
from data.settings.endpoint import Endpoint

_REQUEST = struct.Struct("=I")
_ANSWER = struct.Struct("=Ii")
# A Tor on this machine accepts a connection at once; one on another machine within a few round trips.
DIAL_SECONDS = 5.0
# Wait before a retry while the other end's buffer or a Unix socket's queue is full; both take milliseconds.
RETRY_SECONDS = 0.005
_TIMED_OUT = "Tor did not accept the connection in time"
_RUNNER_ENDED = "the runner process, which makes the connections to Tor, has ended"


def dial_socket_pair() -> tuple[socket.socket, socket.socket]:
    """The runner's end and the crawl process's end."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


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
                # EAGAIN means that the queue is full: unlike with TCP, no connection attempt is under way then.
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


class DialServer:
    """The runner's end: connects to one address only."""

    def __init__(self, sock: socket.socket, endpoint: Endpoint) -> None:
        self._socket, self._endpoint = sock, endpoint
        self._tasks: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._read_requests)

    def _read_requests(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while request := self._socket.recv(_REQUEST.size):
                if len(request) == _REQUEST.size:
                    task = asyncio.ensure_future(self._dial(*_REQUEST.unpack(request)))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            # An empty message: the crawl process has ended.
            asyncio.get_running_loop().remove_reader(self._socket)

    async def _dial(self, number: int) -> None:
        try:
            connected = await connect_to(self._endpoint)
        except OSError as error:
            await self._answer(_ANSWER.pack(number, error.errno or errno.EIO), [])
            return
        try:
            await self._answer(_ANSWER.pack(number, 0), [connected.fileno()])
        finally:
            connected.close()

    async def _answer(self, answer: bytes, descriptors: list[int]) -> None:
        while True:
            try:
                socket.send_fds(self._socket, [answer], descriptors)
            except BlockingIOError:
                await asyncio.sleep(RETRY_SECONDS)
            except (ConnectionError, OSError):
                # The crawl process has ended and no longer waits for the answer.
                return
            else:
                return

    def close(self) -> None:
        """Answer no more requests."""
        asyncio.get_running_loop().remove_reader(self._socket)
        for task in self._tasks:
            task.cancel()
        self._socket.close()


class DialClient:
    """The crawl process's end."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._waiting: dict[int, asyncio.Future[socket.socket]] = {}
        self._last = 0
        self._watch: Callable[[], object] | None = None
        sock.setblocking(False)

    async def connect(self) -> socket.socket:
        """A socket that is connected to Tor's SOCKS port.

        Raises:
            TorDown: Tor accepts no connection, or the runner has ended.
        """
        if self._watch is None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._socket, self._read_answers)
            self._watch = self._read_answers
        self._last = (self._last + 1) % 2**32
        number = self._last
        answered: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            while True:
                try:
                    self._socket.send(_REQUEST.pack(number))
                    break
                except BlockingIOError:
                    await asyncio.sleep(RETRY_SECONDS)
            async with asyncio.timeout(2 * DIAL_SECONDS):
                return await answered
        except TimeoutError as error:
            raise tor_down(_TIMED_OUT) from error
        except OSError as error:
            raise tor_down(_RUNNER_ENDED) from error
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Request no more connections."""
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read_answers(self) -> None:
        while True:
            try:
                answer, descriptors, _, _ = socket.recv_fds(self._socket, _ANSWER.size, 1)
            except BlockingIOError:
                return
            except OSError:
                answer, descriptors = b"", []
            sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
            if len(answer) != _ANSWER.size:
                asyncio.get_running_loop().remove_reader(self._socket)
                for waiting in self._waiting.values():
                    if not waiting.done():
                        waiting.set_exception(tor_down(_RUNNER_ENDED))
                return
            number, code = _ANSWER.unpack(answer)
            waiting_ = self._waiting.get(number)
            if waiting_ is None or waiting_.done():
                for sock in sockets:
                    sock.close()
            elif code or not sockets:
                waiting_.set_exception(_error_for(code))
            else:
                sockets[0].setblocking(False)
                waiting_.set_result(sockets[0])


def _error_for(code: int) -> TorDown:
    if code in (errno.ECONNREFUSED, errno.ENOENT):
        return tor_down("Tor is not running: nothing listens at its SOCKS address")
    if code in (errno.EACCES, errno.EPERM):
        return tor_down("this user has no permission to connect to Tor's SOCKS socket")
    if code == errno.ETIMEDOUT:
        return tor_down(_TIMED_OUT)
    return tor_down(f"Tor cannot be reached ({errno.errorcode.get(code, str(code))})")
