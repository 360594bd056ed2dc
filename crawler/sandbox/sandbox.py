"""The sandbox from outside: one warm process behind walls, a fresh reader per sample; reading is left to `readers`.

Levels, best first: bubblewrap (own root, process, user and network namespaces, nothing but the interpreter and this
code to be seen, all read-only), system call filter (no path, no process, no socket), resource limits. What could not be
had is named by `Sandbox.protection`.
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
from crawler.readers.core.limits import Limits
from crawler.sandbox.bubblewrap import _interpreter, _roots, walls
from crawler.sandbox.reader_session import ReaderExit, ReaderSession
from data.errors import ReaderFailed

__all__ = ["Limits", "ReaderExit", "ReaderSession", "Sandbox"]

# a loaded machine takes a while to import what readers need
START_SECONDS = 60.0


@dataclass(slots=True)
class _ForkServer:
    """The warm process that runs; `process` is None where another one started it."""

    process: subprocess.Popen[bytes] | None
    control: socket.socket
    walls: str
    walled: bool
    greeting: dict[str, Any] = field(default_factory=dict)


class Sandbox:
    """Readers behind walls; one object serves many samples and threads, and starts its process again by itself.

    Args:
        limits: of every sample.
        bwrap: True insists on bubblewrap, False does without, None takes it where it works.
        wait: False lets its process start while the caller does other things, until `ready`.

    Raises:
        ReaderFailed: nothing could be started, or not with bubblewrap where that was insisted on.
    """

    def __init__(self, limits: Limits | None = None, bwrap: bool | None = None, *, wait: bool = True) -> None:
        self.limits = limits or Limits()
        self._bwrap = bwrap
        self._lock = threading.Lock()
        self._zygote: _ForkServer | None = None
        self._begun: _ForkServer | None = self._begin()
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until its process can read samples; raises as the constructor does."""
        with self._lock:
            if self._zygote is None:
                self._zygote = self._start()

    def open(self) -> ReaderSession:
        """A fresh reader for one sample.

        Raises:
            ReaderFailed: the process was gone and could not be started again.
        """
        with self._lock:
            if self._zygote is None or _has_ended(self._zygote):
                self._zygote = self._restart()
            try:
                return self._open(self._zygote)
            except OSError:
                self._zygote = self._restart()
                return self._open(self._zygote)

    @staticmethod
    def _open(zygote: _ForkServer) -> ReaderSession:
        ours, theirs = socket.socketpair()
        # message boundaries keep an order and a report whole
        life, watched = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            descriptors = array.array("i", [theirs.fileno(), watched.fileno()])
            zygote.control.sendmsg([b"O"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        except OSError:
            ours.close()
            life.close()
            raise
        finally:
            theirs.close()
            watched.close()
        return ReaderSession(ours, life)

    def protection(self) -> dict[str, str]:
        """What stands between a hostile sample and this machine, by name; weaker than meant begins with "degraded"."""
        zygote = self._zygote
        if zygote is None:
            return {"reader walls": "none: the sandbox is closed"}
        return {
            "reader walls": zygote.walls,
            "reader network": zygote.greeting["network"],
            "reader system calls": "filtered to open sockets, memory and time"
            if zygote.greeting["calls"]
            else "degraded: not filtered on this kernel or machine",
            "reader limits": f"{self.limits.memory // 2**20} MiB, {self.limits.cpu:g} s processor time, no core dumps",
        }

    def forked(self) -> None:
        """In a process that was just forked: the one that reads is shared, and another's to see out."""
        self._lock = threading.Lock()
        if self._zygote is not None:
            self._zygote = replace(self._zygote, process=None)

    def close(self) -> None:
        """End the process and with it all readers."""
        with self._lock:
            running, self._zygote, self._begun = (self._zygote, self._begun), None, None
            for zygote in running:
                if zygote is not None:
                    _end(zygote)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # --- starting ------------------------------------------------------------------------------------------------

    def _restart(self) -> _ForkServer:
        if self._zygote is not None:
            _end(self._zygote)
            self._zygote = None
        return self._start()

    def _start(self) -> _ForkServer:
        zygote, self._begun = self._begun or self._begin(), None
        if not _greets(zygote) and zygote.walled:
            zygote = self._begin_bare("bubblewrap does not start on this machine as this user")
            _greets(zygote)
        if not zygote.greeting:
            raise ReaderFailed("the process that reads samples does not start", hint="run: tocsin doctor")
        return zygote

    def _begin(self) -> _ForkServer:
        """Start the process, and do not wait for it."""
        if self._bwrap is False:
            return self._begin_bare("bubblewrap was not asked for")
        program = shutil.which("bwrap", path=os.environ.get("PATH", os.defpath))
        if program is None:
            return self._begin_bare("bubblewrap is not installed")
        # a process that lost its network cannot set a new one up, and what it starts has none to lose
        without = ["--share-net"] if privileges.network_is_refused() else []
        return self._launch([program, *walls(), *without], "bubblewrap: sees only its interpreter, read-only")

    def _begin_bare(self, lacking: str) -> _ForkServer:
        if self._bwrap:
            raise ReaderFailed(f"{lacking}, and readers were to run inside it", hint="apt-get install bubblewrap")
        return self._launch([], f"degraded: {lacking}; system call filter and limits only")

    def _launch(self, wrapper: list[str], walls: str) -> _ForkServer:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # the kernel ends such a process with the thread that started it: only the main thread lives long enough.
        # In any case it ends when our end of its socket closes.
        follow = threading.current_thread() is threading.main_thread()
        code = (
            f"import sys; sys.path[:0] = {_roots()!r}\n"
            "from crawler.sandbox.fork_server import main\n"
            f"main({theirs.fileno()}, walls={bool(wrapper)}, follow_parent={follow and not wrapper})"
        )
        command = [_interpreter(), "-I", "-S", "-B", "-X", "utf8", "-c", code]
        if wrapper:
            command = [*wrapper, *(["--die-with-parent"] if follow else []), "--", *command]
        process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Control-C at a terminal is for the command, which then closes us
            start_new_session=True,
        )
        theirs.close()
        with contextlib.suppress(OSError):
            # one that ended at once does not greet either, which is looked at
            ours.send(orjson.dumps(asdict(self.limits)))
        return _ForkServer(process, ours, walls, bool(wrapper))


def _greets(zygote: _ForkServer) -> bool:
    """Wait until the process is ready; one that does not get that far is ended."""
    zygote.control.settimeout(START_SECONDS)
    try:
        greeting = zygote.control.recv(65_536)
    except OSError:
        greeting = b""
    zygote.control.settimeout(None)
    if greeting:
        zygote.greeting = orjson.loads(greeting)
    else:
        _end(zygote)
    return bool(greeting)


def _has_ended(zygote: _ForkServer) -> bool:
    # of another's child only its socket tells, once something is sent
    return zygote.process is not None and zygote.process.poll() is not None


def _end(zygote: _ForkServer) -> None:
    zygote.control.close()
    if zygote.process is None:
        return
    try:
        zygote.process.wait(2)
    except subprocess.TimeoutExpired:
        zygote.process.kill()
        zygote.process.wait()
