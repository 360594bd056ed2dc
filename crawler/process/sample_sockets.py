"""The crawl process's end of its sample sockets, in an event loop. The blocking client is in `examiner_client`.

Small samples are sent while the ones before them are still examined, so that the examiner never waits for this process,
which is busy with the network. The examiner takes them one after another, and its answers come in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from crawler.process.examiner_client import ENOUGH, ending_frame, read_finding
from crawler.process.frames import CHUNK, SMALL_FRAME, pack, pack_json, receive_async
from data.errors import ExaminerDied
from data.model import Finding

# Small samples on one socket: one that is examined, and others that wait. While this process reads the answers of sixteen
# requests, the examiner needs that many.
SMALL_AT_ONCE = 8


class AsyncExaminerClient:
    """One sample socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        # Both hand over in the order in which they are waited for: an answer goes to the sample that it belongs to.
        self._sending, self._receiving = asyncio.Lock(), asyncio.Lock()

    @classmethod
    async def open(cls, sock: socket.socket) -> Self:
        """A client that owns the socket from now on."""
        sock.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=2 * CHUNK))

    async def examine(self, request: Mapping[str, Any], body: bytes, *, problem: str = "") -> Finding:
        """Examine one sample of at most `SMALL_FRAME` bytes; errors as `examine_stream`."""
        with self._must_be_answered():
            async with self._sending:
                # one write instead of three, each of which would wake the examiner
                self._writer.write(pack_json(b"S", request) + pack(b"D", body) + ending_frame(problem))
                await self._writer.drain()
            async with self._receiving:
                kind, payload = await self._answer()
        return read_finding(kind, payload)

    async def examine_stream(
        self, request: Mapping[str, Any], chunks: AsyncIterator[bytes], *, problem: Callable[[], str] = lambda: ""
    ) -> Finding:
        """Examine one sample while it arrives, with back-pressure; arguments and errors as `ExaminerClient.examine`.

        Once the examiner reports that nothing further of the sample can be examined, no more chunks are read.
        """
        with self._must_be_answered():
            async with self._sending, self._receiving:
                answer = asyncio.ensure_future(receive_async(self._reader))
                try:
                    self._writer.write(pack_json(b"S", request))
                    enough = False
                    async for chunk in chunks:
                        for start in range(0, len(chunk), CHUNK):
                            self._writer.write(pack(b"D", chunk[start : start + CHUNK]))
                            await self._writer.drain()
                        if answer.done() and answer.result()[0] == b"C":
                            enough = True
                            break
                    message = problem() or (ENOUGH if enough else "")
                    self._writer.write(ending_frame(message))
                    await self._writer.drain()
                    kind, payload = await answer
                    if kind == b"C":
                        kind, payload = await receive_async(self._reader)
                finally:
                    answer.cancel()
        return read_finding(kind, payload)

    async def _answer(self) -> tuple[bytes, bytes]:
        kind, payload = await receive_async(self._reader)
        if kind == b"C":
            kind, payload = await receive_async(self._reader)
        return kind, payload

    @contextlib.contextmanager
    def _must_be_answered(self) -> Iterator[None]:
        """Close the socket if a sample gets no answer: the answer must not be taken for that of the next sample."""
        try:
            yield
        except (EOFError, OSError) as error:
            self.close()
            raise ExaminerDied("the examiner ended while it examined a sample") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket; samples without an answer end with ExaminerDied."""
        self._writer.close()


class SampleSockets:
    """All sample sockets of a crawl: chooses one for each sample."""

    def __init__(self, clients: Sequence[AsyncExaminerClient]) -> None:
        self._clients = clients
        self._in_work: Counter[AsyncExaminerClient] = Counter()
        self._taken: set[AsyncExaminerClient] = set()
        self._changed = asyncio.Condition()

    @classmethod
    async def open(cls, sockets: Sequence[socket.socket]) -> Self:
        """All sockets, which are owned by this object from now on."""
        return cls([await AsyncExaminerClient.open(sock) for sock in sockets])

    async def examine(self, request: Mapping[str, Any], body: bytes, *, problem: str = "") -> Finding:
        """Examine one sample that is in memory; see `AsyncExaminerClient`."""
        if len(body) > SMALL_FRAME:

            async def whole() -> AsyncIterator[bytes]:
                yield body

            return await self.examine_stream(request, whole(), problem=lambda: problem)
        async with self._socket() as client:
            return await client.examine(request, body, problem=problem)

    async def examine_stream(
        self, request: Mapping[str, Any], chunks: AsyncIterator[bytes], *, problem: Callable[[], str] = lambda: ""
    ) -> Finding:
        """Examine one sample while it arrives; see `AsyncExaminerClient`. No further sample waits behind it for hours."""
        async with self._socket(alone=True) as client:
            return await client.examine_stream(request, chunks, problem=problem)

    @contextlib.asynccontextmanager
    async def _socket(self, *, alone: bool = False) -> AsyncIterator[AsyncExaminerClient]:
        """The least busy socket, as soon as there is one; until the end of the block no further sample goes to it if `alone`."""
        most = SMALL_AT_ONCE if alone else SMALL_AT_ONCE - 1
        async with self._changed:
            while (client := self._least_busy(most)) is None:
                await self._changed.wait()
            self._in_work[client] += 1
            if alone:
                self._taken.add(client)
        try:
            yield client
        finally:
            self._in_work[client] -= 1
            if alone:
                self._taken.discard(client)
            async with self._changed:
                self._changed.notify_all()

    def _least_busy(self, most: int) -> AsyncExaminerClient | None:
        """The socket with the fewest samples in work, at most `most`, of those that no sample has for itself."""
        free = [each for each in self._clients if each not in self._taken and self._in_work[each] <= most]
        return min(free, key=self._in_work.__getitem__, default=None)

    def close(self) -> None:
        """Close all of them."""
        for client in self._clients:
            client.close()
