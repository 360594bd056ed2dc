"""A process forked from the warm examiner that serves one connection while many small samples come, and both its ends.

It shares the memory of the examiner, has its privileges, and ends with it. It gives its connection back once that is
idle, brings a large sample, or the sets have changed. Whose connection gets one is said by `crawler.examiner.connections`.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from crawler.examiner.sample_socket import answer
from crawler.process import privileges
from crawler.process.frames import pack, receive, receive_with_socket, send, send_with_socket
from crawler.sandbox.reusable_reader import ReusableReader
from data.errors import TocsinError, WireError
from data.hashing.tags import RECORD_KINDS, Kind
from data.releases.builder import ReleaseBuilder

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner


# A connection that brings nothing for so long is given back, and its process ends.
IDLE_SECONDS = 2.0
# A sample of more bytes is examined to its end, and the connection then given back: large ones need no process.
LARGE = 2**20
# Tags in one frame: 8 MB.
MOST_TAGS = 2**20
_VERSION = struct.Struct("=Q")


class SetsVersion:
    """A number that changes with the examiner's sets, in memory that forked processes share."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def now(self) -> int:
        """The number."""
        (number,) = _VERSION.unpack_from(self._page)
        return int(number)

    def renew(self) -> None:
        """Change it; only the examiner does."""
        _VERSION.pack_into(self._page, 0, self.now() + 1)


class Worker:
    """The examiner's end of a forked process."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        self.pid, self.link = pid, link
        self._collected: ReleaseBuilder | None = None

    def hear(self, examiner: Examiner, take_back: Callable[[socket.socket], None]) -> bool:
        """Take the next thing that it says; False once it has ended, and is seen out.

        Args:
            examiner: takes the records that were collected for a release.
            take_back: takes its connection.
        """
        try:
            kind, payload, connection = receive_with_socket(self.link)
            if kind == b"A" and connection is not None:
                take_back(connection)
            elif kind == b"B":
                self._collected = ReleaseBuilder(payload.decode())
            elif kind == b"E" and self._collected is not None:
                examiner.take(self._collected)
                self._collected = None
                send(self.link, b"O")
            elif self._collected is not None:
                _add(self._collected, kind, payload)
            else:
                raise WireError("a frame out of its order")
        except (EOFError, OSError, ValueError, TocsinError):
            # it has ended, or speaks nonsense: whoever waits for an answer of it meets the end of its connection, and asks again
            self.link.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return False
        return True


def start_worker(
    sock: socket.socket, examiner: Examiner, version: SetsVersion, drop_others: Callable[[], None]
) -> Worker:
    """Fork a process that serves a connection, at a moment when no thread is in the middle of a sample.

    Args:
        sock: of the connection, between two samples; the caller closes its own copy.
        examiner: as it is now.
        version: of the examiner's sets.
        drop_others: closes what the process must not hold.

    Raises:
        OSError: there is no room for another process.
    """
    ours, theirs = socket.socketpair()
    examiner_pid = os.getpid()
    try:
        # other threads wait for their sockets or at the gate, and hold nothing that the process needs
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        _work(sock, examiner, version, theirs, ours, drop_others, examiner_pid)
    theirs.close()
    return Worker(pid, ours)


# --- the process -----------------------------------------------------------------------------------------------------


def _work(
    sock: socket.socket,
    examiner: Examiner,
    version: SetsVersion,
    link: socket.socket,
    examiners_end: socket.socket,
    drop_others: Callable[[], None],
    examiner_pid: int,
) -> NoReturn:
    """Everything that the forked process does; it leaves no other way than by its end."""
    code = 1
    try:
        privileges.die_with_parent()
        if os.getppid() == examiner_pid:
            gc.freeze()
            examiners_end.close()
            drop_others()
            examiner.sandbox.forked()
            # what was collected until now is the examiner's: handed over again it would count twice
            examiner.builders.clear()
            _serve(sock, examiner, version, link)
            code = 0
    finally:
        # no traceback is ever written: its text could hold content
        os._exit(code)


def _serve(sock: socket.socket, examiner: Examiner, version: SetsVersion, link: socket.socket) -> None:
    """Answer samples until the connection is over or given back."""
    born = version.now()
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(link, select.POLLIN)
    with contextlib.closing(ReusableReader(examiner.sandbox)) as kept:
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(1000 * IDLE_SECONDS)}
            if link.fileno() in ready:
                # the examiner says nothing unasked: it is gone
                return
            if not ready or version.now() != born:
                break
            try:
                start = receive(sock)
            except (EOFError, OSError, WireError):
                return
            size = answer(sock, start, examiner, kept, lambda: _hand_over(examiner, link))
            if size is None:
                return
            if size > LARGE:
                break
    send_with_socket(link, pack(b"A"), sock)


def _hand_over(examiner: Examiner, link: socket.socket) -> None:
    """Give what was collected for releases to the examiner, which alone writes them, before the finding names one."""
    while examiner.builders:
        release, builder = examiner.builders.popitem()
        send(link, b"B", release.encode())
        for kind, payload in _frames(builder):
            send(link, kind, payload)
        send(link, b"E")
        receive(link)


def _frames(builder: ReleaseBuilder) -> Iterator[tuple[bytes, bytes]]:
    rows = MOST_TAGS // len(RECORD_KINDS)
    for keys, values, notes in builder.parts():
        for at in range(0, len(keys), rows):
            yield b"K", np.ascontiguousarray(keys[at : at + rows]).tobytes()
        for kind, tags in values.items():
            for at in range(0, len(tags), MOST_TAGS):
                yield b"V", bytes((kind,)) + tags[at : at + MOST_TAGS].tobytes()
        for at in range(0, len(notes), MOST_TAGS):
            yield b"N", notes[at : at + MOST_TAGS].tobytes()


def _add(builder: ReleaseBuilder, kind: bytes, payload: bytes | bytearray) -> None:
    """The inverse of `_frames`."""
    none = np.zeros((0, len(RECORD_KINDS)), np.uint64)
    if kind == b"K":
        builder.add(np.frombuffer(payload, np.uint64).reshape(-1, len(RECORD_KINDS)), {})
    elif kind == b"V":
        builder.add(none, {Kind(payload[0]): np.frombuffer(payload, np.uint64, offset=1)})
    elif kind == b"N":
        builder.add(none, {}, np.frombuffer(payload, np.uint64))
    else:
        raise WireError("an unknown frame of a worker")
