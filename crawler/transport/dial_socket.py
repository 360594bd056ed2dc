"""Gives a crawl process its connections: the runner connects and passes the connected socket to the process.

Both talk over a pair of Unix sockets. The crawl process names a target; whether it may be reached, and how, only the
runner decides. So the crawl process needs no right to create or connect sockets itself (`crawler.process.privileges`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import struct
from collections.abc import Awaitable, Callable

log = logging.getLogger("crawl")

_REQUEST = struct.Struct("=I")
_ANSWER = struct.Struct("=Ii")
# Wait before a retry while the other end's buffer is full, which takes milliseconds.
RETRY_SECONDS = 0.005
# A host name has at most 253 characters.
MAX_TARGET = 512
# Connection attempts of one crawl at a time; further requests are refused, not queued.
MAX_DIALS = 256
# Codes for failures that have no errno.
UNKNOWN_NAME, NOT_ALLOWED, PRIVATE_ADDRESS, RUNNER_ENDED = -1, -2, -3, -4

Dial = Callable[[bytes], Awaitable[socket.socket]]
"""Connects to a target; raises OSError, or DialFailed with one of the codes above."""


class DialFailed(OSError):
    """Raised if a connection could not be made.

    Attributes:
        code: an errno, or one of the negative codes of this module.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"no connection ({errno.errorcode.get(code, code)})")
        self.code = code


def dial_socket_pair() -> tuple[socket.socket, socket.socket]:
    """The runner's end and the crawl process's end."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class DialServer:
    """The runner's end: answers each request with a connected socket or a code."""

    def __init__(self, sock: socket.socket, dial: Dial) -> None:
        self._socket, self._dial = sock, dial
        self._tasks: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._read_requests)

    def _read_requests(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while request := self._socket.recv(_REQUEST.size + MAX_TARGET + 1):
                if not _REQUEST.size <= len(request) <= _REQUEST.size + MAX_TARGET:
                    continue
                number, target = _REQUEST.unpack_from(request)[0], request[_REQUEST.size :]
                task = asyncio.ensure_future(self._serve(number, target, full=len(self._tasks) >= MAX_DIALS))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            # An empty message: the crawl process has ended.
            asyncio.get_running_loop().remove_reader(self._socket)

    async def _serve(self, number: int, target: bytes, *, full: bool) -> None:
        if full:
            await self._answer(_ANSWER.pack(number, errno.EAGAIN), [])
            return
        try:
            connected = await self._dial(target)
        except OSError as error:
            code = error.code if isinstance(error, DialFailed) else error.errno or errno.EIO
            await self._answer(_ANSWER.pack(number, code), [])
            return
        except Exception:  # whatever it is, somebody waits for the answer
            log.exception("a connection could not be made")
            await self._answer(_ANSWER.pack(number, errno.EIO), [])
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
            except OSError:
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
        self._watching = False
        sock.setblocking(False)

    async def connect(self, target: bytes = b"", *, seconds: float) -> socket.socket:
        """A connected, non-blocking socket.

        Args:
            target: as the runner's dial function understands it.
            seconds: total time limit.

        Raises:
            DialFailed: there is no connection; `code` is ETIMEDOUT after the time limit, RUNNER_ENDED if the runner
                has ended.
        """
        if not self._watching:
            asyncio.get_running_loop().add_reader(self._socket, self._read_answers)
            self._watching = True
        self._last = (self._last + 1) % 2**32
        number = self._last
        answered: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        self._socket.send(_REQUEST.pack(number) + target)
                        break
                    except BlockingIOError:
                        await asyncio.sleep(RETRY_SECONDS)
                return await answered
        except TimeoutError as error:
            raise DialFailed(errno.ETIMEDOUT) from error
        except DialFailed:
            raise
        except OSError as error:
            raise DialFailed(RUNNER_ENDED) from error
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Request no more connections."""
        if self._watching:
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
                self._watching = False
                for waiting in self._waiting.values():
                    if not waiting.done():
                        waiting.set_exception(DialFailed(RUNNER_ENDED))
                return
            number, code = _ANSWER.unpack(answer)
            future = self._waiting.get(number)
            if future is None or future.done():
                for sock in sockets:
                    sock.close()
            elif code or not sockets:
                future.set_exception(DialFailed(code))
            else:
                sockets[0].setblocking(False)
                future.set_result(sockets[0])
