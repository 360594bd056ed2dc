"""Crawl processes, forked one by one from a warm server or started alone; what they say is `scheduler.crawls.run_crawl`'s."""

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

from crawler.process.control_frames import AnyQuestion, CommitFrame, Part, read_question
from crawler.process.frames import pack, receive_async
from data.errors import WireError

_context = multiprocessing.get_context("forkserver")
_starting = threading.Lock()
# Seconds that are waited for a further commit.
GATHER = 0.01
# A page of a listing with every post sealed; anything larger is not what we sent.
MAX_FRAME = 16 * 1024 * 1024


def _run(control: socket.socket, samples: list[socket.socket], dial: socket.socket | None) -> None:
    """Entry of the forked process."""
    from crawler.fetching import crawl_process

    crawl_process.main(control, samples, dial)


class _Process(Protocol):
    """What is used of a process of multiprocessing, whose signatures these are."""

    @property
    def exitcode(self) -> int | None:
        """Its status, negative for a signal; None while it runs."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most so many seconds."""
        ...

    def kill(self) -> None:
        """End it."""
        ...

    def close(self) -> None:
        """Forget it."""
        ...


class _Alone:
    """A process that no server forked."""

    def __init__(self, control: socket.socket, samples: list[socket.socket], dial: socket.socket | None) -> None:
        passed = [sock.fileno() for sock in (control, *samples, *([dial] if dial else []))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "crawler.fetching.crawl_process", str(len(samples)), *map(str, passed)],
            pass_fds=passed,
            # what threads of libraries free, others use again
            env=environment | {"MALLOC_ARENA_MAX": "1"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            # Control-C at a terminal is for the command, with which it ends
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
        """Nothing: the sockets were closed, and its end was seen."""


class CrawlProcess:
    """One crawl process and the runner's end of its control socket."""

    def __init__(self, process: _Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        # the process waits for its answers, so that no more than it has posts in hand ever lie here
        self._asked: asyncio.Queue[AnyQuestion | Exception] = asyncio.Queue()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(
        cls, samples: list[socket.socket], dial: socket.socket | None = None, *, alone: bool = False
    ) -> Self:
        """Fork one; the first call also starts the server and waits until it has imported Scrapy.

        Args:
            samples: sample sockets of the examiner; they are the process's own from now on, and closed here.
            dial: for a crawl over Tor, the end of `crawler.tor.dial_socket` from which it gets its connections.
            alone: start one by itself, without the server, which pays off from the second crawl on: until then it is
                55 MB that nobody uses. It ends with the thread that calls this, so call it from the main one.
        """
        ours, theirs = socket.socketpair()
        process: _Process
        try:
            if alone:
                process = _Alone(theirs, samples, dial)
            else:
                process = await asyncio.to_thread(_start, theirs, samples, dial)
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=2**20)
        except BaseException:
            ours.close()
            raise
        finally:
            for sock in (theirs, *samples, *([dial] if dial else [])):
                sock.close()
        return cls(process, reader, writer)

    async def tell(self, value: Part) -> None:
        """Send one frame: the job, or an answer."""
        self._writer.write(pack(b"J", value.to_json()))
        await self._writer.drain()

    async def questions(self, most: int = 1) -> list[AnyQuestion]:
        """What the process asks, all that has come, in order; at least one, and nothing after its end.

        Raises:
            EOFError: the process has ended.
            WireError: it speaks nonsense.
        """
        found: list[AnyQuestion] = []
        while not found or (len(found) < most and not self._asked.empty()):
            next_ = await self._asked.get()
            if isinstance(next_, Exception):
                # said again to whoever asks next
                self._asked.put_nowait(next_)
                if found:
                    break
                raise next_
            found.append(next_)
            if len(found) < most and self._asked.empty() and isinstance(next_, CommitFrame):
                # commits come one by one, a few milliseconds apart
                await asyncio.sleep(GATHER)
        return found

    async def _read(self) -> None:
        try:
            while True:
                kind, payload = await receive_async(self._reader, MAX_FRAME)
                if kind != b"J":
                    raise WireError("the crawl process sent a frame that is none of its questions")
                self._asked.put_nowait(read_question(payload))
        except (EOFError, ConnectionError):
            self._asked.put_nowait(EOFError())
        except WireError as error:
            self._asked.put_nowait(error)

    async def ended(self, timeout: float) -> str:
        """How it ended, waiting at most so many seconds: '' well, else a sentence."""
        await asyncio.to_thread(self._process.join, timeout)
        code = self._process.exitcode
        if code is None:
            return "the crawl process did not end"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"the crawl process was ended by {signal.Signals(-code).name}"
        return f"the crawl process ended with status {code}" if code else ""

    def kill(self) -> None:
        """End it now; harmless when it has ended."""
        self._process.kill()
        self._writer.close()

    async def close(self) -> str:
        """Close the control socket and see the process out; how it ended, as `ended` says."""
        self._reading.cancel()
        self._writer.close()
        said = await self.ended(5)
        if self._process.exitcode is None:
            self._process.kill()
            await self.ended(5)
        self._process.close()
        return said


# The path of a Unix socket has at most 107 bytes; multiprocessing puts up to 40 behind the folder of temporary files.
LONGEST_FOLDER = 60


def _short_folder() -> None:
    """Have multiprocessing keep its socket where its path is short enough, whatever TMPDIR says; it holds no data."""
    if len(tempfile.gettempdir()) <= LONGEST_FOLDER:
        return
    before = tempfile.tempdir
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - a folder of our own is made in there, for us alone
        if os.access(folder, os.W_OK | os.X_OK):
            tempfile.tempdir = folder
            # asked once, remembered by it from then on
            multiprocessing.util.get_temp_dir()
            break
    tempfile.tempdir = before


def _start(control: socket.socket, samples: list[socket.socket], dial: socket.socket | None) -> _Process:
    with _starting:
        _short_folder()
        # the server would import `multiprocessing`, and us, from the folder that a command is called in: a dump's, perhaps
        os.environ["PYTHONSAFEPATH"] = "1"
        _context.set_forkserver_preload(["crawler.fetching.crawl_process", "click"])
        process = _context.Process(target=_run, args=(control, samples, dial), name="crawl", daemon=True)
        process.start()
        return process
