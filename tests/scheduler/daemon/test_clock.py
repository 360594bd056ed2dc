"""Jobs run at their intervals whatever happens to the system's clock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from scheduler.daemon import clock
from scheduler.daemon.clock import EveryInterval, JobClock
from tests.command import environment
from tests.whole.fault_world import fake_clock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("previous", [None, NOW - timedelta(days=700), NOW, NOW + timedelta(days=700)])
def test_a_clock_that_was_set_makes_no_job_catch_up_nor_wait(previous):
    assert EveryInterval(timedelta(seconds=1)).get_next_fire_time(previous, NOW) == NOW + timedelta(seconds=1)


@pytest.mark.parametrize("step", [-700 * 86400.0, 700 * 86400.0])
def test_a_step_of_the_clock_is_noticed_and_all_jobs_are_called(step, monkeypatch):
    monkeypatch.setattr(clock, "WATCH_SECONDS", 0.01)

    async def scenario() -> None:
        moved, steps, called = 0.0, [], asyncio.Event()

        async def job() -> None:
            called.set()

        made = JobClock(lambda name, error: None, steps.append, wall=lambda: time.monotonic() + moved)
        # As after a step back: by the system's clock the job is due in a very long time.
        made.add("job", job, timedelta(days=700), first=timedelta(days=700))
        made.start()
        watching = asyncio.ensure_future(made.watch())
        await asyncio.sleep(0.05)
        assert not called.is_set()
        moved = step
        await asyncio.wait_for(called.wait(), 20)
        assert [round(each) for each in steps] == [round(step)]
        watching.cancel()
        made.stop()

    asyncio.run(scenario())


def test_a_job_that_was_planned_by_a_clock_that_was_ahead_for_a_moment_is_called(monkeypatch):
    monkeypatch.setattr(clock, "WATCH_SECONDS", 0.01)

    async def scenario() -> None:
        called, steps = asyncio.Event(), []

        async def job() -> None:
            called.set()

        made = JobClock(lambda name, error: None, steps.append)
        made.add("job", job, timedelta(days=1), first=timedelta(days=700))
        made.start()
        watching = asyncio.ensure_future(made.watch())
        await asyncio.wait_for(called.wait(), 20)
        assert steps == []
        watching.cancel()
        made.stop()

    asyncio.run(scenario())


SHORTLY_BEHIND = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from scheduler.daemon.clock import JobClock

def set_clock(value):
    (new := Path(sys.argv[1] + ".new")).write_text(value)
    new.rename(sys.argv[1])

async def main():
    calls = asyncio.Queue()
    made = JobClock(lambda name, error: None, lambda step: None)
    made.add("job", lambda: calls.put(None), timedelta(seconds=0.2))
    made.start()
    watching = asyncio.ensure_future(made.watch())
    await calls.get()
    # the scheduler wakes once meanwhile, and finds the next call two days ahead
    set_clock("-2d")
    await asyncio.sleep(0.5)
    set_clock("+0")
    while not calls.empty():
        calls.get_nowait()
    for _ in range(3):
        await asyncio.wait_for(calls.get(), 60)
    watching.cancel()
    made.stop()

asyncio.run(main())
"""


def test_a_clock_that_was_behind_for_a_moment_lets_no_job_wait_for_days(tmp_path):
    (tmp_path / "clock").write_text("+0")
    command = [sys.executable, "-c", SHORTLY_BEHIND, str(tmp_path / "clock")]
    subprocess.run(command, env=environment(**fake_clock(tmp_path / "clock")), check=True, timeout=120)


def test_a_clock_that_is_corrected_gradually_has_not_stepped(monkeypatch):
    monkeypatch.setattr(clock, "WATCH_SECONDS", 0.001)

    async def scenario() -> None:
        moved, steps = 0.0, []
        made = JobClock(lambda name, error: None, steps.append, wall=lambda: time.monotonic() + moved)
        watching = asyncio.ensure_future(made.watch())
        for _ in range(20):
            moved += 1.0
            await asyncio.sleep(0.005)
        watching.cancel()
        assert moved > 2 * clock.STEP_SECONDS
        assert steps == []

    asyncio.run(scenario())


def test_a_job_that_raises_is_reported():
    async def scenario() -> None:
        failed: asyncio.Queue[tuple[str, BaseException]] = asyncio.Queue()

        async def job() -> None:
            raise ZeroDivisionError

        made = JobClock(lambda name, error: failed.put_nowait((name, error)), lambda step: None)
        made.add("job", job, timedelta(days=1))
        made.start()
        name, error = await asyncio.wait_for(failed.get(), 20)
        assert (name, type(error)) == ("job", ZeroDivisionError)
        made.stop()

    asyncio.run(scenario())


def test_a_job_that_runs_when_the_clock_stops_may_end_and_is_cancelled_only_later(caplog):
    async def scenario() -> None:
        ended: list[str] = []
        failed: list[str] = []
        begun = {name: asyncio.Event() for name in ("short", "long")}
        goes_on = asyncio.Event()

        async def job(name: str, wait: asyncio.Event) -> None:
            begun[name].set()
            await wait.wait()
            ended.append(name)

        made = JobClock(lambda name, error: failed.append(name), lambda step: None)
        made.add("short", lambda: job("short", goes_on), timedelta(days=1))
        made.add("long", lambda: job("long", asyncio.Event()), timedelta(days=1))
        made.start()
        await asyncio.gather(*(asyncio.wait_for(each.wait(), 20) for each in begun.values()))
        made.stop()
        asyncio.get_running_loop().call_soon(goes_on.set)
        assert not await made.finish(0.2)
        assert ended == ["short"]
        assert await made.finish(20), "nothing runs any more"
        assert failed == []

    asyncio.run(scenario())
    assert "CancelledError" not in caplog.text
