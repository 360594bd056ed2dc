"""Single crawls and what can go wrong with them, with a real server and real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.errors import LeaseLost
from data.model import EventKind
from data.sources.source_files import load_source
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.lease_owner import owner_alive, owner_name
from scheduler.crawls.run_crawl import run_crawl
from scheduler.crawls.source_check import check_source
from tests.scheduler.crawls.conftest import SOURCE, asked, kinds
from tests.whole.test_kill import tree

pytestmark = [pytest.mark.slow, pytest.mark.servers]


def test_a_gap_lasts_until_a_walk_has_read_back_to_a_known_post(crawl, site):
    site.pages = {1: ["a"]}
    assert crawl(pages=2).gap is False
    site.pages = {1: ["d"], 2: ["c"], 3: ["b"], 4: ["a"]}
    result = crawl(pages=2)
    assert result.gap
    assert result.failed
    assert EventKind.GAP in kinds(crawl.store)
    site.pages = {1: ["e"], 2: ["d"], 3: ["c"], 4: ["b"], 5: ["a"]}
    assert crawl(pages=2).gap, "what was missed is still unread"
    assert EventKind.RECOVERED not in kinds(crawl.store)
    result = crawl(pages=9)
    assert (result.gap, result.new) == (False, 1)
    assert EventKind.RECOVERED in kinds(crawl.store)
    assert crawl(pages=2).gap is False


def test_a_board_that_gives_its_last_page_again_is_read_no_further(crawl, site):
    site.pages = {1: ["a"]}
    crawl(pages=2)
    site.asked.clear()
    site.pages = {1: ["c"], **{number: ["b"] for number in range(2, 30)}}
    result = crawl(pages=20)
    assert [path for path in site.asked if path.startswith("/?page=")] == ["/?page=1", "/?page=2", "/?page=3"]
    assert (result.listed, result.new, result.gap, result.gap_lost) == (2, 2, True, True), "the known post is gone"


def test_further_boards_of_a_site_are_walked_in_the_same_crawl_and_each_may_have_a_gap(crawl, site):
    site.boards = {"/b2": ["x", "y"]}
    site.pages = {1: ["b", "a"]}
    text = SOURCE.format(url=site.url, pages=2) + f"also: [{site.url}/b2]\nhealth: {{control: [/post/y, /post/a]}}\n"
    (crawl.home.sources_dir / "site.yaml").write_text(text)
    definition = complete_definition(load_source(crawl.home.sources_dir / "site.yaml"))

    def run():
        return asyncio.run(run_crawl(crawl.home, crawl.store, definition, crawl.examiner, owner=owner_name()))

    result = run()
    assert (result.state, result.listed, result.new, result.examined, result.gap) == ("done", 4, 4, 4, False)
    site.boards = {"/b2": ["z", "x", "y"]}
    result = run()
    assert (result.listed, result.new, result.gap) == (5, 1, False)
    site.boards = {"/b2": ["p", "q"]}
    result = run()
    assert (result.new, result.gap, result.gap_lost) == (2, True, True), "the second board shows no known post"
    [blind] = [event for event in crawl.store.events.latest() if event.kind is EventKind.SOURCE_CHANGED]
    assert "1 of 2 control posts were not on the listing" in blind.facts["reason"]
    site.boards = {"/b2": ["p", "y"]}
    run()
    assert "reading control" in [
        event.facts.get("subject") for event in crawl.store.events.latest() if event.kind is EventKind.RECOVERED
    ]


def crawl_processes() -> list[int]:
    """Ids of the fork server and its children; the highest one is the crawl process."""
    return [pid for pid in tree(os.getpid()) if b"crawl_fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_killed_crawl_process_fails_the_crawl_and_its_posts_stay_due(crawl, site):
    site.pages = {1: ["a", "b"]}
    site.hold.clear()

    async def kill() -> None:
        await asked(site, "/post/")
        os.kill(max(crawl_processes()), signal.SIGKILL)

    result = crawl(meanwhile=kill)
    assert result.state == "failed"
    assert "SIGKILL" in result.error
    assert len(crawl.store.posts.due("site")) == 2
    assert EventKind.SOURCE_SILENT in kinds(crawl.store)
    site.hold.set()
    again = crawl()
    assert (again.state, again.examined) == ("done", 2)
    assert crawl.store.posts.due("site") == []
    assert EventKind.RECOVERED in kinds(crawl.store)


def test_posts_that_are_lost_are_told_although_the_crawl_that_missed_them_was_killed(crawl, site):
    site.pages = {1: ["a"]}
    crawl(pages=2)
    site.pages = {1: ["c"]}
    site.hold.clear()

    async def kill() -> None:
        await asked(site, "/post/c")
        os.kill(max(crawl_processes()), signal.SIGKILL)

    assert crawl(pages=2, meanwhile=kill).state == "failed"
    site.hold.set()
    again = crawl(pages=2)
    assert (again.state, again.examined, again.gap) == ("done", 1, False), "the posts above the gap are known now"
    told = [event.facts for event in crawl.store.events.latest() if event.kind is EventKind.GAP]
    assert [(each["subject"], "may be missing" in each["reason"]) for each in told] == [("lost posts", True)]


def test_a_crawl_over_its_time_limit_is_ended_and_fails(crawl, site, monkeypatch):
    monkeypatch.setattr("scheduler.crawls.run_crawl.GRACE_SECONDS", 0.5)
    site.pages = {1: ["a"]}
    site.hold.clear()
    settings = crawl.home.settings()
    settings = settings.model_copy(update={"crawl": settings.crawl.model_copy(update={"wall": timedelta(seconds=2)})})
    result = crawl(settings=settings)
    assert result.state == "failed"
    assert "longer than 2 s" in result.error or "wall" in result.error
    assert len(crawl.store.posts.due("site")) == 1


def test_a_crawl_whose_last_examination_ends_after_the_time_limit_is_done(crawl, site):
    site.pages = {1: ["a"]}
    site.hold.clear()
    settings = crawl.home.settings()
    settings = settings.model_copy(update={"crawl": settings.crawl.model_copy(update={"wall": timedelta(seconds=4)})})

    async def examine_late() -> None:
        await asked(site, "/post/")
        examiner = crawl.examiner.process.pid
        os.kill(examiner, signal.SIGSTOP)
        try:
            site.hold.set()
            await asyncio.sleep(5)
        finally:
            os.kill(examiner, signal.SIGCONT)

    result = crawl(settings=settings, meanwhile=examine_late)
    assert (result.state, result.code, result.error, result.examined) == ("done", "", "", 1)
    assert crawl.store.posts.due("site") == []


def test_a_long_listing_is_reported_until_the_time_limit_and_what_was_reported_is_due(crawl, site, monkeypatch):
    # the crawl process itself ends the crawl, however long it takes to read the page
    monkeypatch.setattr("scheduler.crawls.run_crawl.GRACE_SECONDS", 600)
    site.pages = {1: [str(number) for number in range(20_000)]}
    settings = crawl.home.settings()
    settings = settings.model_copy(update={"crawl": settings.crawl.model_copy(update={"wall": timedelta(seconds=1)})})
    result = crawl(settings=settings)
    assert (result.state, result.code) == ("failed", "wall")
    [row] = crawl.store.database.rows("select count(*) as n, count(due) as due from post")
    assert 0 < result.listed == row["n"] < 20_000
    assert row["due"] == row["n"] - result.examined
    # the listing was not read to its end, so none of its posts may end a later walk
    assert crawl.store.posts.count_settled("site") == 0


def test_a_lost_lease_ends_the_crawl_and_nothing_of_it_is_stored(crawl, site):
    site.pages = {1: ["a"]}
    site.hold.clear()

    async def take_over() -> None:
        await asked(site, "/post/")
        crawl.store.crawls.expire_leases(datetime.now(UTC) + timedelta(hours=1))
        site.hold.set()

    result = crawl(meanwhile=take_over)
    assert result.state == "failed"
    assert "lease" in result.error
    assert len(crawl.store.posts.due("site")) == 1
    assert crawl.store.findings.latest() == []


def test_a_source_is_not_crawled_twice_at_the_same_time(crawl, site):
    site.pages = {1: ["a"]}
    site.hold.clear()
    refused = []

    async def second() -> None:
        await asked(site, "/post/")
        definition = complete_definition(load_source(crawl.home.sources_dir / "site.yaml"))
        try:
            await run_crawl(crawl.home, crawl.store, definition, crawl.examiner, owner="other:1")
        except LeaseLost as error:
            refused.append(error)
        site.hold.set()

    assert crawl(meanwhile=second).state == "done"
    assert refused


def test_a_crawl_fails_if_the_examiner_ends_and_its_posts_stay_due(crawl, site):
    site.pages = {1: ["a"]}
    site.hold.clear()

    async def kill() -> None:
        await asked(site, "/post/")
        crawl.examiner.process.kill()
        crawl.examiner.process.wait()
        site.hold.set()

    result = crawl(meanwhile=kill)
    assert result.state == "failed"
    assert "examiner" in result.error
    assert len(crawl.store.posts.due("site")) == 1


def test_a_check_of_a_source_stores_nothing(crawl, site):
    site.pages = {1: ["a", "b"]}
    crawl.home.sources_dir.joinpath("site.yaml").write_text(SOURCE.format(url=site.url, pages=1))
    before = {path: path.stat().st_mtime_ns for path in crawl.home.path.rglob("*") if path.is_file()}
    found = check_source(crawl.home, "site")
    assert [post["id"] for post in found.posts] == [f"{site.url}/post/a", f"{site.url}/post/b"] or len(found.posts) == 2
    assert (found.state, found.refused) == ("ok", 0)
    assert sum(path.startswith("/post/") for path in site.asked) <= 2, "two posts are opened to show what would be read"
    assert before == {path: path.stat().st_mtime_ns for path in crawl.home.path.rglob("*") if path.is_file()}


def test_the_owner_of_a_lease_lives_as_long_as_its_process():
    assert owner_alive(owner_name())
    host = owner_name().rpartition(":")[0]
    assert not owner_alive(f"{host}:{2**22 - 1}")
    assert owner_alive("elsewhere:1"), "an owner on another machine counts as alive"
