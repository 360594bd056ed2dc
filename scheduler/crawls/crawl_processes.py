"""Starts crawl processes and carries the frames between each of them and the runner.

A command that makes one crawl starts its process directly. Otherwise a fork server
(`crawler.fetching.crawl_fork_server`) forks them. What the frames mean is in `scheduler.crawls.run_crawl`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Protocol, Self

import structlog

from crawler.process.control_frames import AnyQuestion, CommitFrame, read_question
from crawler.process.frames import pack, receive_async
from crawler.process.progress import Progress
from crawler.process.wire_values import WireValue
from data.errors import CrawlNotStarted, WireError

log = structlog.get_logger("crawl")

# Seconds to wait for a further commit, so that several commits share a transaction.
COMMIT_WAIT_SECONDS = 0.05
# A page of a listing with every post sealed; a larger frame is not from our code.
MAX_FRAME = 16 * 1024 * 1024
# Seconds in which the fork server must answer. Its start imports Scrapy, which takes ten on a busy machine.
START_SECONDS, FORK_SECONDS = 120.0, 20.0
# A crawl process sends a frame every five seconds, even while it waits for a site.
FROZEN_SECONDS = 30.0


class _Process(Protocol):
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


class _StandaloneProcess:
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
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()

    def join(self, timeout: float | None = None) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Does nothing: no resources are held."""


class _ForkedProcess:
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
        self.join(0)
        return self._exitcode

    def join(self, timeout: float | None = None) -> None:
        if self._exitcode is not None:
            return
        # Not select(), which takes no descriptor above 1023.
        waiting = select.poll()
        waiting.register(self._watch, select.POLLIN)
        if not waiting.poll(None if timeout is None else timeout * 1000):
            return
        # The server reports the status once it has reaped the process. If the server has ended, so have its processes.
        self._life.settimeout(5)
        try:
            message = self._life.recv(4)
        except OSError:
            message = b""
        status = int.from_bytes(message, sys.byteorder, signed=True) if len(message) == 4 else signal.SIGKILL
        self._exitcode = os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._watch, signal.SIGKILL)

    def close(self) -> None:
        """Close both descriptors."""
        os.close(self._watch)
        self._life.close()


class _ForkServer:
    """The runner's end of the fork server, started at the first request and again whenever it fails."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def fork(self, control: socket.socket, samples: list[socket.socket], dial: socket.socket) -> _ForkedProcess:
        """A new crawl process.

        Raises:
            CrawlNotStarted: the server does not answer; it was killed, and the next request starts another one.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._lock:
            try:
                with theirs:
                    requests, seconds = self._running()
                    requests.settimeout(seconds)
                    descriptors = [each.fileno() for each in (theirs, control, dial, *samples)]
                    socket.send_fds(requests, [bytes([len(samples)])], descriptors)
                return _ForkedProcess(ours, seconds)
            except (OSError, CrawlNotStarted) as error:
                ours.close()
                self._end()
                if isinstance(error, CrawlNotStarted):
                    raise
                raise CrawlNotStarted("the fork server of crawl processes has ended") from error

    def _running(self) -> tuple[socket.socket, float]:
        """The request socket, and the seconds that its server may take to answer."""
        if self._process is not None and self._requests is not None and self._process.poll() is None:
            return self._requests, FORK_SECONDS
        if self._process is not None:
            log.warning("the fork server of crawl processes had ended and is started again")
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
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


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _end_unwanted(process: _Process) -> None:
    process.kill()
    process.close()


def _end_forked(forking: asyncio.Future[_ForkedProcess]) -> None:
    """End the process of a fork that nobody waits for."""
    if not forking.cancelled() and forking.exception() is None:
        _end_unwanted(forking.result())


_server = _ForkServer()


