"""robots.txt at a real server: rules that cannot be learned forbid everything, and say so with a code of their own."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from crawler.transport.robots import MAX_BYTES, parse_rules
from tests.command import must, tocsin

LISTING = b'<ul><li><a href="/post">post</a></li></ul>'
FORBIDS = b"User-agent: *\nDisallow: /\n"
ALLOWS = b"User-agent: *\nAllow: /\n"
FILLING = b"# nothing\n"
SOURCE = """\
name: {name}
platform: declared
url: {url}/
timeout: 1s
rate: 500/s
list: {{as: html, each: "css:li", fields: {{title: "css:a", link: "css:a::attr(href)"}}}}
"""

# name -> the code of the failed crawl, or '' where the site may be read
EXPECTED = {
    "absent": "",
    "not-for-us": "",
    "busy": "robots_unknown",
    "slower": "robots_unknown",
    "dead": "robots_unknown",
    "dripping": "robots_unknown",
    "cut": "robots_unknown",
    "damaged": "robots_unknown",
    "partial": "robots_unknown",
    "loop": "robots_unknown",
    "elsewhere": "robots_unknown",
    "five-redirects": "robots",
    "large-forbids": "robots",
    "large-allows": "",
    "endless-forbids": "robots",
    "compressed-forbids": "robots",
    "names": "robots",
}


class Site:
    """One server under many host names; the first label of the Host header says how robots.txt behaves."""

    def __init__(self) -> None:
        self.requested: Counter[str] = Counter()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = site.names[self.headers["Host"]]
                if "robots" in self.path:
                    try:
                        getattr(self, f"robots_{name.replace('-', '_')}")()
                    except ConnectionError:
                        self.close_connection = True
                    return
                site.requested[name] += 1
                self.answer(200, LISTING if self.path == "/" else b"harmless words", "text/html")

            def answer(self, status: int, body: bytes = b"", kind: str = "text/plain", **headers: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                for key, value in {"Content_Length": str(len(body)), **headers}.items():
                    self.send_header(key.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def robots_absent(self) -> None:
                self.answer(404, FORBIDS)

            def robots_not_for_us(self) -> None:
                self.answer(403, FORBIDS)

            def robots_busy(self) -> None:
                self.answer(503, ALLOWS)

            def robots_slower(self) -> None:
                self.answer(429, ALLOWS, Retry_After="3600")

            def robots_dead(self) -> None:
                site.ended.wait(30)

            def robots_dripping(self) -> None:
                self.answer(200, ALLOWS, Content_Length="1000")
                while not site.ended.wait(0.05):
                    self.wfile.write(b"#")

            def robots_cut(self) -> None:
                self.answer(200, ALLOWS, Content_Length=str(10 * MAX_BYTES))
                self.connection.shutdown(socket.SHUT_RDWR)

            def robots_damaged(self) -> None:
                self.answer(200, gzip.compress(ALLOWS, mtime=0)[:-9], Content_Encoding="gzip")

            def robots_partial(self) -> None:
                self.answer(206, ALLOWS[:5], Content_Range=f"bytes 0-4/{len(ALLOWS)}")

            def robots_loop(self) -> None:
                self.answer(302, Location=f"/robots.txt?{time.monotonic_ns()}")

            def robots_elsewhere(self) -> None:
                self.answer(301, Location="http://undeclared.test/robots.txt")

            def robots_five_redirects(self) -> None:
                step = int(self.path.partition("?")[2] or 0)
                if step == 5:
                    self.answer(200, FORBIDS)
                else:
                    self.answer(302, Location=f"/robots.txt?{step + 1}")

            def robots_large_forbids(self) -> None:
                self.answer(200, FORBIDS, Content_Length=str(2**50))
                while not site.ended.is_set():
                    self.wfile.write(FILLING * 1000)

            def robots_large_allows(self) -> None:
                self.answer(200, b"User-agent: *\n" + FILLING * (MAX_BYTES // len(FILLING)) + b"Disallow: /\n")

            def robots_endless_forbids(self) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                piece = FORBIDS + FILLING * 1000
                while not site.ended.is_set():
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

            def robots_compressed_forbids(self) -> None:
                self.answer(200, gzip.compress(FORBIDS + FILLING * 10_000_000, 1, mtime=0), Content_Encoding="gzip")

            def robots_names(self) -> None:
                names = b"".join(b"User-agent: bot%d\n" % number for number in range(12_000))
                rules = b"".join(b"Allow: /%d\n" % number for number in range(12_000))
                self.answer(200, names + b"User-agent: *\nDisallow: /\n" + rules)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A crawl closes connections whenever it has read enough."""

        self.ended = threading.Event()
        self.http = Server(("", 0), Handler)
        port = self.http.server_address[1]
        # every address of 127.0.0.0/8 is this machine, so each behaviour has a host of its own
        hosts = {name: f"127.0.0.{number}:{port}" for number, name in enumerate(EXPECTED, 11)}
        self.urls = {name: f"http://{host}" for name, host in hosts.items()}
        self.names = {host: name for name, host in hosts.items()}
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.servers
def test_a_site_is_read_only_if_its_rules_are_known_and_allow_it(tmp_path, site):
    home = tmp_path / "home"
    must(None, "init", home)
    (home / "tocsin.toml").write_text("[crawl]\nrate = 500\n")
    for name, url in site.urls.items():
        (home / "sources" / f"{name}.yaml").write_text(SOURCE.format(name=name, url=url))
    crawls = {each["source"]: each for each in json.loads(tocsin(home, "crawl", *EXPECTED, "--json").stdout)["crawls"]}
    assert {name: crawl["code"] for name, crawl in crawls.items()} == EXPECTED
    for name, code in EXPECTED.items():
        crawl, requested = crawls[name], site.requested[name]
        assert (crawl["state"], crawl["examined"], requested) == (("failed", 0, 0) if code else ("done", 1, 2)), name
        assert not code or ("robots.txt" in crawl["error"] and "ignore" in crawl["hint"]), name


def test_rules_for_other_crawlers_do_not_concern_us_and_ours_win_over_those_for_all():
    text = b"User-agent: *\nDisallow: /\n\nuser agent : Tocsin*\nUser-agent: Other\nAllow: /a\nDisallow: /\n"
    rules = parse_rules(text, "tocsin")
    assert rules.can_fetch("http://h.test/a", "tocsin")
    assert not rules.can_fetch("http://h.test/b", "tocsin")
    assert parse_rules(b"User-agent: other\nDisallow: /\n", "tocsin").can_fetch("http://h.test/b", "tocsin")


def test_a_line_that_is_cut_at_the_limit_is_no_rule():
    kept = b"User-agent: *\nDisallow: /secret\n"
    cut = kept + FILLING * ((MAX_BYTES - len(kept)) // len(FILLING)) + b"\nDisallow: /p"
    rules = parse_rules((cut + b"rivate\n" * 20)[:MAX_BYTES], "tocsin")
    assert not rules.can_fetch("http://h.test/secret", "tocsin")
    assert rules.can_fetch("http://h.test/post", "tocsin")
