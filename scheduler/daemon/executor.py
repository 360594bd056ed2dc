"""Where crawls run: on this machine, a limited number at a time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

log = structlog.get_logger("daemon")


# A light crawl waits for its site nine tenths of its time.
LIGHT = 10
# Work of each kind that waits for its turn, at most; what is due longest comes first, and the rest is still due later.
MOST_WAITING = 500


class Executor(Protocol):
    """Runs named pieces of work. The daemon knows only this interface, so that crawls could run elsewhere."""

    def submit(self, name: str, work: Callable[[], Awaitable[None]], *, light: bool = False) -> bool:
        """Start the work; False if work of that name is already running or waiting for its turn.

        Light work shares processes, so that more of it runs at the same time.
        """
        ...

    def has_room(self, *, light: bool) -> bool:
        """Whether more work of a kind should be submitted now; what is not will still be due at the next look."""
        ...

    async def stop(self, grace: float) -> None:
        """Wait up to `grace` seconds for running work to end, then cancel it and wait until it has ended."""
        ...


class LocalExecutor:
    """Runs work as tasks of this process's event loop; each crawl is a process of its own that such a task controls."""

    def __init__(self, parallel: int, on_error: Callable[[str, BaseException], None] | None = None) -> None:
        """Run nothing yet.

        Args:
            parallel: pieces of work that may run at the same time, and besides them `LIGHT` times as many light ones.
            on_error: is called with the name of work that raised, and what it raised; without it that is logged.
        """
        self._on_error = on_error or _log_error
        self._free = asyncio.Semaphore(parallel)
        self._free_light = asyncio.Semaphore(parallel * LIGHT)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[bool, set[str]] = {False: set(), True: set()}

    @property
    def running(self) -> frozenset[str]:
        """Names of the work that is running or waiting for its turn."""
        return frozenset(self._running)

    def submit(self, name: str, work: Callable[[], Awaitable[None]], *, light: bool = False) -> bool:
        """Start the work; False if work of that name is already running or waiting for its turn."""
        if name in self._running:
            return False

        async def run_in_turn() -> None:
            async with self._free_light if light else self._free:
                self._waiting[light].discard(name)
                await work()

        task = asyncio.get_running_loop().create_task(run_in_turn(), name=f"crawl {name}")
        self._running[name] = task
        self._waiting[light].add(name)
        task.add_done_callback(functools.partial(self._ended, name))
        return True

    def has_room(self, *, light: bool) -> bool:
        """Whether less than `MOST_WAITING` pieces of work of a kind wait for their turn."""
        return len(self._waiting[light]) < MOST_WAITING

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._running.pop(name, None)
        for waiting in self._waiting.values():
            waiting.discard(name)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(name, error)

    async def stop(self, grace: float) -> None:
        """Wait up to `grace` seconds for running work to end, then cancel it and wait until it has ended."""
        tasks = list(self._running.values())
        if not tasks:
            return
        _, pending = await asyncio.wait(tasks, timeout=grace)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _log_error(name: str, error: BaseException) -> None:
    log.error("work failed", work=name, error=type(error).__name__)
