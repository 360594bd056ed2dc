"""P4: a host that no enabled source declares is never contacted, not by link, redirect, feed or robots.txt."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.command import must, tocsin

pytestmark = [pytest.mark.slow, pytest.mark.servers]


class Recorder:
    """A server that notes every connection made to it, whatever is sent."""

    def __init__(self, address: str, answers=None) -> None:
        self.connections = 0
        self.paths: list[str] = []
        self.answers = answers or {}
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                recorder.paths.append(self.path)
                answer = recorder.answers.get(self.path, (404, {}, b""))
                status, headers, body = answer(self.headers) if callable(answer) else answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def verify_request(self, request, client_address) -> bool:
                recorder.connections += 1
                return True

        self.http = Server((address, 0), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://{address}:{self.port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def forbidden():
    server = Recorder("127.0.0.2")
    yield server
    server.stop()


@pytest.fixture
def site():
    server = Recorder("127.0.0.1")
    yield server
    server.stop()


SOURCE = """\
name: site
platform: declared
url: {url}/
list:
  as: html
  each: ["css:li"]
  fields: {{id: "css:a::attr(href)", title: "css:a::text", link: "css:a::attr(href)"}}
  next: "css:a.next::attr(href)"
"""


def page(*links: str, more: str = "") -> tuple[int, dict[str, str], bytes]:
    rows = "".join(f'<li><a href="{link}">post</a></li>' for link in links)
    return 200, {"Content-Type": "text/html"}, f"<html><head>{more}</head><body><ul>{rows}</ul></body></html>".encode()


def crawl(home, tmp_path, site, **env):
    must(None, "init", home)
    file = tmp_path / "site.yaml"
    file.write_text(SOURCE.format(url=site.url))
    must(home, "source", "add", file)
    done = tocsin(home, "crawl", "site", "--json", **env)
    assert "Traceback" not in done.stderr
    return done, json.loads(done.stdout)["crawls"][0]


def test_a_redirect_to_another_address_makes_no_connection(tmp_path, site, forbidden):
    site.answers = {
        "/": page("/post/1", "/post/2"),
        "/post/1": (302, {"Location": f"{forbidden.url}/stolen"}, b""),
        "/post/2": (200, {"Content-Type": "text/plain"}, b"harmless"),
    }
    done, result = crawl(tmp_path / "home", tmp_path, site)
    assert "/post/1" in site.paths
    assert "/post/2" in site.paths
    assert forbidden.connections == 0
    assert result["refused"] == 1
    assert result["examined"] == 1
    assert done.returncode == 2, "a post that could not be examined must not look like nothing found"


def test_a_link_to_an_undeclared_host_makes_no_connection(tmp_path, site, forbidden):
    site.answers = {"/": page(f"{forbidden.url}/post", "/post/1"), "/post/1": (200, {}, b"harmless")}
    _, result = crawl(tmp_path / "home", tmp_path, site)
    assert forbidden.connections == 0
    assert result["refused"] == 1


def test_a_base_tag_and_a_next_link_make_no_connection_elsewhere(tmp_path, site, forbidden):
    more = f'<base href="{forbidden.url}/"><a class="next" href="{forbidden.url}/2">next</a>'
    site.answers = {"/": page("post/1", more=more)}
    _, result = crawl(tmp_path / "home", tmp_path, site)
    assert forbidden.connections == 0
    assert result["refused"] == 2


def test_robots_txt_makes_no_connection_elsewhere_and_unknown_rules_forbid_the_source(tmp_path, site, forbidden):
    site.answers = {
        "/robots.txt": (301, {"Location": f"{forbidden.url}/robots.txt"}, b""),
        "/": page("post/1"),
    }
    done, result = crawl(tmp_path / "home", tmp_path, site)
    assert (forbidden.connections, result["refused"]) == (0, 1)
    assert (done.returncode, result["state"], result["code"]) == (2, "failed", "robots_unknown")
    assert "/" not in site.paths


@pytest.mark.parametrize("scheme", ["file:///etc/hostname", "ftp://127.0.0.2/x", "data:text/plain,x", "s3://b/k"])
def test_other_schemes_are_never_followed(tmp_path, site, forbidden, scheme):
    site.answers = {"/": page(scheme, "/post/1"), "/post/1": (200, {}, b"harmless")}
    _, result = crawl(tmp_path / "home", tmp_path, site)
    assert result["examined"] == 1
    assert result["refused"] == 1


def test_proxy_variables_are_ignored(tmp_path, site, forbidden):
    site.answers = {"/": page("/post/1"), "/post/1": (200, {}, b"harmless")}
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    _, result = crawl(tmp_path / "home", tmp_path, site, **dict.fromkeys(names, forbidden.url))
    assert result["examined"] == 1
    assert forbidden.connections == 0


def test_the_same_harness_sees_a_declared_second_host(tmp_path, site, forbidden):
    """The positive control: were it contacted, the recorder would count it."""
    forbidden.answers = {"/post": (200, {}, b"harmless")}
    site.answers = {"/": page(f"{forbidden.url}/post")}
    home = tmp_path / "home"
    must(None, "init", home)
    file = tmp_path / "site.yaml"
    file.write_text(SOURCE.format(url=site.url) + f"hosts: ['{forbidden.url}']\n")
    must(home, "source", "add", file)
    assert json.loads(tocsin(home, "crawl", "site", "--json").stdout)["crawls"][0]["refused"] == 0
    assert forbidden.connections > 0


def test_a_source_that_asks_for_tor_is_not_crawled_directly(tmp_path, site):
    home = tmp_path / "home"
    must(None, "init", home)
    file = tmp_path / "site.yaml"
    file.write_text(SOURCE.format(url=site.url) + "via: tor\n")
    must(home, "source", "add", file)
    done = tocsin(home, "crawl", "site")
    assert done.returncode == 2
    assert "Tor" in done.stdout + done.stderr
    assert site.connections == 0


PARSER = """
import os, pathlib
from crawler.pages.extract import Listing
from data.model import Post

def read(definition, body, url, content_type, page_no):
    paths = [pathlib.Path({key!r}), pathlib.Path(f"/proc/{{os.getppid()}}/environ"), pathlib.Path("/proc/self/environ")]
    seen = []
    for path in paths:
        try:
            if {secret!r} in path.read_text():
                seen.append(path)
        except OSError:
            pass
    return Listing(posts=tuple(Post(definition.name, str(n), f"{{url}}post/{{n}}") for n in range(len(seen) + 1)), rows=len(seen) + 1)
"""


def test_a_platform_s_code_cannot_read_the_match_key(tmp_path, site):
    home = tmp_path / "home"
    must(None, "init", home)
    secret = (home / "keys" / "match.key").read_text().split()[-1]
    parsers = tmp_path / "parsers"
    parsers.mkdir()
    (parsers / "curious.py").write_text(PARSER.format(key=str(home / "keys" / "match.key"), secret=secret))
    file = tmp_path / "site.yaml"
    file.write_text(f"name: site\nplatform: declared\nurl: {site.url}/\nparser: curious:read\n")
    must(home, "source", "add", file, PYTHONPATH=str(parsers))
    site.answers = {"/": page(), "/post/0": (200, {}, b"harmless")}
    environment = {"PYTHONPATH": str(parsers), "TOCSIN_MATCH_KEY": (home / "keys" / "match.key").read_text()}
    result = json.loads(tocsin(home, "crawl", "site", "--json", **environment).stdout)["crawls"][0]
    assert (result["state"], result["listed"]) == ("done", 1), "one post for the page, one more for each way to the key"
