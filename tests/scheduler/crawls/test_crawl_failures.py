"""Every way out of a crawl is a counted failure with a code, and loses no post."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from crawler.fetching import runner_socket
from crawler.pages.post_fields import listing_fields, version_of
from crawler.pages.post_identity import post_id, seal_due
from data.errors import StoreFull
from data.model import EventKind, Post
from data.sources.source_files import load_source
from data.store.posts import PostRow
from scheduler.crawl_processes import crawl_process
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.expired_crawls import report_expired
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.run_crawl import run_crawl
from tests.raise_at import RaiseAt
from tests.scheduler.crawls.conftest import SOURCE, asked, kinds
from tests.scheduler.crawls.test_run_crawl import crawl_processes as processes

pytestmark = [pytest.mark.slow, pytest.mark.servers]


def failures(crawl) -> int:
    [state] = [state for state in crawl.store.sources.states() if state.name == "site"]
    return state.failures


def test_a_frozen_crawl_process_is_ended_told_at_once_and_its_posts_stay_due(crawl, site, monkeypatch):
    site.pages = {1: ["a", "b"]}
    site.hold.clear()

    async def freeze() -> None:
        await asked(site, "/post/")
        os.kill(max(processes()), signal.SIGSTOP)

    with monkeypatch.context() as patch:
        patch.setattr(crawl_process, "FROZEN_SECONDS", 2.0)
        result = crawl(meanwhile=freeze)
    assert result.state == "failed"
    assert "no progress" in result.error
    assert crawl.store.crawls.latest()[0]["counts"]["code"] == "hang"
    assert EventKind.SOURCE_SILENT in kinds(crawl.store)
    assert len(crawl.store.posts.due("site")) == 2
    site.hold.set()
    assert (crawl().examined, failures(crawl)) == (2, 0)


def test_a_process_that_waits_for_a_slow_site_is_not_frozen(crawl, site, monkeypatch):
    # The fork server is forked from nothing of this process, so the pause between pulses is the real one.
    monkeypatch.setattr(crawl_process, "FROZEN_SECONDS", runner_socket.PULSE_SECONDS + 3)
    site.pages = {1: ["a"]}
    site.hold.clear()

    async def wait() -> None:
        await asked(site, "/post/")
        await asyncio.sleep(runner_socket.PULSE_SECONDS + 5)
        site.hold.set()

    assert crawl(meanwhile=wait).state == "done"


def test_due_posts_that_do_not_fit_into_one_job_stay_due_are_told_and_take_their_turn(crawl, site):
    site.pages = {1: ["a"]}
    assert crawl().state == "done"
    key = crawl.examiner.greeting.post_key
    now = datetime.now(UTC)
    for number in range(42):
        url = f"{site.url}/post/{number}"
        post = Post("site", str(number), url, body="x" * 500_000)
        version = version_of(key, listing_fields(key, post, now))
        row = PostRow(post_id(key, "site", str(number)), version, "http://127.0.0.1/[1]", seal_due(key, post))
        crawl.store.posts.add_linked("site", row, "other", now)
    first = crawl()
    assert first.state == "done", "a job of 21 MB made every crawl of this source fail"
    assert 0 < first.examined < 42
    left = len(crawl.store.posts.due("site"))
    assert left == 42 - first.examined
    [state] = [each for each in crawl.store.states.lasting("site") if each.kind is EventKind.UNEXAMINED]
    event, _ = crawl.store.events.find(state.event)
    assert event.facts["codes"] == {"limit": left}
    for _ in range(3):
        last = crawl()
    assert (last.state, crawl.store.posts.due("site")) == ("done", [])
    assert crawl.store.states.lasting("site") == []


def raising(crawl, site, number: int, error: BaseException) -> tuple[bool, object]:
    """Crawl, and raise an error at one await of the crawl; whether there was such an await, and the result."""
    (crawl.home.sources_dir / "site.yaml").write_text(SOURCE.format(url=site.url, pages=1))
    definition = complete_definition(load_source(crawl.home.sources_dir / "site.yaml"))

    async def once() -> tuple[bool, object]:
        attempt = RaiseAt(
            run_crawl(crawl.home, crawl.store, definition, crawl.examiner, owner=owner_name()), number, error
        )
        result = await attempt
        # As in a runner, which goes on, what the interrupted crawl left to the loop comes to its end.
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=1)
        return attempt.raised, result

    return asyncio.run(once())


@pytest.mark.parametrize("error", [ZeroDivisionError("content"), StoreFull("the disk is full"), EOFError()])
def test_an_error_at_any_await_of_a_crawl_is_a_counted_failure_and_the_next_crawl_examines_everything(
    crawl, site, error
):
    site.pages = {1: ["a"]}
    number = raised_in = 0
    while True:
        site.pages = {1: [f"post-{number}", *site.pages[1]]}
        raised, result = raising(crawl, site, number, error)
        if not raised:
            break
        last = crawl.store.crawls.latest(limit=1)[0]
        assert last["state"] in {"failed", "done"}, f"await {number}: the crawl was left {last['state']}"
        if result.state == "failed":
            raised_in += 1
            assert last["counts"]["code"]
            assert failures(crawl) == 1
            assert "content" not in last["error"]
        again = crawl()
        assert (again.state, failures(crawl)) == ("done", 0), f"after an error at await {number}"
        assert crawl.store.posts.due("site") == []
        number += 1
    assert raised_in >= 5
    assert crawl.store.posts.due("site") == []


def test_a_crawl_that_is_stopped_with_its_runner_is_no_failure_and_holds_no_lease(crawl, site):
    site.pages = {1: ["a"]}
    site.hold.clear()
    (crawl.home.sources_dir / "site.yaml").write_text(SOURCE.format(url=site.url, pages=1))
    definition = complete_definition(load_source(crawl.home.sources_dir / "site.yaml"))

    async def stopped() -> None:
        running = asyncio.ensure_future(
            run_crawl(crawl.home, crawl.store, definition, crawl.examiner, owner=owner_name())
        )
        await asked(site, "/post/")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(stopped())
    assert (crawl.store.crawls.latest()[0]["state"], failures(crawl)) == ("expired", 0)
    site.hold.set()
    assert crawl().examined == 1


def test_a_source_whose_crawls_expire_again_and_again_is_told(crawl, site):
    settings = crawl.home.settings()
    site.pages = {1: ["a"]}
    crawl()
    for number in range(settings.daemon.silent_after):
        assert EventKind.SOURCE_SILENT not in kinds(crawl.store), number
        now = datetime.now(UTC)
        queued = crawl.store.crawls.queue("site", "due", now)
        crawl.store.crawls.lease(queued, "gone:1", now + timedelta(minutes=1), now)
        expired = crawl.store.crawls.expire_dead_owners(lambda owner: False, now)
        report_expired(crawl.home, crawl.store, settings, expired, now)
    assert EventKind.SOURCE_SILENT in kinds(crawl.store)
    assert crawl().state == "done"
    assert EventKind.RECOVERED in kinds(crawl.store)
