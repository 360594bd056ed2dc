"""The warm process inside the sandbox: forks readers, watches their clocks and reports their ends.

It never reads a byte of a sample itself. What readers make of samples is left to `crawler.readers.core.members`.
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

from crawler.process import privileges, startup_memory
from crawler.process.frames import CHUNK, receive, send
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_sample
from crawler.readers.core.registry import readers
from data.errors import WireError

# exit codes of a reader; 0 is a sample read to its end, problems included
EXIT_MEMORY, EXIT_PEER, EXIT_OTHER = 3, 4, 5
# what the owner of a sample says on its life socket
KILL = b"K"
_CLOCK = struct.Struct("=dd")
# address space that the interpreter and all imported libraries take before a sample comes (numpy 120 MiB, pyarrow 190)
_LIBRARIES = 384 * 2**20
# encodings are found by name in files, which a reader can no longer open
_ENCODINGS = ("utf-8", "ascii", "latin-1", "cp1252", "cp437", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


class Clock:
    """Time that a reader spends waiting for others, in memory that it shares with the process that watches it."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def wait(self, action: Callable[[], None]) -> None:
        """Do something that waits for the other end of the socket."""
        waited, _ = _CLOCK.unpack_from(self._page)
        began = time.monotonic()
        _CLOCK.pack_into(self._page, 0, waited, began)
        try:
            action()
        finally:
            _CLOCK.pack_into(self._page, 0, waited + time.monotonic() - began, 0.0)

    def waited(self, now: float) -> float:
        """Seconds of waiting until now."""
        waited, since = _CLOCK.unpack_from(self._page)
        return float(waited + (now - since if since else 0.0))

    def close(self) -> None:
        """Give the page back."""
        self._page.close()


# --- a reader ------------------------------------------------------------------------------------------------------


class _Peer:
    """The reader's end of the sample's socket."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self.socket = sock
        self.clock = clock
        self.ended = True
        self._first: tuple[bytes, bytes] | None = None

    def next_sample(self) -> bool:
        """Wait for the beginning of a sample; False when there will be none."""
        try:
            self._first = self._receive()
        except WireError:
            return False
        self.ended = False
        return True

    def chunks(self) -> Iterator[bytes]:
        """The sample's bytes until it ends."""
        while not self.ended:
            (kind, payload), self._first = self._first or self._receive(), None
            if kind == b"D":
                yield payload
            elif kind == b"E":
                self.ended = True
            else:
                raise WireError("an unknown frame in the middle of a sample")

    def _receive(self) -> tuple[bytes, bytes]:
        frame: list[tuple[bytes, bytearray]] = []
        try:
            self.clock.wait(lambda: frame.append(receive(self.socket, 16 * CHUNK)))
        except (EOFError, OSError) as error:
            raise WireError("the sample's owner is gone") from error
        kind, payload = frame[0]
        return kind, bytes(payload)

    def send(self, kind: bytes, payload: bytes) -> None:
        """One frame."""
        try:
            self.clock.wait(lambda: send(self.socket, kind, payload))
        except OSError as error:
            raise WireError("the sample's owner is gone") from error

    def drain(self) -> None:
        """Take the rest of a sample that a limit ended, so that its owner never meets a broken socket."""
        for _ in self.chunks():
            pass


def _read(sock: socket.socket, clock: Clock, limits: Limits) -> NoReturn:
    """Give up everything else, read one sample after another until the owner has no more, and end."""
    code = EXIT_OTHER
    try:
        privileges.no_core_dumps()
        privileges.die_with_parent()
        privileges.limit_resources(
            memory=_LIBRARIES + limits.memory + limits.hold, cpu=limits.cpu, files=16, file_size=0
        )
        privileges.apply_computing_filter()
        peer = _Peer(sock, clock)
        while peer.next_sample():
            read_sample(peer.chunks(), peer.send, limits)
            peer.drain()
        code = 0
    except MemoryError:
        code = EXIT_MEMORY
    except WireError:
        code = EXIT_PEER
    finally:
        # no traceback is ever written: its text could hold content
        os._exit(code)


