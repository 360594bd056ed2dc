"""Work by name: at most so many at a time, none twice, none lost at the end."""

from __future__ import annotations

import asyncio

from scheduler.daemon.executor import LocalExecutor


def test_at_most_so_many_run_and_none_twice():
    async def story() -> None:
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

    asyncio.run(story())


def test_what_does_not_end_is_cancelled_and_a_failure_frees_its_name():
    async def story() -> None:
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

    asyncio.run(story())
