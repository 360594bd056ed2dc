"""Whatever background work raises, at whatever await, is counted and reported, and other work goes on."""

from __future__ import annotations

import asyncio

import pytest

from data.errors import CrawlNotStarted, ExaminerDied, FetchFailed, StoreFull
from scheduler.daemon.supervisor import Supervisor, WorkFailure
from tests.raise_at import RaiseAt

AWAITS = 4
ERRORS = {
    "store": StoreFull("the disk is full", hint="free some space"),
    "examiner": ExaminerDied("the examiner has ended"),
    "crawl process": CrawlNotStarted("no process"),
    "error": FetchFailed("no answer"),
    "crash": ZeroDivisionError("names of people"),
    "cancelled": asyncio.CancelledError(),
}


class Told:
    """Keeps what was reported; a report may fail as well."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.failures: list[WorkFailure] = []
        self.recoveries: list[str] = []
        self.error = error

    async def failed(self, failure: WorkFailure) -> None:
        self.failures.append(failure)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error

    async def recovered(self, work: str) -> None:
        self.recoveries.append(work)


async def several_awaits() -> None:
    for _ in range(AWAITS):
        await asyncio.sleep(0)


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("number", range(AWAITS))
@pytest.mark.parametrize("reporting", [None, ZeroDivisionError(), asyncio.CancelledError()])
def test_an_error_at_any_await_is_counted_reported_and_ends_nothing_else(code, number, reporting):
    async def scenario() -> None:
        told = Told(reporting)
        supervisor = Supervisor(told)
        others = 0

        async def fails() -> None:
            raising = RaiseAt(several_awaits(), number, ERRORS[code])
            try:
                await raising
            finally:
                assert raising.raised

        async def other() -> None:
            nonlocal others
            await several_awaits()
            others += 1

        for count in (1, 2):
            supervisor.start("other", other)
            assert not await supervisor.run("work", fails, 60)
            assert supervisor.failures == {"work": count}
            assert (told.failures[-1].code, told.failures[-1].count) == (code, count)
        assert not any("names of people" in failure.reason for failure in told.failures)
        told.error = None
        assert await supervisor.run("work", several_awaits)
        assert told.recoveries == ["work"]
        assert supervisor.failures == {}
        assert others == 2
        await supervisor.stop()

    asyncio.run(scenario())


def test_work_that_hangs_is_ended_counted_and_shown_as_late():
    async def scenario() -> None:
        told = Told()
        supervisor = Supervisor(told)
        running = asyncio.ensure_future(supervisor.run("work", asyncio.Event().wait, 0.05))
        await asyncio.sleep(0)
        assert supervisor.late() == []
        assert not await running
        assert (told.failures[0].code, told.failures[0].reason) == ("hang", "it did not end within 0.05 s")

    asyncio.run(scenario())


def test_a_time_out_inside_the_work_is_not_its_own_deadline():
    async def scenario() -> None:
        told = Told()

        async def times_out() -> None:
            raise TimeoutError

        await Supervisor(told).run("work", times_out, 60)
        assert told.failures[0].code == "crash"

    asyncio.run(scenario())


def test_the_stop_of_the_daemon_is_no_failure_and_waits_for_the_end_of_all_work():
    async def scenario() -> None:
        told = Told()
        supervisor = Supervisor(told)
        ended = []

        async def never() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        supervisor.start("one", never)
        supervisor.keep("two", never)
        await asyncio.sleep(0)
        await supervisor.stop()
        assert len(ended) == 2
        assert told.failures == []

    asyncio.run(scenario())


def test_work_that_should_never_end_is_started_again(monkeypatch):
    monkeypatch.setattr("scheduler.daemon.supervisor.RESTART_SECONDS", 0.0)

    async def scenario() -> None:
        told = Told()
        supervisor = Supervisor(told)
        starts = asyncio.Semaphore(0)

        async def breaks() -> None:
            starts.release()
            raise ZeroDivisionError

        supervisor.keep("clock", breaks)
        for _ in range(3):
            await starts.acquire()
        await supervisor.stop()
        assert [failure.count for failure in told.failures][:2] == [1, 2]

    asyncio.run(scenario())