# --- the warm process --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Child:
    """A reader that runs."""

    pid: int
    life: socket.socket
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
        """Until nobody can ask any more."""
        while True:
            poll = select.poll()
            poll.register(self.control, select.POLLIN)
            poll.register(self.wakeup, select.POLLIN)
            for child in self.children.values():
                poll.register(child.life, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(self._wait())}
            if self.wakeup in ready:
                os.read(self.wakeup, 4096)
            # an end that has already happened is told as it was, before any order to kill is followed
            self._reap()
            for child in list(self.children.values()):
                if child.life.fileno() in ready:
                    self._order(child)
            self._check_clocks()
            if self.control.fileno() in ready and not self._open():
                return

    def _open(self) -> bool:
        message, ancillary, _, _ = self.control.recvmsg(1, socket.CMSG_SPACE(8))
        if not message:
            return False
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        sample, life = (socket.socket(fileno=each) for each in descriptors)
        clock = Clock()
        pid = os.fork()
        if pid == 0:
            # other samples' sockets are not this reader's business
            self.control.close()
            life.close()
            for child in self.children.values():
                child.life.close()
            signal.set_wakeup_fd(-1)
            os.close(self.wakeup)
            os.close(self.wake)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _read(sample, clock, self.limits)
        sample.close()
        self.children[pid] = _Child(pid, life, clock, time.monotonic())
        return True

    def _order(self, child: _Child) -> None:
        with contextlib.suppress(ConnectionResetError):
            child.life.recv(1)
        if not child.killed:
            # told to, or its owner is gone
            self._kill(child, "it was ended on request")

    def _kill(self, child: _Child, reason: str) -> None:
        child.killed = reason
        os.kill(child.pid, signal.SIGKILL)

    def _left(self, child: _Child, now: float) -> float:
        """Seconds until the child has to be looked at again; none left means that its time is over."""
        limits = self.limits
        worked = now - child.began - child.clock.waited(now)
        return min(limits.wall - worked, child.began + limits.total_time - now)

    def _check_clocks(self) -> None:
        now = time.monotonic()
        for child in self.children.values():
            if not child.killed and self._left(child, now) <= 0:
                self._kill(child, f"it reached the limit of {self.limits.wall:g} seconds")

    def _wait(self) -> int | None:
        """Milliseconds until the next clock may run out."""
        now = time.monotonic()
        left = [self._left(child, now) for child in self.children.values() if not child.killed]
        return max(1, int(min(min(left), 3600) * 1000) + 1) if left else None

    def _reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self.children.pop(pid)
            child.clock.close()
            try:
                child.life.send(orjson.dumps(_exit(child, status, self.limits)))
            except OSError:
                # its owner is gone; nobody is left who wants to know
                pass
            finally:
                child.life.close()


def _exit(child: _Child, status: int, limits: Limits) -> dict[str, int | str | None]:
    """What is told of a reader's end."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    reasons = {
        0: "",
        EXIT_MEMORY: f"it needed more memory than {limits.memory} bytes",
        EXIT_PEER: "its socket was closed before it ended",
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


def main(descriptor: int, *, walls: bool, follow_parent: bool) -> None:
    """Entry of the process.

    Args:
        descriptor: of the control socket. Its first message holds the limits; each later one opens a sample.
        walls: it runs inside bubblewrap.
        follow_parent: it ends with the thread that started it.
    """
    control = socket.socket(fileno=descriptor)
    if follow_parent:
        privileges.die_with_parent()
    limits = Limits(**orjson.loads(control.recv(65_536)))
    privileges.no_core_dumps()
    network = privileges.without_network()
    # what is loaded now stays, and is looked through once, at the end
    gc.disable()
    loaded = readers()
    for name in _ENCODINGS:
        codecs.lookup(name)
    privileges.prepare_computing_filter()
    greeting = {
        "readers": [reader.FORMAT for reader in loaded],
        "network": "network namespace and system call filter" if walls and "filter" in network else network,
        "calls": privileges.computing_filter_works(),
    }
    startup_memory.keep_buffers()
    # what is imported now is shared by all readers; collecting it again in each would copy it
    startup_memory.release_startup_memory()
    gc.enable()
    control.send(orjson.dumps(greeting))
    _ForkServer(control, limits).serve()
    sys.exit(0)
