"""Crawls of light sources share a process, and nothing else: neither their hosts nor the fault of one of them."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from crawler.process.progress import Progress
from data.sources.source_files import parse_source
from scheduler.crawl_processes.batches import Batches
from scheduler.crawl_processes.host_turns import HostTurns
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.run_crawl import is_light, run_crawl
from tests.scheduler.crawls.conftest import Site, asked
from tests.scheduler.crawls.test_run_crawl import crawl_processes

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SOURCE = """\
name: {name}
platform: declared
url: {url}/{name}
rate: 1000
list:
  each: ["css:li"]
  fields: {{id: "css:a::attr(href)", title: "css:a::text", link: "css:a::attr(href)"}}
timeout: 20s
"""
NAMES = ("s0", "s1", "s2", "s3")


@pytest.fixture
def other_site():
    made = Site()
    yield made
    made.http.shutdown()
    made.http.server_close()


def test_light_sources_share_a_process_and_one_that_crashes_gets_its_own(crawl, site, other_site):
    other_site.boards["/s3"] = ["three-0"]
    site.boards |= {"/s0": ["zero-0"], "/s1": ["one-0"], "/s2": ["two-0"]}
    urls = {name: other_site.url if name == "s3" else site.url for name in NAMES}
    sources = {
        name: complete_definition(parse_source(SOURCE.format(name=name, url=url), f"{name}.yaml"))
        for name, url in urls.items()
    }
    batches, looks = Batches(2), []

    def clock() -> float:
        looks.append(time.monotonic())
        return looks[-1]

    turns = HostTurns(sources.values(), clock)

    async def all_of(*names: str, sources=sources):
        crawls = [
            run_crawl(
                crawl.home, crawl.store, sources[name], crawl.examiner, owner=owner_name(), batches=batches, turns=turns
            )
            for name in names
        ]
        return {result.source: result for result in await asyncio.gather(*crawls)}

    async def steps() -> None:
        assert not any(is_light(crawl.store, each) for each in sources.values())
        first = await all_of(*NAMES)
        assert {each.examined for each in first.values()} == {1}
        assert batches.pids == []

        # a page of s0 links to what only s3, in the same process, may read
        for name, site_of in (("s0", site), ("s1", site), ("s2", site), ("s3", other_site)):
            site_of.boards[f"/{name}"].insert(0, f"{name}-1")
        site.answers["/post/s0-1"] = (302, {"Location": f"{other_site.url}/post/secret"}, b"")
        shared = await all_of(*NAMES)
        [pid] = batches.pids
        assert {each.state for each in shared.values()} == {"done"}
        assert [shared[name].examined for name in NAMES] == [0, 1, 1, 1]
        assert shared["s0"].hosts
        assert "/post/secret" not in other_site.asked
        del site.answers["/post/s0-1"]

        # the sources of one host, whatever its ports, make their requests at half a second's distance
        looks.clear()
        slow = {name: each.model_copy(update={"rate": 2.0}) for name, each in sources.items()}
        turns.declare(slow.values())
        began = time.monotonic()
        paced = await all_of(*NAMES, sources=slow)
        asked_for = sum(each.requests for each in paced.values())
        assert time.monotonic() - began >= (asked_for - 1) * 0.5
        assert {each.state for each in paced.values()} == {"done"}
        assert len(looks) == asked_for
        assert paced["s0"].examined == 1, "its redirect is gone"
        turns.declare(sources.values())

        # a crash costs the others a repetition; the one at fault crashes in its own process as well
        site.asked.clear()
        site.hold.clear()
        site.boards["/s1"].insert(0, "s1-2")
        # the walk of s3 meets no known post, which the repetition cannot see any more
        other_site.hold.clear()
        other_site.boards["/s3"] = ["s3-2"]
        running = asyncio.ensure_future(all_of("s1", "s3"))
        await asked(site, "/post/s1-2")
        await asked(other_site, "/post/s3-2")
        assert batches.pids == [pid]
        # while as many others as allowed are repeated, these wait
        for _ in range(2):
            await batches.repeated.acquire()
        site.asked.clear()
        other_site.asked.clear()
        os.kill(pid, signal.SIGKILL)
        other_site.hold.set()
        while batches.pids:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert site.asked + other_site.asked == []
        for _ in range(2):
            batches.repeated.release()
        await asked(site, "/post/s1-2")
        # the process of the other one has ended, so that the newest is that of s1
        end = time.monotonic() + 120
        while crawl.store.crawls.latest(source="s3", limit=1)[0]["state"] != "done":
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        os.kill(max(crawl_processes()), signal.SIGKILL)
        broken = await running
        site.hold.set()
        assert (broken["s1"].state, broken["s1"].code) == ("failed", "crash")
        assert (broken["s3"].state, broken["s3"].examined, broken["s3"].gap_lost) == ("done", 1, True)
        assert [each.subject for each in crawl.store.states.lasting("s3")] == ["lost posts"]
        trouble = crawl.store.sources.last_troubles()["s3"]
        assert trouble["code"] == "crash", "status tells of a crawl that was made again, though it ended well"
        assert "crawled again in a process of its own" in str(trouble["reason"])
        assert [crawl.store.sources.alone(name) for name in NAMES] == ["", "crash", "", ""]

        # from then on it has a process of its own, and loses nothing
        again = await all_of("s1", "s2")
        assert (again["s1"].state, again["s1"].examined) == ("done", 1)
        assert len(batches.pids) == 1
        assert [is_light(crawl.store, sources[name]) for name in NAMES] == [True, False, True, True]
        # cookies of a session stay in a process that no other site reaches, as do circuits of Tor and what a page runs
        for kept_apart in ({"cookies": "file"}, {"via": "tor"}, {"render": "browser"}):
            assert not is_light(crawl.store, sources["s2"].model_copy(update=kept_apart)), kept_apart
        batches.close()

    asyncio.run(steps())
    # four posts at first, then three, that of the redirect, one of s3 and one of s1: none twice, none lost
    assert len(crawl.store.findings.latest(limit=100)) == 10


def test_a_process_of_a_batch_that_hangs_is_noticed_though_it_computes():
    """One that computes without an end uses processor time, and keeps all others of its process from going on."""
    progress = Progress(os.getpid(), 0.2, by_ticks=False)
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        pass
    assert progress.has_stopped()
    progress.note_sign()
    assert not progress.has_stopped()
