"""A home folder whose sources are crawled over the private Tor network, with real processes, store and events."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from crawler.process.examiner_client import ExaminerProcess
from data.model import Event, EventKind
from data.settings.home import Home
from data.sources.source_files import load_source
from data.store.store import Store
from scheduler.crawls.crawl_tally import CrawlResult
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.run_crawl import run_crawl
from tests.inside import fine

SETTINGS = """\
[crawl]
rate = 1000
concurrency = {concurrency}
timeout = "{timeout}"
[daemon]
silent_after = 1
[tor]
jitter = 0
patience = "{patience}"
socks = "unix:{folder}/socks"
control = "unix:{folder}/control"
"""
DIRECTORY = "platform: open_directory\nurl: {url}\nvia: tor\nrobots: {{ignore: a test}}\n"

LISTING = """\
platform: declared
url: {url}
via: tor
robots: {{ignore: a test}}
list:
  as: html
  each: ["css:li"]
  fields: {{id: "css:a::attr(href)", title: "css:a::text", link: "css:a::attr(href)"}}
"""


def port_of(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])


class Watch:
    """One home with its examiner and store."""

    def __init__(self, path: Path, examiner: ExaminerProcess) -> None:
        self.home = Home(path, {})
        self.examiner = examiner
        self.store = Store.open(self.home.db_path, seal_key=examiner.greeting.post_key)

    def configure(
        self, folder: Path, *, concurrency: int = 16, timeout: str = "30s", patience: str = "60s", extra: str = ""
    ) -> None:
        """Write the settings: crawls use the Tor whose sockets are in `folder`."""
        text = SETTINGS.format(concurrency=concurrency, timeout=timeout, patience=patience, folder=folder)
        self.home.config_path.write_text(text + extra)

    def source(self, name: str, text: str = DIRECTORY, **values: str) -> None:
        """Write or overwrite a source file."""
        self.home.sources_dir.mkdir(exist_ok=True)
        (self.home.sources_dir / f"{name}.yaml").write_text(f"name: {name}\n" + text.format(**values))

    def crawl(self, *names: str) -> list[CrawlResult]:
        """Crawl sources, all at the same time."""
        return asyncio.run(self.crawl_now(*names))

    def crawl_with_retries(self, *names: str, times: int = 4) -> list[CrawlResult]:
        """Crawl sources, each up to `times` times until it succeeds: a small network sometimes builds no circuit."""
        results = {result.source: result for result in self.crawl(*names)}
        for _ in range(times - 1):
            if failed := [name for name in names if results[name].state != "done"]:
                results |= {result.source: result for result in self.crawl(*failed)}
        return [results[name] for name in names]

    async def crawl_now(self, *names: str) -> list[CrawlResult]:
        definitions = [complete_definition(load_source(self.home.sources_dir / f"{name}.yaml")) for name in names]
        settings = self.home.settings()
        crawls = (
            run_crawl(self.home, self.store, each, self.examiner, owner=owner_name(), settings=settings)
            for each in definitions
        )
        return list(await asyncio.gather(*crawls))

    def events(self, source: str, kind: EventKind) -> list[Event]:
        """Events of a source, newest first."""
        return [event for event in self.store.events.latest(kind=kind.value) if event.source == source]

    def states(self, source: str) -> dict[EventKind, str]:
        """Kinds of the source's open states, each with the code or reason of its event."""
        found = {}
        for state in self.store.states.lasting(source):
            event, _ = self.store.events.find(state.event) or (None, None)
            assert event is not None
            found[state.kind] = str(event.facts.get("code") or event.facts.get("reason"))
        return found


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """A home with one client and planted canaries, and its running examiner."""
    path = folder / "home"
    fine(None, "init", path)
    fine(path, "canary", "generate", "--client", "p1", "--count", "3", "--out", folder / "plant.csv")
    with ExaminerProcess.start(Home(path, {})) as examiner:
        watch = Watch(path, examiner)
        try:
            yield watch
        finally:
            watch.store.close()


class Site:
    """A web server on loopback with configured answers; it records paths and headers of all requests."""

    def __init__(self, answers: Mapping[str, tuple[int, dict[str, str], bytes]] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.hold = threading.Event()
        self.hold.set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                site.hold.wait(30)
                status, headers, body = site.answers.get(self.path, (404, {}, b""))
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def posts(self, *links: str, head: str = "", headers: dict[str, str] | None = None) -> None:
        """Make `/` a listing of links, and add a page for each link that leads to the site itself."""
        rows = "".join(f'<li><a href="{link}">post</a></li>' for link in links)
        body = f"<html><head>{head}</head><body><ul>{rows}</ul></body></html>".encode()
        self.answers["/"] = (200, {"Content-Type": "text/html", **(headers or {})}, body)
        for link in links:
            if link.startswith("/"):
                self.answers.setdefault(link, (200, {"Content-Type": "text/plain"}, f"text of {link}".encode()))

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def stop(self) -> None:
        self.hold.set()
        self.http.shutdown()
        self.http.server_close()
