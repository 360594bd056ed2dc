"""Starts crawl processes, from a fork server or one by itself, and exchanges frames with them."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import multiprocessing.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Protocol, Self

from crawler.process.control_frames import AnyQuestion, CommitFrame, WireValue, read_question
from crawler.process.frames import pack, receive_async
from data.errors import WireError

_context = multiprocessing.get_context("forkserver")
_starting = threading.Lock()
# Seconds to wait for a further commit, so that several commits share a transaction.
COMMIT_WAIT_SECONDS = 0.01
# Enough for a page of a listing with every post sealed; a larger frame cannot be one of ours.
MAX_FRAME = 16 * 1024 * 1024


def _run(control: socket.socket, samples: list[socket.socket], dial: socket.socket | None) -> None:
    """Entry of the forked process."""
    from crawler.fetching import crawl_process

    crawl_process.main(control, samples, dial)


class _Process(Protocol):
    """The part of the interface of `multiprocessing.Process` that is used here."""

    @property
    def exitcode(self) -> int | None:
        """Its exit status, negative for a signal; None while it is running."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait until it ends, at most `timeout` seconds."""
        ...

    def kill(self) -> None:
        """End it with SIGKILL."""
        ...

    def close(self) -> None:
        """Release its resources."""
        ...


class _StandaloneProcess:
    """A crawl process that is started by itself, without the fork server."""

    def __init__(self, control: socket.socket, samples: list[socket.socket], dial: socket.socket | None) -> None:
        passed = [sock.fileno() for sock in (control, *samples, *([dial] if dial else []))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "crawler.fetching.crawl_process", str(len(samples)), *map(str, passed)],
            pass_fds=passed,
            # Threads of libraries share one arena, so that memory which one frees can be used by others.
            env=environment | {"MALLOC_ARENA_MAX": "1"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            # Control-C at a terminal reaches only the command; this process ends with it.
            start_new_session=True,
        )

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()

    def join(self, timeout: float | None = None) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Does nothing: its sockets are closed, and its exit status has been read."""


class CrawlProcess:
    """One crawl process and the runner's end of its control socket."""

    def __init__(self, process: _Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        # The queue stays short: the process waits for its answers, so it has at most one question per post in work.
        self._questions: asyncio.Queue[AnyQuestion | Exception] = asyncio.Queue()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(
        cls, samples: list[socket.socket], dial: socket.socket | None = None, *, standalone: bool = False
    ) -> Self:
        """Start a crawl process; the first call also starts the fork server and waits until it has imported Scrapy.

        Args:
            samples: sample sockets of the examiner; they belong to the new process and are closed in this one.
            dial: for a crawl over Tor, the end of the dial socket that provides its connections.
            standalone: start the process without the fork server. The server takes 55 MB, which pays off from the
                second crawl on. The process ends with the thread that calls this, so call it from the main thread.
        """
        ours, theirs = socket.socketpair()
        process: _Process
        try:
            if standalone:
                process = _StandaloneProcess(theirs, samples, dial)
            else:
                process = await asyncio.to_thread(_fork, theirs, samples, dial)
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=2**20)
        except BaseException:
            ours.close()
            raise
        finally:
            for sock in (theirs, *samples, *([dial] if dial else [])):
                sock.close()
        return cls(process, reader, writer)

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
                # Commits arrive one by one, a few milliseconds apart.
                await asyncio.sleep(COMMIT_WAIT_SECONDS)
        return found

    async def _read(self) -> None:
        try:
            while True:
                kind, payload = await receive_async(self._reader, MAX_FRAME)
                if kind != b"J":
                    raise WireError("the crawl process sent a frame of an unknown kind")
                self._questions.put_nowait(read_question(payload))
        except (EOFError, ConnectionError):
            self._questions.put_nowait(EOFError())
        except WireError as error:
            self._questions.put_nowait(error)

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
        problem = await self.wait_for_exit(5)
        if self._process.exitcode is None:
            self._process.kill()
            await self.wait_for_exit(5)
        self._process.close()
        return problem


# The path of a Unix socket has at most 107 bytes; multiprocessing adds up to 40 to the folder of temporary files.
MAX_TEMP_FOLDER_LENGTH = 60


def _use_short_temp_folder() -> None:
    """Make multiprocessing create its socket in a folder with a short path, whatever TMPDIR is; no data goes there."""
    if len(tempfile.gettempdir()) <= MAX_TEMP_FOLDER_LENGTH:
        return
    before = tempfile.tempdir
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - multiprocessing makes a private folder in it
        if os.access(folder, os.W_OK | os.X_OK):
            tempfile.tempdir = folder
            # multiprocessing reads the setting once and remembers it.
            multiprocessing.util.get_temp_dir()
            break
    tempfile.tempdir = before


def _fork(control: socket.socket, samples: list[socket.socket], dial: socket.socket | None) -> _Process:
    with _starting:
        _use_short_temp_folder()
        # Otherwise the server would import modules from the current folder, which may hold files of a dump.
        os.environ["PYTHONSAFEPATH"] = "1"
        _context.set_forkserver_preload(["crawler.fetching.crawl_process", "click"])
        process = _context.Process(target=_run, args=(control, samples, dial), name="crawl", daemon=True)
        process.start()
        return process
