"""Single crawls and what can go wrong with them, with a real server and real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crawler.process.examiner_client import ExaminerProcess
from data.errors import LeaseLost
from data.model import EventKind
from data.settings.home import Home
from data.sources.source_files import load_source
from data.store.store import Store
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.lease_owner import owner_alive, owner_name
from scheduler.crawls.run_crawl import run_crawl
from scheduler.crawls.source_check import check_source
from tests.command import must
from tests.whole.test_kill import tree

pytestmark = [pytest.mark.slow, pytest.mark.servers]

SOURCE = """\
name: site
platform: declared
url: {url}/?page={{page}}
list:
  each: ["css:li"]
  fields: {{id: "css:a::attr(href)", title: "css:a::text", link: "css:a::attr(href)"}}
  pages: {{max: {pages}}}
timeout: 20s
"""


class Site:
    """A site with numbered pages of posts; the answers to requests for posts can be delayed with `hold`."""

    def __init__(self) -> None:
        self.pages: dict[int, list[str]] = {}
        self.hold = threading.Event()
        self.hold.set()
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                if self.path.startswith("/?page="):
                    rows = "".join(
                        f'<li><a href="/post/{each}">post</a></li>' for each in site.pages.get(int(self.path[7:]), [])
                    )
                    body, mime = f"<html><body><ul>{rows}</ul></body></html>".encode(), "text/html"
                elif self.path.startswith("/post/"):
                    site.hold.wait(30)
                    body, mime = b"nothing of note: " + self.path.encode(), "text/plain"
                else:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", mime)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *args) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.hold.set()
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def crawl(tmp_path, site):
    must(None, "init", tmp_path / "home")
    home = Home(tmp_path / "home", {})
    with ExaminerProcess.start(home) as examiner:
        store = Store.open(home.db_path, seal_key=examiner.greeting.post_key)

        async def once(pages: int = 1, meanwhile=None, settings=None):
            (home.sources_dir / "site.yaml").write_text(SOURCE.format(url=site.url, pages=pages))
            definition = complete_definition(load_source(home.sources_dir / "site.yaml"))
            running = asyncio.ensure_future(
                run_crawl(home, store, definition, examiner, owner=owner_name(), settings=settings)
            )
            if meanwhile is not None:
                await meanwhile()
            return await running

        def run(**keys):
            return asyncio.run(once(**keys))

        run.home, run.store, run.examiner = home, store, examiner
        yield run
        store.close()


def kinds(store) -> list[EventKind]:
    return [event.kind for event in store.events.latest()]


async def asked(site, words: str) -> None:
    end = time.monotonic() + 20
    while not any(words in path for path in site.asked):
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


def test_a_walk_that_meets_no_known_post_is_a_gap_which_the_next_complete_walk_ends(crawl, site):
    site.pages = {1: ["a"]}
    assert crawl(pages=2).gap is False
    site.pages = {1: ["d"], 2: ["c"], 3: ["b"], 4: ["a"]}
    result = crawl(pages=2)
    assert result.gap
    assert result.failed
    assert EventKind.GAP in kinds(crawl.store)
    site.pages = {1: ["e"], 2: ["d"]}
    assert crawl(pages=2).gap is False
    assert EventKind.RECOVERED in kinds(crawl.store)


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
    assert not any(path.startswith("/post/") for path in site.asked)
    assert before == {path: path.stat().st_mtime_ns for path in crawl.home.path.rglob("*") if path.is_file()}


def test_the_owner_of_a_lease_lives_as_long_as_its_process():
    assert owner_alive(owner_name())
    host = owner_name().rpartition(":")[0]
    assert not owner_alive(f"{host}:{2**22 - 1}")
    assert owner_alive("elsewhere:1"), "an owner on another machine counts as alive"