class CrawlProcess:
    """One crawl process and the runner's end of its control socket."""

    def __init__(self, process: _Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._progress = Progress(process.pid, FROZEN_SECONDS)
        # The queue stays short: the process waits for its answers, so it has at most one question per post in work.
        self._questions: asyncio.Queue[AnyQuestion | Exception] = asyncio.Queue()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, samples: list[socket.socket], dial: socket.socket, *, standalone: bool = False) -> Self:
        """Start a crawl process; the first call also starts the fork server and waits until it has imported Scrapy.

        Args:
            samples: sample sockets of the examiner; they belong to the new process and are closed in this one.
            dial: the process's end of a dial socket (`crawler.transport.dial_socket`), closed in this one as well.
            standalone: start the process without the fork server. The server takes 55 MB, which pays off from the
                second crawl on. The process ends with the thread that calls this, so call it from the main thread.

        Raises:
            CrawlNotStarted: the fork server does not answer.
        """
        ours, theirs = socket.socketpair()
        process: _Process | None = None
        try:
            process = await cls._start_process((theirs, *samples, dial), standalone=standalone)
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=2**20)
        except BaseException:
            ours.close()
            if process is not None:
                _end_unwanted(process)
            raise
        return cls(process, reader, writer)

    @staticmethod
    async def _start_process(passed: Sequence[socket.socket], *, standalone: bool) -> _Process:
        """Start a process with the control socket, the sample sockets and the dial socket, which are closed here."""
        control, *samples, dial = passed
        if standalone:
            try:
                return _StandaloneProcess(control, samples, dial)
            finally:
                _close_all(passed)
        forking = asyncio.ensure_future(asyncio.to_thread(_server.fork, control, samples, dial))
        # The thread needs the sockets to its end, even if nobody waits for it any more.
        forking.add_done_callback(lambda _: _close_all(passed))
        try:
            return await asyncio.shield(forking)
        except BaseException:
            forking.add_done_callback(_end_forked)
            raise

    async def send(self, value: WireValue) -> None:
        """Send one frame: the job, or an answer."""
        self._writer.write(pack(b"J", value.to_json()))
        await self._writer.drain()

    async def receive_questions(self, most: int = 1) -> list[AnyQuestion]:
        """The next questions of the process in order: all that have arrived, at least one and at most `most`.

        Raises:
            EOFError: the process has ended and asks nothing more.
            WireError: it sent an invalid frame.
        """
        found: list[AnyQuestion] = []
        while not found or (len(found) < most and not self._questions.empty()):
            next_ = await self._questions.get()
            if isinstance(next_, Exception):
                # It is raised again by the next call.
                self._questions.put_nowait(next_)
                if found:
                    break
                raise next_
            found.append(next_)
            if len(found) < most and self._questions.empty() and isinstance(next_, CommitFrame):
                # Commits arrive one by one, some milliseconds apart.
                await asyncio.sleep(COMMIT_WAIT_SECONDS)
        return found

    async def _read(self) -> None:
        try:
            while True:
                kind, payload = await receive_async(self._reader, MAX_FRAME)
                self._progress.note_sign()
                if kind == b"P":
                    continue
                if kind != b"J":
                    raise WireError("the crawl process sent a frame of an unknown kind")
                self._questions.put_nowait(read_question(payload))
        except (EOFError, ConnectionError):
            self._questions.put_nowait(EOFError())
        except WireError as error:
            self._questions.put_nowait(error)

    def is_frozen(self) -> bool:
        """Whether the process sent no frame and used no processor time for `FROZEN_SECONDS`."""
        return self._progress.has_stopped()

    async def wait_for_exit(self, timeout: float) -> str:
        """What went wrong at its exit, for which it waits at most `timeout` seconds; '' after a normal exit."""
        await asyncio.to_thread(self._process.join, timeout)
        code = self._process.exitcode
        if code is None:
            return "the crawl process did not end"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"the crawl process was ended by {signal.Signals(-code).name}"
        return f"the crawl process ended with status {code}" if code else ""

    def kill(self) -> None:
        """End the process now; does nothing if it has ended."""
        self._process.kill()
        self._writer.close()

    async def close(self) -> str:
        """Close the control socket and wait until the process has ended; returns what `wait_for_exit` does."""
        self._reading.cancel()
        self._writer.close()
        try:
            problem = await self.wait_for_exit(5)
            if self._process.exitcode is None:
                self._process.kill()
                await self.wait_for_exit(5)
        except BaseException:
            # The runner stops while it waits for the process.
            self._process.kill()
            raise
        finally:
            self._process.close()
        return problem
