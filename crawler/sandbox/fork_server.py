"""The fork server inside the sandbox: it has imported all readers, forks one for each sample, and enforces time limits.

It never reads a byte of a sample itself. In a forked reader, `crawler.readers.core.members` reads the sample.
"""

from __future__ import annotations

import array
import codecs
import contextlib
import gc
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

import orjson

from crawler.process import memory_limits, privileges, startup_memory
from crawler.process.frames import HEADER, MAX_FRAME, SMALL_FRAME, pack, receive_exactly, send
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_sample
from crawler.readers.core.output import Output
from crawler.readers.core.registry import readers
from crawler.readers.core.source import LineBlock
from crawler.readers.core.speed_floor import SpeedFloor
from crawler.sandbox.status_bytes import STARTED
from data.errors import WireError

# exit codes of a reader; 0 means that it read its samples to the end, even if these had problems
EXIT_MEMORY, EXIT_PEER, EXIT_OTHER = 3, 4, 5
_CLOCK = struct.Struct("=dd")
# seconds of processor time after which a reader is looked at that passes no point of control of its speed
_CONTROL_SECONDS = 1.0
# address space of the interpreter and all imported libraries before a sample arrives (numpy 120 MiB, pyarrow 190 MiB,
# tesseract 60 MiB)
_LIBRARIES = 448 * 2**20
# codecs are loaded from files by their names, and a reader can no longer open files
_ENCODINGS = ("utf-8", "ascii", "latin-1", "cp1252", "cp437", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


class Clock:
    """Measures how long a reader waits for its peer, in memory that it shares with the fork server."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def wait(self, action: Callable[[], None]) -> None:
        """Call `action`, which waits for the other end of the socket, and count its time as waiting."""
        waited, _ = _CLOCK.unpack_from(self._page)
        began = time.monotonic()
        _CLOCK.pack_into(self._page, 0, waited, began)
        try:
            action()
        finally:
            _CLOCK.pack_into(self._page, 0, waited + time.monotonic() - began, 0.0)

    def waited(self, now: float) -> float:
        """Seconds spent waiting until `now`."""
        waited, since = _CLOCK.unpack_from(self._page)
        return float(waited + (now - since if since else 0.0))

    def close(self) -> None:
        """Free the shared memory."""
        self._page.close()


# --- a reader ------------------------------------------------------------------------------------------------------


class _Peer:
    """The reader's end of its socket to the examiner."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self.socket = sock
        self.clock = clock
        self.ended = True
        # what counts the time of the sample that is being read, and whether a frame is on its way, which must stay whole
        self._speed: SpeedFloor | None = None
        self._exchanging = False
        # passwords that came with the sample
        self._passwords: tuple[str, ...] = ()
        # the blocks of lines of a sample that is a chunk of a file
        self._guide: tuple[LineBlock, ...] | None = None
        # bytes that arrived together with a frame: small frames come several at once
        self._incoming = bytearray()
        # the first frame of the next sample, which has arrived
        self._first: tuple[bytes, bytes] | None = None
        # frames that mean nothing without the next one, with which they are sent: each send wakes the examiner
        self._held = b""
        self._depth = 0

    def next_sample(self) -> bool:
        """Wait until a sample begins; False if the examiner closed the connection instead."""
        self._passwords, self._guide = (), None
        try:
            kind, payload = self._receive()
            if kind == b"G":
                self._guide = tuple(LineBlock(*block) for block in orjson.loads(payload))
                kind, payload = self._receive()
            if kind == b"W":
                self._passwords = tuple(orjson.loads(payload))
                kind, payload = self._receive()
            self._first = kind, payload
        except WireError:
            return False
        self.ended = False
        return True

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the sample, to its end."""
        while not self.ended:
            (kind, payload), self._first = self._first or self._receive(), None
            if kind == b"D":
                yield payload
            elif kind == b"E":
                self.ended = True
            else:
                raise WireError("an unknown frame arrived in the middle of a sample")

    def begin(self, out: Output) -> None:
        """A sample begins: its processor time is looked at, and its passwords are known to its readers."""
        self._speed = out.speed
        out.passwords, out.guide = self._passwords, self._guide

    def interrupt(self) -> None:
        """The timer of processor time has run out: raise `TooSlow` in a reader that is stuck."""
        if self._speed is not None and not self._exchanging:
            self._speed.interrupt()

    def _receive(self) -> tuple[bytes, bytes]:
        """The next frame; frames that arrived with the one before are not waited for."""
        self._exchanging = True
        try:
            if self._held:
                self.clock.wait(self._send_held)
            while len(self._incoming) < HEADER.size:
                self.clock.wait(self._receive_some)
            kind, size = HEADER.unpack_from(self._incoming)
            if size > MAX_FRAME:
                raise WireError(f"a peer announced a frame of {size} bytes, over the limit of {MAX_FRAME}")
            end = HEADER.size + size
            if len(self._incoming) < end:
                self.clock.wait(lambda: self._incoming.extend(receive_exactly(self.socket, end - len(self._incoming))))
            payload = bytes(memoryview(self._incoming)[HEADER.size : end])
            del self._incoming[:end]
        except (EOFError, OSError) as error:
            raise WireError("the examiner closed the connection") from error
        finally:
            self._exchanging = False
        return kind, payload

    def _receive_some(self) -> None:
        data = self.socket.recv(SMALL_FRAME)
        if not data:
            raise EOFError
        self._incoming += data

    def send(self, kind: bytes, payload: bytes) -> None:
        """Send one frame; the header of a table and the end of the sample's own member wait for the frame after them."""
        self._depth += (kind == b"M") - (kind == b"E")
        if len(payload) <= SMALL_FRAME:
            self._held += pack(kind, payload)
            if kind == b"H" or (kind == b"E" and not self._depth):
                return
        self._exchanging = True
        try:
            if self._held:
                self.clock.wait(self._send_held)
            if len(payload) > SMALL_FRAME:
                self.clock.wait(lambda: send(self.socket, kind, payload))
        except OSError as error:
            raise WireError("the examiner closed the connection") from error
        finally:
            self._exchanging = False

    def _send_held(self) -> None:
        held, self._held = self._held, b""
        self.socket.sendall(held)

    def drain(self) -> None:
        """Receive the rest of a sample that a limit ended, so that the examiner never writes to a broken socket."""
        for _ in self.chunks():
            pass


def _run_reader(sock: socket.socket, clock: Clock, limits: Limits) -> NoReturn:
    """Give up all privileges, read one sample after another until the examiner closes the socket, and exit."""
    code = EXIT_OTHER
    try:
        privileges.no_core_dumps()
        privileges.die_with_parent()
        privileges.limit_resources(
            memory=_LIBRARIES + limits.memory + limits.hold, cpu=limits.cpu, files=16, file_size=0
        )
        peer = _Peer(sock, clock)
        signal.signal(signal.SIGPROF, lambda *_: peer.interrupt())
        # the filter refuses to set a timer
        signal.setitimer(signal.ITIMER_PROF, _CONTROL_SECONDS, _CONTROL_SECONDS)
        privileges.apply_computing_filter()
        while peer.next_sample():
            read_sample(peer.chunks(), peer.send, limits, begun=peer.begin)
            peer.drain()
        code = 0
    except MemoryError:
        code = EXIT_MEMORY
    except WireError:
        code = EXIT_PEER
    finally:
        # no traceback is ever written, because it could contain content of the sample
        os._exit(code)


# --- the fork server ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Child:
    """A running reader.

    Attributes:
        status: socket on which the examiner can order its end, and on which its exit is reported.
        began: monotonic time.
        killed: why it was killed, '' if it was not.
    """

    pid: int
    status: socket.socket
    clock: Clock
    began: float
    killed: str = ""


class _ForkServer:
    """Forks readers on demand until its control socket closes."""

    def __init__(self, control: socket.socket, limits: Limits) -> None:
        self.control = control
        self.limits = limits
        self.children: dict[int, _Child] = {}
        self.wakeup, self.wake = os.pipe()
        for end in (self.wakeup, self.wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Serve until the control socket is closed."""
        while True:
            poll = select.poll()
            poll.register(self.control, select.POLLIN)
            poll.register(self.wakeup, select.POLLIN)
            for child in self.children.values():
                poll.register(child.status, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(self._wait())}
            if self.wakeup in ready:
                os.read(self.wakeup, 4096)
            # a reader that has already ended is reported first, so that an order to kill it does not change the reason
            self._reap()
            for child in list(self.children.values()):
                if child.status.fileno() in ready:
                    self._follow_order(child)
            self._check_clocks()
            if self.control.fileno() in ready and not self._fork_reader():
                return

    def _fork_reader(self) -> bool:
        """Fork a reader for the two sockets that arrive on the control socket; False if that is closed."""
        message, ancillary, _, _ = self.control.recvmsg(1, socket.CMSG_SPACE(8))
        if not message:
            return False
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        sample, status = (socket.socket(fileno=each) for each in descriptors)
        clock = Clock()
        pid = os.fork()
        if pid == 0:
            # a reader must not have the sockets of others
            self.control.close()
            status.close()
            for child in self.children.values():
                child.status.close()
            signal.set_wakeup_fd(-1)
            os.close(self.wakeup)
            os.close(self.wake)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run_reader(sample, clock, self.limits)
        sample.close()
        with contextlib.suppress(OSError):
            # an examiner that does not wait for this reader any more closes the socket, which ends the reader
            status.send(STARTED)
        self.children[pid] = _Child(pid, status, clock, time.monotonic())
        return True

    def _follow_order(self, child: _Child) -> None:
        """End a reader whose examiner asks for it, or has closed the status socket."""
        with contextlib.suppress(ConnectionResetError):
            child.status.recv(1)
        if not child.killed:
            self._kill(child, "it was ended on request")

    def _kill(self, child: _Child, reason: str) -> None:
        child.killed = reason
        os.kill(child.pid, signal.SIGKILL)

    def _time_left(self, child: _Child, now: float) -> float:
        """Seconds until a time limit of the reader may be reached; 0 or less if one was reached."""
        limits = self.limits
        worked = now - child.began - child.clock.waited(now)
        return min(limits.wall - worked, child.began + limits.total_time - now)

    def _check_clocks(self) -> None:
        now = time.monotonic()
        for child in self.children.values():
            if not child.killed and self._time_left(child, now) <= 0:
                self._kill(child, f"it reached the limit of {self.limits.wall:g} seconds")

    def _wait(self) -> int | None:
        """Milliseconds until the next time limit may be reached, None without running readers."""
        now = time.monotonic()
        left = [self._time_left(child, now) for child in self.children.values() if not child.killed]
        return max(1, int(min(min(left), 3600) * 1000) + 1) if left else None

    def _reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self.children.pop(pid)
            child.clock.close()
            try:
                child.status.send(orjson.dumps(_exit_report(child, status, self.limits)))
            except OSError:
                # the examiner has closed the socket and does not need the report
                pass
            finally:
                child.status.close()


def _exit_report(child: _Child, status: int, limits: Limits) -> dict[str, int | str | None]:
    """How a reader ended: the fields of `ReaderExit`."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    reasons = {
        0: "",
        EXIT_MEMORY: f"it needed more memory than {limits.memory} bytes",
        EXIT_PEER: "its socket was closed before the end of the sample",
    }
    if number == signal.SIGXCPU:
        reason = f"it reached the limit of {limits.cpu:g} seconds of processor time"
    elif number == signal.SIGKILL and child.killed:
        reason = child.killed
    elif number is not None:
        reason = f"it crashed with {signal.Signals(number).name}"
    else:
        reason = reasons.get(code or 0, "it failed")
    return {"code": code, "signal": number, "reason": reason}


def main(descriptor: int, *, in_bubblewrap: bool, follow_parent: bool) -> None:
    """Run the fork server; the entry point of its process.

    Args:
        descriptor: of the control socket. Its first message holds the limits; each later one brings the sockets of a
            reader.
        in_bubblewrap: the process runs inside bubblewrap.
        follow_parent: the process ends with the thread that started it.
    """
    control = socket.socket(fileno=descriptor)
    if follow_parent:
        privileges.die_with_parent()
    limits = Limits(**orjson.loads(control.recv(65_536)))
    memory_limits.lift_data_limit()
    privileges.no_core_dumps()
    network = privileges.without_network()
    # the modules loaded now stay in memory, so garbage collection runs only once, at the end
    gc.disable()
    loaded = readers()
    for name in _ENCODINGS:
        codecs.lookup(name)
    privileges.prepare_computing_filter()
    greeting = {
        "readers": [reader.FORMAT for reader in loaded],
        "network": "network namespace and system call filter" if in_bubblewrap and "filter" in network else network,
        "calls": privileges.computing_filter_works(),
    }
    startup_memory.keep_buffers()
    # all readers share the memory of what is imported now; garbage collection in a reader would copy it
    startup_memory.release_startup_memory()
    gc.enable()
    control.send(orjson.dumps(greeting))
    _ForkServer(control, limits).serve()
    sys.exit(0)
