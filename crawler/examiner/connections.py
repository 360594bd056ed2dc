"""Serves the sample sockets of the examiner: each with a thread, and some with a process if many small samples come.

Threads share one interpreter, so that two connections with small samples are no faster than one. Some connections are
therefore moved to a process forked from the examiner (`crawler.examiner.worker`).
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

from crawler.examiner.sample_socket import answer_sample
from crawler.examiner.worker import SetsVersion, Worker, start_worker
from crawler.process.frames import receive
from crawler.sandbox.reusable_reader import ReusableReader
from data.errors import WireError

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner

# A connection gets a process after so many more small samples beside others than alone. They take 50 ms; a fork takes
# 10 ms.
CONTENTION_FOR_WORKER = 16
# A sample of more bytes spends its time in compiled loops, whose threads share the processors anyway.
MAX_SMALL_BYTES = 2**20
# A fork waits at most so long for a moment without a sample in progress; a large sample takes longer than that.
IDLE_WAIT_SECONDS = 0.25
# After a refused fork a connection does not ask again for so many samples, because each request delays the others.
SAMPLES_BEFORE_RETRY = 1000


class SampleConnection:
    """One sample socket that a thread serves.

    Attributes:
        contention: number of small samples that overlapped with others, less those that did not; negative after a
            fork was refused.
    """

    def __init__(self, sock: socket.socket, reusable_reader: ReusableReader) -> None:
        self.socket, self.reusable_reader = sock, reusable_reader
        self.contention = 0

    def close(self) -> None:
        """Close the socket and end its reader."""
        self.reusable_reader.close()
        self.socket.close()


class ConnectionManager:
    """Serves all sample sockets of the examiner.

    Its public methods are for the main thread. Only the main thread forks, because workers end with the thread that
    forked them.
    """

    def __init__(
        self, current: Callable[[], Examiner], max_workers: int, not_for_workers: Sequence[socket.socket] = ()
    ) -> None:
        """Begin without a connection.

        Args:
            current: returns the examiner for a sample that begins now.
            max_workers: how many processes may be forked at a time.
            not_for_workers: sockets that workers must close.
        """
        self._current, self._max_workers, self._private = current, max_workers, not_for_workers
        # guards the next three attributes; samples wait at this gate while it is shut
        self._gate = threading.Condition()
        self._in_progress = 0
        self._is_shut = False
        self._open: set[SampleConnection] = set()
        self._requests: deque[tuple[SampleConnection, Future[bool]]] = deque()
        self._workers: dict[int, Worker] = {}
        self._version = SetsVersion()
        self._wakeup, self._wake = os.pipe()

    def descriptors(self) -> list[int]:
        """The descriptors that the main thread polls; it calls `handle_readable` with those that are readable."""
        return [self._wakeup, *self._workers]

    def serve(self, sock: socket.socket) -> None:
        """Answer the samples of a socket from now on."""
        connection = SampleConnection(sock, ReusableReader(self._current().sandbox))
        with self._gate:
            self._open.add(connection)
        threading.Thread(target=self._serve, args=(connection,), name="sample socket", daemon=True).start()

    def note_new_sets(self) -> None:
        """Make every process compare samples that begin from now on with the examiner's new sets."""
        self._version.renew()

    def handle_readable(self, readable: set[int]) -> None:
        """Handle messages of workers whose sockets are readable, and start the workers that were requested."""
        for descriptor in readable & self._workers.keys():
            worker = self._workers[descriptor]
            if not worker.handle_message(self._current(), self.serve):
                del self._workers[descriptor]
        if self._wakeup in readable:
            os.read(self._wakeup, 4096)
            while self._requests:
                connection, moved = self._requests.popleft()
                moved.set_result(self._start_worker(connection))

    # --- in the thread of each connection --------------------------------------------------------------------------

    def _serve(self, connection: SampleConnection) -> None:
        try:
            while True:
                try:
                    start = receive(connection.socket)
                except (EOFError, OSError, WireError):
                    return
                with self._sample_in_progress(connection):
                    size = answer_sample(connection.socket, start, self._current(), connection.reusable_reader)
                if size is None or (self._needs_worker(connection, size) and self._move_to_worker(connection)):
                    return
        finally:
            self._close(connection)

    @contextlib.contextmanager
    def _sample_in_progress(self, connection: SampleConnection) -> Iterator[None]:
        """Count a sample as in progress, and note whether others were so at its beginning or end."""
        with self._gate:
            self._gate.wait_for(lambda: not self._is_shut)
            self._in_progress += 1
            has_others = self._in_progress > 1
        try:
            yield
        finally:
            with self._gate:
                has_others = has_others or self._in_progress > 1
                self._in_progress -= 1
                self._gate.notify_all()
            # a negative number, after a refused fork, only rises
            connection.contention += 1 if has_others or connection.contention < 0 else -min(1, connection.contention)

    def _needs_worker(self, connection: SampleConnection, size: int) -> bool:
        if size > MAX_SMALL_BYTES:
            connection.contention = min(connection.contention, 0)
        return connection.contention >= CONTENTION_FOR_WORKER and len(self._workers) < self._max_workers

    def _move_to_worker(self, connection: SampleConnection) -> bool:
        """Let the main thread move the connection to a process of its own; False if it stays here."""
        connection.reusable_reader.close()
        connection.contention = -SAMPLES_BEFORE_RETRY
        moved: Future[bool] = Future()
        self._requests.append((connection, moved))
        os.write(self._wake, b"w")
        return moved.result()

    def _close(self, connection: SampleConnection) -> None:
        # in this order: a worker that is forked in between closes the connection once more, and keeps nothing of it
        connection.close()
        with self._gate:
            self._open.discard(connection)

    # --- in the main thread ----------------------------------------------------------------------------------------

    def _start_worker(self, connection: SampleConnection) -> bool:
        with self._gate:
            is_alone = len(self._open) < 2
        if is_alone or len(self._workers) >= self._max_workers:
            # the other connections have been moved to workers in the meantime
            return False
        try:
            if not self._shut_gate():
                return False
            worker = start_worker(
                connection.socket, self._current(), self._version, partial(self._close_all_but, connection)
            )
        except OSError:
            # there is no process or descriptor left: the threads continue as before
            return False
        finally:
            self._open_gate()
        self._workers[worker.link.fileno()] = worker
        self._close(connection)
        return True

    def _shut_gate(self) -> bool:
        """Hold new samples back, and wait until none is in progress; False if that takes too long.

        At a fork, no thread then holds a lock or is in the middle of a sample.
        """
        with self._gate:
            self._is_shut = True
            return self._gate.wait_for(lambda: not self._in_progress, IDLE_WAIT_SECONDS)

    def _open_gate(self) -> None:
        with self._gate:
            self._is_shut = False
            self._gate.notify_all()

    def _close_all_but(self, mine: SampleConnection) -> None:
        """In a forked process, close everything of other connections, especially readers of other sources."""
        for sock in self._private:
            sock.close()
        for connection in self._open - {mine}:
            connection.close()
        for worker in self._workers.values():
            worker.link.close()
        os.close(self._wakeup)
        os.close(self._wake)
