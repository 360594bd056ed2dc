"""Carries the frames between a crawl process and the runner; what they mean is in `scheduler.crawls.run_crawl`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Sequence
from typing import Self

from crawler.process.control_frames import AnyQuestion, CommitFrame, read_question
from crawler.process.frames import pack, receive_async
from crawler.process.progress import Progress
from crawler.process.wire_values import WireValue
from data.errors import WireError
from scheduler.crawl_processes.batches import Batches
from scheduler.crawl_processes.fork_server import ForkedProcess, Process, StandaloneProcess, server

# Seconds to wait for a further commit, so that several commits share a transaction.
COMMIT_WAIT_SECONDS = 0.05
# A page of a listing with every post sealed; a larger frame is not from our code.
MAX_FRAME = 16 * 1024 * 1024
# A crawl process sends a frame every five seconds, even while it waits for a site.
FROZEN_SECONDS = 30.0


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _end_unwanted(process: Process) -> None:
    process.kill()
    process.close()


def _end_forked(forking: asyncio.Future[ForkedProcess]) -> None:
    """End the process of a fork that nobody waits for."""
    if not forking.cancelled() and forking.exception() is None:
        _end_unwanted(forking.result())


class CrawlProcess:
    """One crawl process and the runner's end of its control socket.

    Attributes:
        silence: longest time between two frames of it, in seconds.
    """

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, shared: bool
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        # one crawl that computes without an end keeps the others of its process from being heard
        self._progress = Progress(process.pid, FROZEN_SECONDS, by_ticks=not shared)
        self.silence = 0.0
        # The queue stays short: the process waits for its answers, so it has at most one question per post in work.
        self._questions: asyncio.Queue[AnyQuestion | Exception] = asyncio.Queue()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(
        cls,
        samples: list[socket.socket],
        dial: socket.socket,
        *,
        standalone: bool = False,
        batch: tuple[Batches, str] | None = None,
    ) -> Self:
        """Start a crawl process; the first call also starts the fork server and waits until it has imported Scrapy.

        Args:
            samples: sample sockets of the examiner; they belong to the new process and are closed in this one.
            dial: the process's end of a dial socket (`crawler.transport.dial_socket`), closed in this one as well.
            standalone: start the process without the fork server. The server takes 55 MB, which pays off from the
                second crawl on. The process ends with the thread that calls this, so call it from the main thread.
            batch: the crawl shares a process of these batches with other sources of this platform.

        Raises:
            CrawlNotStarted: the fork server does not answer.
        """
        ours, theirs = socket.socketpair()
        process: Process | None = None
        try:
            process = await cls._start_process((theirs, *samples, dial), standalone=standalone, batch=batch)
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=2**20)
        except BaseException:
            ours.close()
            if process is not None:
                _end_unwanted(process)
            raise
        return cls(process, reader, writer, shared=batch is not None)

    @staticmethod
    async def _start_process(
        passed: Sequence[socket.socket], *, standalone: bool, batch: tuple[Batches, str] | None
    ) -> Process:
        """Start a process with the control socket, the sample sockets and the dial socket, which are closed here."""
        control, *samples, dial = passed
        if batch is not None:
            batches, platform = batch
            try:
                return await batches.join(platform, control, samples, dial)
            finally:
                _close_all(passed)
        if standalone:
            try:
                return StandaloneProcess(control, samples, dial)
            finally:
                _close_all(passed)
        forking = asyncio.ensure_future(asyncio.to_thread(server.fork, control, samples, dial))
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
        heard = time.monotonic()
        try:
            while True:
                kind, payload = await receive_async(self._reader, MAX_FRAME)
                self._progress.note_sign()
                before, heard = heard, time.monotonic()
                self.silence = max(self.silence, heard - before)
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
