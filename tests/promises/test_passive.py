"""P6: robots.txt is obeyed unless a reason is given, requests keep their distance, and the crawler says who it is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.command import must, tocsin

pytestmark = [pytest.mark.slow, pytest.mark.servers]

LISTING = "".join(f'<li><a href="/post/{number}">post {number}</a></li>' for number in range(4))
SOURCE = """\
name: site
platform: declared
url: {url}/
rate: {rate}
{robots}
list: {{as: html, each: "css:li", fields: {{title: "css:a", link: "css:a::attr(href)"}}}}
"""


class Site:
    """Forbids `/post/` in its robots.txt, and notes when each path was requested, and by whom."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, float, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append((self.path, time.monotonic(), self.headers.get("User-Agent", "")))
                body, mime = b"harmless words", "text/plain"
                if self.path == "/robots.txt":
                    body = b"User-agent: *\nDisallow: /post/\n"
                elif self.path == "/":
                    body, mime = f"<html><body><ul>{LISTING}</ul></body></html>".encode(), "text/html"
                self.send_response(200)
                self.send_header("Content-Type", mime)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def posts(self) -> list[float]:
        return [at for path, at, _ in self.requests if path.startswith("/post/")]


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.http.shutdown()
    made.http.server_close()


def crawled(tmp_path, site: Site, *, rate: str, robots: str) -> dict:
    home, file = tmp_path / "home", tmp_path / "site.yaml"
    must(None, "init", home)
    file.write_text(SOURCE.format(url=site.url, rate=rate, robots=robots))
    must(home, "source", "add", file)
    return json.loads(tocsin(home, "crawl", "site", "--json").stdout)["crawls"][0]


def test_paths_that_robots_txt_forbids_are_not_requested_and_the_posts_count_as_unexamined(tmp_path, site):
    result = crawled(tmp_path, site, rate="50/s", robots="")
    assert site.posts() == []
    assert (result["listed"], result["examined"], result["unexamined"]) == (4, 0, 4)


def test_with_a_reason_robots_txt_is_not_obeyed_and_requests_keep_the_rate_and_name_the_crawler(tmp_path, site):
    result = crawled(tmp_path, site, rate="2/s", robots='robots: {ignore: "the team\'s own test server"}')
    assert result["examined"] == 4
    times = sorted(site.posts())
    # half a second each; the site may see a request a little earlier or later than it was sent
    assert times[-1] - times[0] >= 3 * 0.5 * 0.8
    assert all("Tocsin" in agent for _, _, agent in site.requests)
