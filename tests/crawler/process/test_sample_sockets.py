"""Several samples on their way to a real examiner: each gets its own finding, and none waits behind a large one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from crawler.process.examiner_client import ExaminerProcess
from crawler.process.frames import SMALL_FRAME
from crawler.process.sample_sockets import SMALL_AT_ONCE, SampleSockets
from data.errors import ExaminerDied
from data.model import Finding
from data.settings.home import Home
from tests.command import must

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def examiner(tmp_path_factory) -> Iterator[ExaminerProcess]:
    folder = tmp_path_factory.mktemp("case") / "home"
    must(None, "init", folder)
    with ExaminerProcess.start(Home(folder, {})) as started:
        yield started


def run(examiner: ExaminerProcess, sockets: int, work: Callable[[SampleSockets], Awaitable[None]]) -> None:
    async def main() -> None:
        opened = await SampleSockets.open([examiner.attach() for _ in range(sockets)])
        try:
            await asyncio.wait_for(work(opened), 60)
        finally:
            opened.close()

    asyncio.run(main())


def table(rows: int) -> bytes:
    return b"nom;prenom;telephone\n" + b"".join(
        b"MARTIN%d;Anne;06123456%02d\n" % (row, row % 100) for row in range(rows)
    )


async def examine(sockets: SampleSockets, rows: int) -> Finding:
    return await sockets.examine({"name": f"{rows}.csv", "source": "board"}, table(rows))


def test_each_of_many_samples_gets_its_own_finding(examiner):
    large = 1 + SMALL_FRAME // len(table(1))
    sizes = [*range(3, 3 + 3 * SMALL_AT_ONCE), large, *range(60, 60 + 3 * SMALL_AT_ONCE)]

    async def work(sockets: SampleSockets) -> None:
        findings = await asyncio.gather(*(examine(sockets, size) for size in sizes))
        assert [finding.rows for finding in findings] == sizes

    run(examiner, 2, work)


def test_no_sample_waits_behind_one_that_is_streamed(examiner):
    async def work(sockets: SampleSockets) -> None:
        go_on = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield table(5)
            await go_on.wait()

        streaming = asyncio.ensure_future(sockets.examine_stream({"name": "slow.csv", "source": "board"}, slow()))
        await asyncio.sleep(0)
        findings = await asyncio.gather(*(examine(sockets, size) for size in range(3, 3 + 2 * SMALL_AT_ONCE)))
        assert [finding.rows for finding in findings] == list(range(3, 3 + 2 * SMALL_AT_ONCE))
        assert not streaming.done()
        go_on.set()
        assert (await streaming).rows == 5

    run(examiner, 2, work)


def test_a_stream_gets_a_socket_however_many_small_samples_wait(examiner):
    async def work(sockets: SampleSockets) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield table(7)

        async def endless() -> None:
            while True:
                await examine(sockets, 3)

        small = [asyncio.ensure_future(endless()) for _ in range(SMALL_AT_ONCE)]
        await asyncio.sleep(0)
        assert (await sockets.examine_stream({"name": "a.csv", "source": "board"}, chunks())).rows == 7
        for task in small:
            task.cancel()
        await asyncio.wait(small)

    run(examiner, 1, work)


def test_a_sample_that_is_given_up_leaves_its_answer_to_no_other(examiner):
    async def work(sockets: SampleSockets) -> None:
        given_up, waiting = (asyncio.ensure_future(examine(sockets, size)) for size in (4, 9))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(ExaminerDied):
            await waiting

    run(examiner, 1, work)
