"""Where crawls run: this machine, at most so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol


class Executor(Protocol):
    """Runs named pieces of work; the seam for running them elsewhere."""

    def submit(self, name: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Start the work unless one of that name runs; False if one does."""
        ...

    async def stop(self, grace: float) -> None:
        """Give running work `grace` seconds to end, then cancel it and wait for that."""
        ...


class LocalExecutor:
    """Runs work as tasks of this process's loop; the crawls themselves are processes of their own."""

    def __init__(self, parallel: int) -> None:
        self._free = asyncio.Semaphore(parallel)
        self._running: dict[str, asyncio.Task[None]] = {}

    @property
    def running(self) -> frozenset[str]:
        """Names of what runs or waits for its turn."""
        return frozenset(self._running)

    def submit(self, name: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Start the work unless one of that name runs; False if one does."""
        if name in self._running:
            return False

        async def turn() -> None:
            async with self._free:
                await work()

        task = asyncio.get_running_loop().create_task(turn(), name=f"crawl {name}")
        self._running[name] = task
        task.add_done_callback(lambda _: self._running.pop(name, None))
        return True

    async def stop(self, grace: float) -> None:
        """Give running work `grace` seconds to end, then cancel it and wait for that."""
        tasks = list(self._running.values())
        if not tasks:
            return
        _, pending = await asyncio.wait(tasks, timeout=grace)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
