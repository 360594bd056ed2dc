"""A worker: a process forked from the examiner that serves one connection while many small samples come.

A worker shares the memory of the examiner, has its privileges, and ends with it. It gives its connection back once the
connection is idle, brings a large sample, or the examiner has new sets. `crawler.examiner.connections` decides which
connections get a worker. This module has both ends: what the examiner does (`Worker`), and what the process does.
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

from crawler.examiner.sample_socket import answer_sample
from crawler.process import privileges
from crawler.process.frames import pack, receive, receive_with_socket, send, send_with_socket
from crawler.sandbox.reusable_reader import ReusableReader
from data.errors import TocsinError, WireError
from data.hashing.tags import RECORD_KINDS, Kind
from data.releases.builder import ReleaseBuilder
from data.releases.folder import check_id

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner


# A connection without a sample for so long is given back, and the worker ends.
IDLE_SECONDS = 2.0
# After a sample of more bytes the connection is given back: large samples need no worker.
MAX_SMALL_BYTES = 2**20
# The most tags in one frame: 8 MB.
MAX_TAGS = 2**20
_VERSION = struct.Struct("=Q")


class SetsVersion:
    """A number that changes whenever the examiner opens new sets, in memory that it shares with its workers."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def now(self) -> int:
        """The current number."""
        (number,) = _VERSION.unpack_from(self._page)
        return int(number)

    def renew(self) -> None:
        """Change the number; only the examiner may do this."""
        _VERSION.pack_into(self._page, 0, self.now() + 1)


class Worker:
    """The examiner's end of a worker process."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        self.pid, self.link = pid, link
        self._collected: ReleaseBuilder | None = None

    def handle_message(self, examiner: Examiner, take_back: Callable[[socket.socket], None]) -> bool:
        """Handle the next message of the worker; False if the worker has ended, in which case it is waited for.

        Args:
            examiner: gets the records that the worker collected for a release.
            take_back: is called with the connection once the worker gives it back.
        """
        try:
            kind, payload, connection = receive_with_socket(self.link)
            if kind == b"A" and connection is not None:
                take_back(connection)
            elif kind == b"B":
                self._collected = ReleaseBuilder(check_id(payload.decode()))
            elif kind == b"E" and self._collected is not None:
                examiner.add_collected(self._collected)
                self._collected = None
                send(self.link, b"O")
            elif self._collected is not None:
                _add_frame(self._collected, kind, payload)
            else:
                raise WireError("a worker sent a frame that was not expected")
        except (EOFError, OSError, ValueError, TocsinError):
            # The worker has ended or sends invalid frames. A peer that waits for its answer sees that the connection
            # is closed, and sends the sample again.
            self.link.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return False
        return True


def start_worker(
    sock: socket.socket, examiner: Examiner, version: SetsVersion, close_others: Callable[[], None]
) -> Worker:
    """Fork a worker for a connection; the caller makes sure that no sample is in progress.

    Args:
        sock: of the connection, between two samples. The caller closes its own copy afterwards.
        examiner: as it is now.
        version: of the examiner's sets.
        close_others: closes everything that the worker must not hold.

    Raises:
        OSError: the system has no room for another process.
    """
    ours, theirs = socket.socketpair()
    examiner_pid = os.getpid()
    try:
        # all other threads wait for their sockets or at the gate, and hold no lock that the worker needs
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        _run_worker(sock, examiner, version, theirs, ours, close_others, examiner_pid)
    theirs.close()
    return Worker(pid, ours)


# --- in the worker ---------------------------------------------------------------------------------------------------


def _run_worker(
    sock: socket.socket,
    examiner: Examiner,
    version: SetsVersion,
    link: socket.socket,
    examiners_end: socket.socket,
    close_others: Callable[[], None],
    examiner_pid: int,
) -> NoReturn:
    """Run the worker; this function ends the process and never returns."""
    code = 1
    try:
        privileges.die_with_parent()
        if os.getppid() == examiner_pid:
            gc.freeze()
            # a fork inherits the memory of the keys, but not that it is locked
            examiner.keys.protect()
            examiners_end.close()
            close_others()
            examiner.sandbox.forked()
            # records collected before the fork stay with the examiner; sent back, they would count twice
            examiner.builders.clear()
            _serve(sock, examiner, version, link)
            code = 0
    finally:
        # never write a traceback: its text could hold content of a sample
        os._exit(code)


def _serve(sock: socket.socket, examiner: Examiner, version: SetsVersion, link: socket.socket) -> None:
    """Answer samples until the connection is closed or given back."""
    version_at_start = version.now()
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(link, select.POLLIN)
    with contextlib.closing(ReusableReader(examiner.sandbox)) as reusable_reader:
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(1000 * IDLE_SECONDS)}
            if link.fileno() in ready:
                # the examiner sends nothing by itself, so that a readable socket means that it has ended
                return
            if not ready or version.now() != version_at_start:
                break
            try:
                start = receive(sock)
            except (EOFError, OSError, WireError):
                return
            size = answer_sample(sock, start, examiner, reusable_reader, lambda: _send_collected(examiner, link))
            if size is None:
                return
            if size > MAX_SMALL_BYTES:
                break
    send_with_socket(link, pack(b"A"), sock)


def _send_collected(examiner: Examiner, link: socket.socket) -> None:
    """Send the records collected for releases to the examiner, before the finding that names a release is sent.

    Only the examiner writes releases.
    """
    while examiner.builders:
        release, builder = examiner.builders.popitem()
        send(link, b"B", release.encode())
        for kind, payload in _frames_of(builder):
            send(link, kind, payload)
        send(link, b"E")
        receive(link)


def _frames_of(builder: ReleaseBuilder) -> Iterator[tuple[bytes, bytes]]:
    """The collected records of a release as frames: kind and payload."""
    rows = MAX_TAGS // len(RECORD_KINDS)
    for keys, values, notes, common, marks in builder.parts():
        for at in range(0, len(keys), rows):
            yield b"K", np.ascontiguousarray(keys[at : at + rows]).tobytes()
        for kind, tags in values.items():
            for at in range(0, len(tags), MAX_TAGS):
                yield b"V", bytes((kind,)) + tags[at : at + MAX_TAGS].tobytes()
        for at in range(0, len(notes), MAX_TAGS):
            yield b"N", notes[at : at + MAX_TAGS].tobytes()
        for at in range(0, len(common), MAX_TAGS):
            yield b"C", common[at : at + MAX_TAGS].tobytes()
        for at in range(0, len(marks), MAX_TAGS):
            yield b"M", marks[at : at + MAX_TAGS].tobytes()


def _add_frame(builder: ReleaseBuilder, kind: bytes, payload: bytes | bytearray) -> None:
    """Add the records of one frame to a release; the inverse of `_frames_of`."""
    none = np.zeros((0, len(RECORD_KINDS)), np.uint64)
    if kind == b"K":
        builder.add(np.frombuffer(payload, np.uint64).reshape(-1, len(RECORD_KINDS)), {})
    elif kind == b"V":
        builder.add(none, {Kind(payload[0]): np.frombuffer(payload, np.uint64, offset=1)})
    elif kind == b"N":
        builder.add(none, {}, np.frombuffer(payload, np.uint64))
    elif kind == b"C":
        builder.add(none, {}, None, np.frombuffer(payload, np.uint64))
    elif kind == b"M":
        builder.add(none, {}, marks=np.frombuffer(payload, np.uint64))
    else:
        raise WireError("a worker sent a frame of an unknown kind")
