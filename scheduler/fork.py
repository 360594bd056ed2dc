"""Crawl processes, forked one by one from a warm server; what they say is `scheduler.runner`'s."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
import threading
from multiprocessing.context import ForkServerProcess
from typing import Any, Self

from crawler.wire import load, pack_json, receive_async
from data.errors import WireError

_context = multiprocessing.get_context("forkserver")
_starting = threading.Lock()
# A page of a listing with every post sealed; anything larger is not what we sent.
MAX_FRAME = 16 * 1024 * 1024


def _run(control: socket.socket, samples: list[socket.socket]) -> None:
    """Entry of the forked process."""
    from crawler import crawl_process

    crawl_process.main(control, samples)


class CrawlProcess:
    """One crawl process and the runner's end of its control socket."""

    def __init__(self, process: ForkServerProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def start(cls, samples: list[socket.socket]) -> Self:
        """Fork one; the first call also starts the server and waits until it has imported Scrapy.

        Args:
            samples: sample sockets of the examiner; they are the process's own from now on, and closed here.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.to_thread(_start, theirs, samples)
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=2**20)
        except BaseException:
            ours.close()
            raise
        finally:
            for sock in (theirs, *samples):
                sock.close()
        return cls(process, reader, writer)

    async def tell(self, value: Any) -> None:
        """Send one frame."""
        self._writer.write(pack_json(b"J", value))
        await self._writer.drain()

    async def question(self) -> dict[str, Any]:
        """The next frame of the process; raises EOFError when it has ended, WireError when it speaks nonsense."""
        try:
            kind, payload = await receive_async(self._reader, MAX_FRAME)
        except ConnectionError as error:
            raise EOFError from error
        value = load(payload)
        if kind != b"J" or not isinstance(value, dict) or not isinstance(value.get("frame"), str):
            raise WireError("the crawl process sent a frame that is none of its questions")
        return value

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
        self._writer.close()
        said = await self.ended(5)
        if self._process.exitcode is None:
            self._process.kill()
            await self.ended(5)
        self._process.close()
        return said


def _start(control: socket.socket, samples: list[socket.socket]) -> ForkServerProcess:
    with _starting:
        _context.set_forkserver_preload(["crawler.crawl_process", "click"])
        process = _context.Process(target=_run, args=(control, samples), name="crawl", daemon=True)
        process.start()
        return process


async def warm_up() -> None:
    """Start the server before the first crawl needs it."""
    process = await CrawlProcess.start([])
    process.kill()
    await process.close()
