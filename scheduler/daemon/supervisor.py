"""Runs the daemon's background work: every way in which a piece of work can fail is counted and reported.

A piece of work fails if it raises, if it is cancelled by anything but the daemon's own stop, or if it takes longer than
it may. A failure never ends the daemon and never stops other work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from data.errors import CrawlNotStarted, ExaminerDied, StoreError, TocsinError
from scheduler.crawls.cancellation import is_being_cancelled

log = structlog.get_logger("daemon")

RESTART_SECONDS = 1.0
_CODES = ((StoreError, "store"), (ExaminerDied, "examiner"), (CrawlNotStarted, "crawl process"), (TocsinError, "error"))


@dataclass(frozen=True, slots=True)
class WorkFailure:
    """One failure of a piece of work.

    Attributes:
        work: its name.
        code: `store`, `examiner`, `crawl process`, `error` for our other errors, `hang`, `cancelled` or `crash`.
        reason: a sentence for people; never the text of an error that is not ours, which may quote anything.
        count: number of failures in a row, this one included.
    """

    work: str
    code: str
    reason: str
    count: int


class FailureReporter(Protocol):
    """Tells people about failures; whatever it raises is logged, and does not stop the work."""

    async def failed(self, failure: WorkFailure) -> None:
        """Report a failure; called for each one, also if the same work failed before."""
        ...

    async def recovered(self, work: str) -> None:
        """Report that work succeeded which had failed before."""
        ...


def describe(error: BaseException) -> tuple[str, str]:
    """Code and reason of an error that ended a piece of work."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", "it was cancelled"
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, f"{error} ({error.hint})" if error.hint else str(error)
    return "crash", f"it failed with {type(error).__name__}"


class Supervisor:
    """Runs named pieces of work.

    Attributes:
        failures: name of the work -> number of failures in a row; a piece of work that succeeds is removed.
        earlier: names of the work that failed in an earlier daemon and has not succeeded in this one yet.
    """

    def __init__(self, reporter: FailureReporter) -> None:
        self._reporter = reporter
        self.failures: dict[str, int] = {}
        self.earlier: set[str] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._began: dict[str, tuple[float, float]] = {}

    async def run(self, name: str, work: Callable[[], Awaitable[None]], seconds: float | None = None) -> bool:
        """Do a piece of work, at most for so long; whether it succeeded.

        Raises:
            CancelledError: the daemon stops.
        """
        if seconds is not None:
            self._began[name] = (time.monotonic(), seconds)
        try:
            async with asyncio.timeout(seconds) as limit:
                await work()
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            await self._failed(name, *describe(error))
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and reported
            hangs = ("hang", f"it did not end within {seconds:g} s") if limit.expired() else None
            await self._failed(name, *(hangs or describe(error)))
            return False
        finally:
            self._began.pop(name, None)
        if name in self.failures or name in self.earlier:
            self.failures.pop(name, None)
            self.earlier.discard(name)
            log.info("work succeeds again", work=name)
            await self._report(name, self._reporter.recovered(name))
        return True

    def start(self, name: str, work: Callable[[], Awaitable[None]], seconds: float | None = None) -> None:
        """Do a piece of work in the background; the daemon's stop ends it."""
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(
            self.run(name, work, seconds), name=f"work {name}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def retry(self, name: str, work: Callable[[], Awaitable[None]], every: timedelta) -> None:
        """Do work that failed once more, at this interval and until it succeeds."""

        async def until_it_succeeds() -> None:
            await asyncio.sleep(every.total_seconds())
            while not await self.run(name, work):
                await asyncio.sleep(every.total_seconds())

        self.start(f"{name}, once more", until_it_succeeds)

    def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do work in the background that never ends; if it ends all the same, it is started again."""

        async def always() -> None:
            while True:
                await self.run(name, work)
                await asyncio.sleep(RESTART_SECONDS)

        self.start(name, always)

    async def forget(self, comes_again: Callable[[str], bool]) -> None:
        """End what is held against work that failed and cannot succeed any more, because it is not done again."""
        for name in [each for each in {*self.failures, *self.earlier} if not comes_again(each)]:
            self.failures.pop(name, None)
            self.earlier.discard(name)
            log.info("work that failed is not done any more", work=name)
            await self._report(name, self._reporter.recovered(name))

    def late(self) -> list[str]:
        """Names of the work that should have ended by now."""
        now = time.monotonic()
        return sorted(name for name, (began, seconds) in self._began.items() if now > began + seconds)

    async def stop(self) -> None:
        """End all work of the background and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _failed(self, name: str, code: str, reason: str) -> None:
        count = self.failures[name] = self.failures.get(name, 0) + 1
        log.error("work failed", work=name, code=code, reason=reason, failures=count)
        await self._report(name, self._reporter.failed(WorkFailure(name, code, reason, count)))

    async def _report(self, name: str, reporting: Awaitable[None]) -> None:
        try:
            await reporting
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            log.error("a report was cancelled", work=name)
        except Exception as error:  # noqa: BLE001 - a report that fails must not stop the work
            log.error("a failure could not be reported", work=name, error=type(error).__name__)
