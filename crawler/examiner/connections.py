"""The sample sockets of the examiner: a thread each and, while many small samples come at once, processes for some.

Threads share one interpreter: two connections with small samples get no more done than one. What a forked process does
with a connection is `crawler.examiner.worker`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from crawler.examiner.sample_socket import answer
from crawler.examiner.worker import SetsVersion, Worker, start_worker
from crawler.process.frames import receive
from crawler.sandbox.reusable_reader import ReusableReader
from data.errors import WireError

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner

# A connection gets a process after so many more small samples beside others than alone: 50 ms of work; a fork takes 10 ms.
MANY = 16
# A sample of more bytes keeps its threads busy in compiled loops, which share the processors as they are.
SMALL = 2**20
# A fork waits so long for a moment at which no sample is under way; while a large one is, there is none.
QUIET_SECONDS = 0.25
# ... and is not asked for again before so many samples: each asking holds the others up.
SAMPLES_BETWEEN = 1000


class Connection:
    """One sample socket that a thread serves.

    Attributes:
        crowded: small samples that met others, less those that met none; below 0 after a fork was refused.
    """

    def __init__(self, sock: socket.socket, kept: ReusableReader) -> None:
        self.socket, self.kept = sock, kept
        self.crowded = 0

    def close(self) -> None:
        """Close the socket and let its reader go."""
        self.kept.close()
        self.socket.close()


class Connections:
    """All sample sockets; orders come from the main thread, which alone forks: its processes end with it."""

    def __init__(
        self, current: Callable[[], Examiner], most_workers: int, not_for_workers: Sequence[socket.socket] = ()
    ) -> None:
        """For one process.

        Args:
            current: the examiner that samples which come now are given to.
            most_workers: processes that are forked at most.
            not_for_workers: what they must not hold.
        """
        self._current, self._most, self._private = current, most_workers, not_for_workers
        self._gate = threading.Condition()
        self._under_way = 0
        self._shut = False
        self._open: set[Connection] = set()
        self._asking: deque[tuple[Connection, Future[bool]]] = deque()
        self._workers: dict[int, Worker] = {}
        self._version = SetsVersion()
        self._wakeup, self._wake = os.pipe()

    def descriptors(self) -> list[int]:
        """What the main thread waits for; it calls `attend` where one of them is readable."""
        return [self._wakeup, *self._workers]

    def serve(self, sock: socket.socket) -> None:
        """Answer the samples of a socket from now on."""
        connection = Connection(sock, ReusableReader(self._current().sandbox))
        with self._gate:
            self._open.add(connection)
        threading.Thread(target=self._serve, args=(connection,), name="sample socket", daemon=True).start()

    def reloaded(self) -> None:
        """The examiner has other sets: samples that begin from now on are held against these in every process."""
        self._version.renew()

    def attend(self, readable: set[int]) -> None:
        """Hear workers whose links are readable, and start those that were asked for."""
        for descriptor in readable & self._workers.keys():
            worker = self._workers[descriptor]
            if not worker.hear(self._current(), self.serve):
                del self._workers[descriptor]
        if self._wakeup in readable:
            os.read(self._wakeup, 4096)
            while self._asking:
                connection, moved = self._asking.popleft()
                moved.set_result(self._start(connection))

    # --- in a thread of each connection ----------------------------------------------------------------------------

    def _serve(self, connection: Connection) -> None:
        try:
            while True:
                try:
                    start = receive(connection.socket)
                except (EOFError, OSError, WireError):
                    return
                with self._sample(connection):
                    size = answer(connection.socket, start, self._current(), connection.kept)
                if size is None or (self._is_crowded(connection, size) and self._moved(connection)):
                    return
        finally:
            self._forget(connection)

    @contextlib.contextmanager
    def _sample(self, connection: Connection) -> Iterator[None]:
        """While a sample is under way; notes whether others were so at its beginning or end."""
        with self._gate:
            self._gate.wait_for(lambda: not self._shut)
            self._under_way += 1
            others = self._under_way > 1
        try:
            yield
        finally:
            with self._gate:
                others = others or self._under_way > 1
                self._under_way -= 1
                self._gate.notify_all()
            # rather more often beside others than not: below 0 it only counts up
            connection.crowded += 1 if others or connection.crowded < 0 else -min(1, connection.crowded)

    def _is_crowded(self, connection: Connection, size: int) -> bool:
        if size > SMALL:
            connection.crowded = min(connection.crowded, 0)
        return connection.crowded >= MANY and len(self._workers) < self._most

    def _moved(self, connection: Connection) -> bool:
        """Have the main thread move the connection to a process of its own; False where it stays."""
        connection.kept.close()
        connection.crowded = -SAMPLES_BETWEEN
        moved: Future[bool] = Future()
        self._asking.append((connection, moved))
        os.write(self._wake, b"w")
        return moved.result()

    def _forget(self, connection: Connection) -> None:
        # in this order: a process that is forked between both closes it once more, and holds nothing of it
        connection.close()
        with self._gate:
            self._open.discard(connection)

    # --- in the main thread ----------------------------------------------------------------------------------------

    def _start(self, connection: Connection) -> bool:
        with self._gate:
            alone = len(self._open) < 2
        if alone or len(self._workers) >= self._most:
            # the others that it met have gone to processes meanwhile
            return False
        try:
            if not self._quiet():
                return False
            worker = start_worker(
                connection.socket, self._current(), self._version, partial(self._drop_all_but, connection)
            )
        except OSError:
            # no process or descriptor is left: threads go on as before
            return False
        finally:
            self._open_gate()
        self._workers[worker.link.fileno()] = worker
        self._forget(connection)
        return True

    def _quiet(self) -> bool:
        """Hold samples back until none is under way: a fork then meets no lock, and no thread in the middle of anything."""
        with self._gate:
            self._shut = True
            return self._gate.wait_for(lambda: not self._under_way, QUIET_SECONDS)

    def _open_gate(self) -> None:
        with self._gate:
            self._shut = False
            self._gate.notify_all()

    def _drop_all_but(self, mine: Connection) -> None:
        """In a forked process: close what belongs to others, readers of other sources above all."""
        for sock in self._private:
            sock.close()
        for connection in self._open - {mine}:
            connection.close()
        for worker in self._workers.values():
            worker.link.close()
        os.close(self._wakeup)
        os.close(self._wake)
