"""One address for a process that may not connect to any: the runner connects, the crawl process gets the socket.

The two ends of a pair of Unix sockets. What the crawl process can ask for is one more connection to Tor's SOCKS port;
where that is, only the runner knows. So the crawl process needs no right to make a socket of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Callable

from crawler.tor.errors import gone
from data.errors import TorDown
from data.settings.endpoint import Endpoint

_ASK = struct.Struct("=I")
_ANSWER = struct.Struct("=Ii")
# A Tor on this machine takes a connection at once; one elsewhere within some round trips.
DIAL_SECONDS = 5.0
# The other end's buffer is full, or a Unix socket's queue: both pass in milliseconds.
PAUSE = 0.005


def pair() -> tuple[socket.socket, socket.socket]:
    """The runner's and the crawl process's end."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


async def connect(endpoint: Endpoint, seconds: float = DIAL_SECONDS) -> socket.socket:
    """A connected socket that does not block.

    Raises:
        OSError: nobody takes the connection, or not in time.
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
                # a full queue says EAGAIN, which for a Unix socket does not mean that the connection is on its way
                try:
                    sock.connect(endpoint.path)
                except BlockingIOError:
                    await asyncio.sleep(PAUSE)
                else:
                    return sock
    except TimeoutError as error:
        sock.close()
        raise OSError(errno.ETIMEDOUT, "no connection in time") from error
    except BaseException:
        sock.close()
        raise


class DialServer:
    """The runner's end: connects to one address, and to no other."""

    def __init__(self, sock: socket.socket, endpoint: Endpoint) -> None:
        self._socket, self._endpoint = sock, endpoint
        self._tasks: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._asked)

    def _asked(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while question := self._socket.recv(_ASK.size):
                if len(question) == _ASK.size:
                    task = asyncio.ensure_future(self._dial(*_ASK.unpack(question)))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            # the crawl process has ended
            asyncio.get_running_loop().remove_reader(self._socket)

    async def _dial(self, number: int) -> None:
        try:
            connected = await connect(self._endpoint)
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
                await asyncio.sleep(PAUSE)
            except (ConnectionError, OSError):
                # nobody waits for it any more
                return
            else:
                return

    def close(self) -> None:
        """Take no more questions."""
        asyncio.get_running_loop().remove_reader(self._socket)
        for task in self._tasks:
            task.cancel()
        self._socket.close()


class Dialler:
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
            TorDown: Tor takes no connection.
        """
        if self._watch is None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._socket, self._answered)
            self._watch = self._answered
        self._last = (self._last + 1) % 2**32
        number = self._last
        answered: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            while True:
                try:
                    self._socket.send(_ASK.pack(number))
                    break
                except BlockingIOError:
                    await asyncio.sleep(PAUSE)
            async with asyncio.timeout(2 * DIAL_SECONDS):
                return await answered
        except TimeoutError as error:
            raise gone("Tor takes no connection in time") from error
        except OSError as error:
            raise gone("the runner, which connects to Tor, is gone") from error
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Ask no more."""
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _answered(self) -> None:
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
                        waiting.set_exception(gone("the runner, which connects to Tor, is gone"))
                return
            number, code = _ANSWER.unpack(answer)
            waiting_ = self._waiting.get(number)
            if waiting_ is None or waiting_.done():
                for sock in sockets:
                    sock.close()
            elif code or not sockets:
                waiting_.set_exception(_refused(code))
            else:
                sockets[0].setblocking(False)
                waiting_.set_result(sockets[0])


def _refused(code: int) -> TorDown:
    if code in (errno.ECONNREFUSED, errno.ENOENT):
        return gone("Tor does not run: nobody listens at its SOCKS address")
    if code in (errno.EACCES, errno.EPERM):
        return gone("this user may not connect to Tor's SOCKS socket")
    if code == errno.ETIMEDOUT:
        return gone("Tor takes no connection in time")
    return gone(f"Tor is not reached ({errno.errorcode.get(code, str(code))})")
