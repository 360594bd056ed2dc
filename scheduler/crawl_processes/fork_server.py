"""Starts processes that crawl: directly, or by the fork server, which has imported Scrapy (`crawler.fetching.crawl_fork_server`)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Protocol

import structlog

from crawler.process.following import start_following
from data.errors import CrawlNotStarted

log = structlog.get_logger("crawl")

# Seconds in which the fork server must answer. Its start imports Scrapy, which takes ten on a busy machine.
START_SECONDS, FORK_SECONDS = 120.0, 20.0
# In place of a number of sample sockets: the process makes crawls of several sources.
BATCH = 255
# The server is only to answer.
PING = 254


class Process(Protocol):
    """A crawl process, however it was started."""

    @property
    def pid(self) -> int:
        """Its process id; once the process has ended, it may be that of another one."""
        ...

    @property
    def exitcode(self) -> int | None:
        """Its exit status, negative for a signal; None while it is running."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait until it ends, at most `timeout` seconds."""
        ...

    def kill(self) -> None:
        """End it with SIGKILL; does nothing if it has ended."""
        ...

    def close(self) -> None:
        """Release the resources that the runner holds for it."""
        ...


def _environment() -> dict[str, str]:
    """The environment of a crawl process: without settings, keys and credentials of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    # Threads of libraries share one arena, so that memory which one frees can be used by others.
    return kept | {"MALLOC_ARENA_MAX": "1"}


class StandaloneProcess:
    """A process that the runner started itself."""

    def __init__(self, control: socket.socket, samples: list[socket.socket], dial: socket.socket) -> None:
        passed = [sock.fileno() for sock in (control, *samples, dial)]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "crawler.fetching.crawl_process", str(len(samples)), *map(str, passed)],
            pass_fds=passed,
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            # Control-C at a terminal reaches only the command, which ends this process.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """As of `Process`."""
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        """As of `Process`."""
        return self._process.poll()

    def join(self, timeout: float | None = None) -> None:
        """As of `Process`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def kill(self) -> None:
        """As of `Process`."""
        self._process.kill()

    def close(self) -> None:
        """Does nothing: no resources are held."""


class ForkedProcess:
    """A process that the fork server forked."""

    def __init__(self, life: socket.socket, seconds: float) -> None:
        """Wait for the server's answer, at most `seconds`.

        Raises:
            CrawlNotStarted: the server did not answer in time, or has ended.
        """
        self._life = life
        life.settimeout(seconds)
        try:
            message, descriptors, _, _ = socket.recv_fds(life, 4, 1)
        except TimeoutError as error:
            raise CrawlNotStarted("the fork server of crawl processes does not answer") from error
        if not message or not descriptors:
            raise CrawlNotStarted("the fork server of crawl processes has ended")
        # A descriptor of the process itself (pidfd): unlike a process id, it never refers to another process.
        self._watch = descriptors[0]
        self.pid = int.from_bytes(message, sys.byteorder, signed=True)
        self._exitcode: int | None = None

    @property
    def exitcode(self) -> int | None:
        """As of `Process`."""
        self.join(0)
        return self._exitcode

    def join(self, timeout: float | None = None) -> None:
        """As of `Process`."""
        watch = self._watch
        if self._exitcode is not None or watch < 0:
            return
        # Not select(), which takes no descriptor above 1023.
        waiting = select.poll()
        waiting.register(watch, select.POLLIN)
        if not waiting.poll(None if timeout is None else timeout * 1000):
            return
        # The server reports the status once it has reaped the process. If the server has ended, so have its processes.
        try:
            self._life.settimeout(5)
            message = self._life.recv(4)
        except OSError:
            message = b""
        status = int.from_bytes(message, sys.byteorder, signed=True) if len(message) == 4 else signal.SIGKILL
        self._exitcode = os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """As of `Process`."""
        if self._watch >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._watch, signal.SIGKILL)

    def close(self) -> None:
        """Close both descriptors; does nothing if they are closed. The exit status, if it was not known, stays unknown."""
        watch, self._watch = self._watch, -1
        if watch >= 0:
            # its number may be that of another file by now, so it is closed once
            os.close(watch)
        self._life.close()


class ForkServer:
    """The runner's end of the fork server, started at the first request and again whenever it fails.

    Attributes:
        restarts: how often it had ended, or did not answer, and was or will be replaced.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def fork(self, control: socket.socket, samples: Sequence[socket.socket], dial: socket.socket) -> ForkedProcess:
        """A new process for one crawl.

        Raises:
            CrawlNotStarted: the server does not answer; it was killed, and the next request starts another one.
        """
        return self._fork(len(samples), (control, dial, *samples))

    def fork_batch(self, members: socket.socket) -> ForkedProcess:
        """A new process for many crawls; their sockets arrive on `members`. Raises as `fork`."""
        return self._fork(BATCH, (members,))

    def check(self) -> None:
        """End a server that does not answer, and with it its processes; the next request starts another one.

        Processes of batches work on without it, so that nobody else would notice. While a request is under way, that
        request notices it.

        Raises:
            CrawlNotStarted: the server did not answer.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._process is None or self._requests is None:
                return
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours:
                try:
                    with theirs:
                        socket.send_fds(self._requests, [bytes([PING])], [theirs.fileno()])
                    ours.settimeout(FORK_SECONDS)
                    answered = bool(ours.recv(4))
                except OSError:
                    answered = False
            if not answered:
                self.restarts += 1
                self._end()
                log.error("the fork server of crawl processes did not answer and is replaced")
                raise CrawlNotStarted("the fork server of crawl processes does not answer")
        finally:
            self._lock.release()

    def _fork(self, kind: int, passed: Sequence[socket.socket]) -> ForkedProcess:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._lock:
            try:
                with theirs:
                    requests, seconds = self._running()
                    requests.settimeout(seconds)
                    socket.send_fds(requests, [bytes([kind])], [each.fileno() for each in (theirs, *passed)])
                return ForkedProcess(ours, seconds)
            except (OSError, CrawlNotStarted) as error:
                ours.close()
                self.restarts += 1
                self._end()
                if isinstance(error, CrawlNotStarted):
                    raise
                raise CrawlNotStarted("the fork server of crawl processes has ended") from error

    def _running(self) -> tuple[socket.socket, float]:
        """The request socket, and the seconds that its server may take to answer."""
        if self._process is not None and self._requests is not None and self._process.poll() is None:
            return self._requests, FORK_SECONDS
        if self._process is not None:
            self.restarts += 1
            log.warning("the fork server of crawl processes had ended and is started again")
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = start_following(
                # -P: no module is imported from the current folder, which may hold files of a dump.
                [sys.executable, "-P", "-m", "crawler.fetching.crawl_fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._requests = ours
        return ours, START_SECONDS

    def _end(self) -> None:
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._requests = None


# One for the whole process: what it has imported serves every crawl.
server = ForkServer()
