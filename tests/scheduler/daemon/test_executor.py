"""Named work: a limited number at a time, no name twice, and none is left running at the end."""

from __future__ import annotations

import asyncio

from scheduler.daemon import executor as executors
from scheduler.daemon.executor import LocalExecutor


def test_a_limited_number_runs_at_once_and_no_name_twice():
    async def scenario() -> None:
        executor, running, most = LocalExecutor(2), 0, 0
        done: list[str] = []

        def work(name: str):
            async def run() -> None:
                nonlocal running, most
                running += 1
                most = max(most, running)
                await asyncio.sleep(0.01)
                running -= 1
                done.append(name)

            return run

        assert all(executor.submit(name, work(name)) for name in "abcde")
        assert not executor.submit("a", work("a"))
        assert executor.running == frozenset("abcde")
        await executor.stop(5)
        assert sorted(done) == list("abcde")
        assert most == 2
        assert executor.submit("a", work("a"))
        await executor.stop(5)

    asyncio.run(scenario())


def test_work_that_does_not_end_is_cancelled_and_failed_work_frees_its_name():
    async def scenario() -> None:
        executor = LocalExecutor(1)
        ended: list[str] = []

        async def endless() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("endless")

        async def broken() -> None:
            raise ZeroDivisionError

        executor.submit("endless", endless)
        await asyncio.sleep(0)
        await executor.stop(0.01)
        assert ended == ["endless"]
        executor.submit("broken", broken)
        await executor.stop(1)
        assert not executor.running

    asyncio.run(scenario())


def test_no_more_work_is_to_be_submitted_than_can_wait(monkeypatch):
    """A task of each of ten thousand sources that are due together took 27 MB, and was begun in the order of names."""
    monkeypatch.setattr(executors, "MOST_WAITING", 2)

    async def scenario() -> None:
        executor, go = LocalExecutor(1), asyncio.Event()

        async def work() -> None:
            await go.wait()

        submitted = []
        for name in "abcdef":
            if executor.has_room(light=False):
                submitted.append(name)
                assert executor.submit(name, work)
                # one of them begins
                await asyncio.sleep(0)
        assert submitted == ["a", "b", "c"]
        assert executor.has_room(light=True), "light work waits apart"
        go.set()
        while executor.running:
            await asyncio.sleep(0)
        assert executor.has_room(light=False)
        executor.submit("d", work)
        executor.submit("e", work)
        await executor.stop(0)
        assert executor.has_room(light=False), "what was cancelled waits no more"

    asyncio.run(scenario())
