"""A small site, and crawls of it by this process, for the tests of single crawls."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crawler.process.examiner_client import ExaminerProcess
from data.model import EventKind
from data.settings.home import Home
from data.sources.source_files import load_source
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.keyed_store import open_store
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.run_crawl import run_crawl
from tests.command import must

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
    """A site with numbered pages of posts.

    The answers to requests for posts can be delayed with `hold`, those of posts in `halves` after half of their body;
    `bodies` hold what a post says, and `links` further links of every page; `boards` are further
    listings by path. `answers` are whole answers by path, for servers that answer wrongly: status, headers and body;
    a header without a value is not sent. `raw` are answers by path that are no HTTP: their bytes.
    """

    def __init__(self) -> None:
        self.pages: dict[int, list[str]] = {}
        self.hold = threading.Event()
        self.hold.set()
        self.asked: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.halves: set[str] = set()
        self.links: list[str] = []
        self.boards: dict[str, list[str]] = {}
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.raw: dict[str, Callable[[], Iterator[bytes]]] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                if self.path in site.raw:
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        for part in site.raw[self.path]():
                            if self.path not in site.raw:
                                break
                            self.wfile.write(part)
                    return
                if self.path in site.answers:
                    status, headers, body = site.answers[self.path]
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **headers}.items():
                        if value:
                            self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                    return
                if self.path.startswith("/?page=") or self.path in site.boards:
                    found = site.boards.get(self.path) or site.pages.get(int(self.path[7:]), [])
                    posts = [f"/post/{each}" for each in found]
                    rows = "".join(f'<li><a href="{each}">post</a></li>' for each in [*posts, *site.links])
                    body, mime = f"<html><body><ul>{rows}</ul></body></html>".encode(), "text/html"
                elif self.path.startswith("/post/"):
                    if self.path[6:] not in site.halves:
                        site.hold.wait(30)
                    body, mime = site.bodies.get(self.path[6:], b"nothing of note: " + self.path.encode()), "text/plain"
                else:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", mime)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    if self.path[6:] in site.halves:
                        self.wfile.write(body[: len(body) // 2])
                        site.hold.wait(30)
                        body = body[len(body) // 2 :]
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
        store = open_store(home, examiner)

        async def once(pages: int = 1, meanwhile=None, settings=None, complete: bool = False, item: str = ""):
            text = SOURCE.format(url=site.url, pages=pages)
            if complete:
                text = text.replace("?page={page}", "?page=1").replace(f"  pages: {{max: {pages}}}", "  complete: true")
            (home.sources_dir / "site.yaml").write_text(text + item)
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


@pytest.fixture
def full_folder():
    """Replaces a folder by a file system without a free inode, and gives the function that takes it away again."""
    mounted: list[Path] = []

    def fill(folder: Path) -> Callable[[], None]:
        # One inode is that of the folder itself.
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "full", folder], capture_output=True)
        if done.returncode:
            pytest.skip("only root may mount a file system")
        mounted.append(folder)
        return repair

    def repair() -> None:
        subprocess.run(["umount", mounted.pop()], check=True)

    yield fill
    if mounted:
        repair()
