"""Calls the daemon's jobs at intervals, whatever happens to the system's clock.

APScheduler plans by the system's clock. If that is set back by a year, a job would wait for a year; if it is set forward,
APScheduler would go through every missed second one by one. So intervals start anew at every call, and a step of the
clock is noticed by comparing it with the monotonic clock.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

WATCH_SECONDS = 1.0
# A larger difference within WATCH_SECONDS is a step: a clock that is corrected gradually moves by less than this.
STEP_SECONDS = 5.0
# A job is planned its interval ahead, and looked at a little later.
PLAN_SLACK = timedelta(seconds=STEP_SECONDS)


class EveryInterval(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """Fires one interval after now: a time that was missed is not made up for."""

    def __init__(self, interval: timedelta) -> None:
        self.interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:  # noqa: ARG002 - APScheduler's  # noqa: ARG002
        """The next time, which is always later than now."""
        return now + self.interval


class JobClock:
    """Calls jobs at their intervals, never one that is still running."""

    def __init__(
        self,
        job_failed: Callable[[str, BaseException], None],
        clock_stepped: Callable[[float], None],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """A clock without jobs.

        Args:
            job_failed: is called with the name and the error of a job that raises.
            clock_stepped: is called with the number of seconds by which the system's clock was set forward (or back).
            wall: the system's clock, in seconds.
        """
        # Its only warnings are that a job still runs, each second; the supervisor reports a job that is late.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        # jobs that run; APScheduler would cancel them when it stops
        self._running: set[asyncio.Task[object]] = set()
        self._stopped = False
        self._clock_stepped, self._wall = clock_stepped, wall

        def failed(event: JobExecutionEvent) -> None:
            job_failed(event.job_id, event.exception)

        self._scheduler.add_listener(failed, EVENT_JOB_ERROR)

    def add(
        self, name: str, job: Callable[[], Awaitable[object]], every: timedelta, *, first: timedelta = timedelta()
    ) -> None:
        """Call a job at an interval, for the first time after `first`."""
        self._scheduler.add_job(
            functools.partial(self._run, job),
            EveryInterval(every),
            id=name,
            next_run_time=datetime.now(UTC) + first,
            coalesce=True,
            misfire_grace_time=None,
            max_instances=1,
        )

    @property
    def names(self) -> frozenset[str]:
        """Names of all jobs."""
        return frozenset(job.id for job in self._scheduler.get_jobs())

    async def _run(self, job: Callable[[], Awaitable[object]]) -> None:
        task = asyncio.ensure_future(self._call(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self._stopped:
                raise

    @staticmethod
    async def _call(job: Callable[[], Awaitable[object]]) -> object:
        return await job()

    def start(self) -> None:
        """Begin to call the jobs."""
        self._scheduler.start()

    def stop(self) -> None:
        """Call no more jobs; those that run go on until `finish`."""
        self._stopped = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def finish(self, seconds: float) -> bool:
        """Wait for the jobs that still run, and end them after so many seconds; whether all ended by themselves.

        A delivery that is cancelled while a chat answers would be made again.
        """
        running = list(self._running)
        if not running:
            return True
        _, late = await asyncio.wait(running, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return not late

    def run_all(self) -> None:
        """Call every job now, and from now on at its interval again."""
        now = datetime.now(UTC)
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=now)

    def _plan_anew(self) -> None:
        """Call the jobs that are due, and those planned for a time that no interval explains.

        A clock that was wrong for less than a second is not seen to step, but what was planned meanwhile waits for days.
        """
        now = datetime.now(UTC)
        for job in self._scheduler.get_jobs():
            if job.next_run_time is not None and job.next_run_time - now > job.trigger.interval + PLAN_SLACK:
                job.modify(next_run_time=now)
        # how long the scheduler sleeps was reckoned by the clock of that time
        self._scheduler.wakeup()

    async def watch(self) -> None:
        """Notice steps of the system's clock, without end; after each, all jobs are called."""
        offset = self._wall() - time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            moved = self._wall() - time.monotonic() - offset
            # A gradual correction is followed, so that many small ones are not taken for a step.
            offset += moved
            if abs(moved) > STEP_SECONDS:
                self.run_all()
                self._clock_stepped(moved)
            elif self._scheduler.running:
                self._plan_anew()
