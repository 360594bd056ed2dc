"""What the runner notes of a crawl process, and which sources share none any more."""

from __future__ import annotations

import asyncio
import socket
import subprocess

import pytest

from crawler.fetching.runner_socket import PULSE
from scheduler.crawl_processes.crawl_process import FROZEN_SECONDS, CrawlProcess
from scheduler.crawls.crawl_tally import CrawlTally


class Sleeping:
    """A process that does nothing."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(["sleep", "60"])
        self.pid = self._process.pid

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()

    def join(self, timeout: float | None = None) -> None:
        self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        pass


@pytest.mark.slow
def test_the_longest_time_without_a_word_of_a_process_is_noted():
    async def measured() -> float:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        process = CrawlProcess(Sleeping(), reader, writer, shared=False)
        for pause in (0.0, 0.3, 0.0):
            await asyncio.sleep(pause)
            theirs.sendall(PULSE)
        await asyncio.sleep(0.05)
        process.kill()
        await process.close()
        theirs.close()
        return process.silence

    assert asyncio.run(measured()) >= 0.25


@pytest.mark.parametrize(
    ("facts", "hung", "reason"),
    [
        ({"state": "done"}, False, ""),
        ({"state": "failed", "code": "unreachable"}, False, ""),
        ({"state": "failed", "code": "memory"}, False, "memory"),
        ({"state": "failed", "code": "wall"}, False, "wall"),
        ({"state": "failed", "code": "crash", "lost": True}, False, ""),
        ({"state": "done", "largest": 11}, False, "size"),
        ({"state": "done", "silence": FROZEN_SECONDS}, False, ""),
        ({"state": "done", "silence": FROZEN_SECONDS}, True, "hang"),
        ({"state": "done", "silence": 6.0}, True, ""),
    ],
)
def test_a_source_at_fault_is_found_although_its_crawl_goes_well_in_a_process_of_its_own(facts, hung, reason):
    assert CrawlTally("site", "1", **facts).why_alone(10, hung=hung) == reason
