"""Batches: processes that each make the crawls of many light sources of one platform, several of them side by side.

Half of the processor time of a small crawl is that of its process. A source is light until a crawl of it crashed, hung,
needed too much memory or time, or had a large body (`alone` in table `source`); whoever shared a process with such a crawl
is crawled again, each source in a process of its own, so that the one at fault becomes known.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import structlog

from data.errors import CrawlNotStarted
from scheduler.crawl_processes.fork_server import ForkedProcess, server

log = structlog.get_logger("crawl")

# Crawls of one process in all, after which its memory goes back to the system; and at the same time.
MOST, SIDE_BY_SIDE = 200, 20
# Seconds after which a process without crawls ends.
IDLE_SECONDS = 30.0


class _Worker:
    """The runner's end of one process.

    Attributes:
        taken: crawls that it was given so far. active: those that have not ended.
    """

    def __init__(self, process: ForkedProcess, members: socket.socket) -> None:
        self.process, self._members = process, members
        self.taken = self.active = 0
        self._closed = False

    @property
    def ended(self) -> bool:
        return self.process.exitcode is not None

    @property
    def has_room(self) -> bool:
        return not self._closed and self.taken < MOST and self.active < SIDE_BY_SIDE

    def give(self, control: socket.socket, samples: Sequence[socket.socket], dial: socket.socket) -> None:
        """Have it make another crawl; raises OSError if it has ended."""
        socket.send_fds(self._members, [b"\1"], [each.fileno() for each in (control, dial, *samples)])
        self.taken += 1
        self.active += 1

    def finish(self) -> None:
        """Let the process end once its crawls have ended."""
        if not self._closed:
            self._closed = True
            self._members.close()

    def close(self) -> None:
        """Release its resources; its process is ended if it has not ended."""
        self.finish()
        if not self.ended:
            self.process.kill()
        self.process.close()


class BatchMember:
    """One crawl in a process that it shares; ending that process ends all crawls in it."""

    def __init__(self, worker: _Worker, batches: Batches) -> None:
        self._worker, self._batches = worker, batches
        self._open = True

    @property
    def pid(self) -> int:
        """Of the shared process."""
        return self._worker.process.pid

    @property
    def exitcode(self) -> int | None:
        """The exit status of the process if it has ended, and otherwise 0: the crawl ends with its control socket."""
        return self._worker.process.exitcode or 0 if self._open else 0

    def join(self, timeout: float | None = None) -> None:
        """Does nothing: nobody waits for the end of a shared process."""

    def kill(self) -> None:
        """End the process."""
        if self._open:
            self._worker.process.kill()

    def close(self) -> None:
        """Leave the batch."""
        if self._open:
            self._open = False
            self._batches.leave(self._worker)


class Batches:
    """All shared processes of the runner.

    Attributes:
        repeated: held by each crawl that is made again in a process of its own, after its shared process broke.
    """

    def __init__(self, repeats: int = 4) -> None:
        """Without a process; `repeats` crawls are made again at the same time, since each takes the memory of a process."""
        self.repeated = asyncio.Semaphore(repeats)
        self._workers: dict[str, list[_Worker]] = {}
        self._starting: dict[str, asyncio.Lock] = {}
        self._idle: dict[_Worker, asyncio.TimerHandle] = {}

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [each.process.pid for workers in self._workers.values() for each in workers if not each.ended]

    async def join(
        self, platform: str, control: socket.socket, samples: Sequence[socket.socket], dial: socket.socket
    ) -> BatchMember:
        """Have a crawl made by a process for sources of one platform, which is started if none has room.

        Args:
            platform: whose sources share processes.
            control: the process's end of the control socket; the caller closes it, as the others.
            samples: sample sockets of the examiner.
            dial: the process's end of the dial socket.

        Raises:
            CrawlNotStarted: the fork server does not answer.
        """
        async with self._starting.setdefault(platform, asyncio.Lock()):
            for worker in self._with_room(platform):
                with contextlib.suppress(OSError):
                    worker.give(control, samples, dial)
                    return self._member(worker)
            worker = await self._start()
            self._workers.setdefault(platform, []).append(worker)
            try:
                worker.give(control, samples, dial)
            except OSError as error:
                raise CrawlNotStarted("the process of a batch of crawls ended as soon as it was started") from error
            return self._member(worker)

    def _with_room(self, platform: str) -> list[_Worker]:
        workers = self._workers.get(platform, [])
        for worker in [each for each in workers if each.ended and not each.active]:
            self._remove(worker)
        return [each for each in workers if each.has_room and not each.ended]

    def _member(self, worker: _Worker) -> BatchMember:
        if (timer := self._idle.pop(worker, None)) is not None:
            timer.cancel()
        if worker.taken >= MOST:
            worker.finish()
        return BatchMember(worker, self)

    async def _start(self) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        starting = asyncio.ensure_future(asyncio.to_thread(server.fork_batch, theirs))
        # the thread needs the socket to its end, even if nobody waits for it any more
        starting.add_done_callback(lambda _: theirs.close())
        try:
            process = await asyncio.shield(starting)
        except BaseException:
            # without its socket the process ends by itself
            ours.close()
            starting.add_done_callback(_close_unwanted)
            raise
        return _Worker(process, ours)

    def leave(self, worker: _Worker) -> None:
        """Note that a crawl of a process has ended."""
        worker.active -= 1
        if worker.active:
            return
        if worker.ended or not worker.has_room:
            self._remove(worker)
        else:
            self._idle[worker] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._remove, worker)

    def _remove(self, worker: _Worker) -> None:
        self._idle.pop(worker, None)
        for workers in self._workers.values():
            if worker in workers:
                workers.remove(worker)
                worker.close()

    def close(self) -> None:
        """End all processes, and the crawls in them."""
        for timer in self._idle.values():
            timer.cancel()
        for worker in [each for workers in self._workers.values() for each in workers]:
            self._remove(worker)


def _close_unwanted(starting: asyncio.Future[ForkedProcess]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().close()
