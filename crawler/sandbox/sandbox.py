"""The sandbox from outside: starts the confined fork server and asks it for a new reader for each sample.

Levels of confinement, the strongest first: bubblewrap (own root, process, user and network namespaces; only the
interpreter and this code are visible, read-only), system call filter (no paths, no processes, no sockets), resource
limits. `Sandbox.protection` names the levels that are missing. Reading is left to `crawler.readers`.
"""

from __future__ import annotations

import array
import contextlib
import os
import shutil
import socket
import subprocess
import threading
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import orjson

from crawler.process import privileges
from crawler.process.examiner_client import ONE_THREAD
from crawler.process.following import start_following
from crawler.process.progress import kill_tree
from crawler.readers.core.limits import Limits
from crawler.sandbox.bubblewrap import bubblewrap_arguments, import_paths, interpreter
from crawler.sandbox.reader_session import ReaderExit, ReaderSession
from crawler.sandbox.status_bytes import STARTED
from data.errors import ReaderFailed

__all__ = ["Limits", "ReaderExit", "ReaderSession", "Sandbox"]

# a busy machine takes a while to import all readers
START_SECONDS = 60.0
# Seconds in which it must have forked a reader; otherwise it counts as frozen and is replaced. Far fewer than those after
# which an examiner that waits for it would itself count as frozen (`crawler.process.examiner_client.FROZEN_SECONDS`).
FORK_SECONDS = 8.0


@dataclass(slots=True)
class _ForkServer:
    """The running fork server.

    Attributes:
        process: None if another process started it.
        control: socket over which readers are requested.
        confinement: what confines it, for people.
        in_bubblewrap: it runs inside bubblewrap.
        greeting: what it reported when it was ready.
    """

    process: subprocess.Popen[bytes] | None
    control: socket.socket
    confinement: str
    in_bubblewrap: bool
    greeting: dict[str, Any] = field(default_factory=dict)


class Sandbox:
    """Gives out confined readers. One object serves many samples and threads, and restarts its fork server when needed.

    Args:
        limits: of every sample.
        bwrap: True requires bubblewrap, False does not use it, None uses it where it works.
        wait: False returns while the fork server is still starting; `ready` waits for it.

    Attributes:
        restarts: how often the fork server had ended, or was frozen, and was replaced.

    Raises:
        ReaderFailed: the fork server could not be started, or not inside bubblewrap although that is required.
    """

    def __init__(self, limits: Limits | None = None, bwrap: bool | None = None, *, wait: bool = True) -> None:
        self.limits = limits or Limits()
        self.restarts = 0
        self._bwrap = bwrap
        self._lock = threading.Lock()
        self._server: _ForkServer | None = None
        self._starting: _ForkServer | None = self._begin()
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until the fork server can start readers.

        Raises:
            ReaderFailed: as the constructor.
        """
        with self._lock:
            if self._server is None:
                self._server = self._start()

    def open(self) -> ReaderSession:
        """Start a new reader.

        Raises:
            ReaderFailed: the fork server had ended and could not be started again.
        """
        with self._lock:
            if self._server is None or _has_ended(self._server):
                self._server = self._restart()
            try:
                return self._open(self._server)
            except OSError:
                self._server = self._restart()
                return self._open(self._server)

    @staticmethod
    def _open(server: _ForkServer) -> ReaderSession:
        ours, theirs = socket.socketpair()
        # a socket with message boundaries, so that an order or a report is never divided
        status, theirs_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            descriptors = array.array("i", [theirs.fileno(), theirs_status.fileno()])
            server.control.sendmsg([b"O"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        except OSError:
            ours.close()
            status.close()
            raise
        finally:
            theirs.close()
            theirs_status.close()
        try:
            # a fork server that is frozen or has ended is noticed before the sample is sent, so that nothing is lost
            status.settimeout(FORK_SECONDS)
            if status.recv(len(STARTED)) != STARTED:
                raise OSError("the fork server of readers has ended")
            status.settimeout(None)
        except OSError:
            ours.close()
            status.close()
            raise
        return ReaderSession(ours, status)

    def protection(self) -> dict[str, str]:
        """What protects this machine from a hostile sample, {name: description}.

        A description of weaker protection than intended begins with "degraded", one of no protection with "none".
        """
        server = self._server
        if server is None:
            return {"reader walls": "none: the sandbox is closed"}
        return {
            "reader walls": server.confinement,
            "reader network": server.greeting["network"],
            "reader system calls": "filtered to open sockets, memory and time"
            if server.greeting["calls"]
            else "degraded: not filtered on this kernel or machine",
            "reader limits": f"{self.limits.memory // 2**20} MiB, {self.limits.cpu:g} s processor time, no core dumps",
        }

    def forked(self) -> None:
        """To be called in a process that was just forked: it shares the fork server, which its parent will end."""
        self._lock = threading.Lock()
        if self._server is not None:
            self._server = replace(self._server, process=None)

    def close(self) -> None:
        """End the fork server, and with it all readers."""
        with self._lock:
            running, self._server, self._starting = (self._server, self._starting), None, None
            for server in running:
                if server is not None:
                    _end(server)

    def __enter__(self) -> Self:
        """Return the sandbox itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # --- starting ------------------------------------------------------------------------------------------------

    def _restart(self) -> _ForkServer:
        self.restarts += 1
        if self._server is not None:
            _end(self._server)
            self._server = None
        return self._start()

    def _start(self) -> _ForkServer:
        server, self._starting = self._starting or self._begin(), None
        if not _receive_greeting(server) and server.in_bubblewrap:
            server = self._begin_without_bubblewrap("bubblewrap does not start on this machine as this user")
            _receive_greeting(server)
        if not server.greeting:
            raise ReaderFailed("the process that starts readers did not start", hint="run: tocsin doctor")
        return server

    def _begin(self) -> _ForkServer:
        """Start the fork server without waiting until it is ready."""
        if self._bwrap is False:
            return self._begin_without_bubblewrap("bubblewrap was not asked for")
        program = shutil.which("bwrap", path=os.environ.get("PATH", os.defpath))
        if program is None:
            return self._begin_without_bubblewrap("bubblewrap is not installed")
        # a process that gave up its network cannot create a network namespace, and the fork server then has no network
        # either
        options = ["--share-net"] if privileges.network_is_refused() else []
        return self._launch(
            [program, *bubblewrap_arguments(), *options], "bubblewrap: sees only its interpreter, read-only"
        )

    def _begin_without_bubblewrap(self, reason: str) -> _ForkServer:
        if self._bwrap:
            raise ReaderFailed(
                f"{reason}, but readers are required to run inside it", hint="apt-get install bubblewrap"
            )
        return self._launch([], f"degraded: {reason}; system call filter and limits only")

    def _launch(self, wrapper: list[str], confinement: str) -> _ForkServer:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = (
            f"import sys; sys.path[:0] = {import_paths()!r}\n"
            "from crawler.sandbox.fork_server import main\n"
            f"main({theirs.fileno()}, in_bubblewrap={bool(wrapper)}, follow_parent={not wrapper})"
        )
        command = [interpreter(), "-I", "-S", "-B", "-X", "utf8", "-c", code]
        if wrapper:
            command = [*wrapper, "--die-with-parent", "--", *command]
        process = start_following(
            command,
            pass_fds=(theirs.fileno(),),
            # bubblewrap passes on only what its own arguments name
            env=ONE_THREAD,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Control-C at a terminal must only reach the command, which then closes the sandbox
            start_new_session=True,
        )
        theirs.close()
        with contextlib.suppress(OSError):
            # a process that has ended already sends no greeting, which is checked later
            ours.send(orjson.dumps(asdict(self.limits)))
        return _ForkServer(process, ours, confinement, bool(wrapper))


def _receive_greeting(server: _ForkServer) -> bool:
    """Wait until the fork server is ready; one that fails to start is ended. Returns whether it is ready."""
    server.control.settimeout(START_SECONDS)
    try:
        greeting = server.control.recv(65_536)
    except OSError:
        greeting = b""
    server.control.settimeout(None)
    if greeting:
        server.greeting = orjson.loads(greeting)
    else:
        _end(server)
    return bool(greeting)


def _has_ended(server: _ForkServer) -> bool:
    # whether the child of another process has ended shows only when something is sent to it
    return server.process is not None and server.process.poll() is not None


def _end(server: _ForkServer) -> None:
    server.control.close()
    if server.process is None:
        return
    try:
        server.process.wait(2)
    except subprocess.TimeoutExpired:
        # without bubblewrap's option to end with its parent, its child would go on
        kill_tree(server.process.pid)
        server.process.wait()
