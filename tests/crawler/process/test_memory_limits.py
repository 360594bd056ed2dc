"""Memory limits of real processes: what would need more is reported, and the process serves the next sample."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crawler.process import memory_limits
from crawler.process.examiner_client import ExaminerClient, ExaminerProcess
from data.errors import ExamineError
from data.settings.home import Home
from tests.command import must, tocsin

MIB = 2**20
SOURCE = """\
name: {name}
platform: declared
url: {url}/{name}
timeout: 60s
list: {{as: html, each: "css:li", fields: {{title: "css:a", link: "css:a::attr(href)"}}}}
"""


def data_size(pid: int, of: str = "VmData") -> int:
    """Bytes that count for the limit of a process; with "RssAnon" only those of them that are in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{of}:")) * 1024


def rows(number: int):
    yield b"nom;prenom;date_naissance;telephone\n"
    for begin in range(0, number, 1000):
        yield b"".join(b"DUPONT%d;Jean;13/03/1962;06%08d\n" % (row, row) for row in range(begin, begin + 1000))


@pytest.fixture
def home(tmp_path):
    must(None, "init", tmp_path / "home")
    return tmp_path / "home"


def limited_examiner(home: Path, size: int) -> ExaminerProcess:
    (home / "tocsin.toml").write_text(f"[examine]\nexaminer_memory = {size}\n")
    return ExaminerProcess.start(Home(home, {}))


@pytest.mark.slow
def test_a_sample_that_needs_more_memory_than_the_examiner_may_take_is_reported_and_the_next_is_examined(home):
    with limited_examiner(home, 8 * 2**30) as examiner:
        assert "8192 MiB" in examiner.greeting.protection["examiner memory"]
        started, resident = data_size(examiner.process.pid), data_size(examiner.process.pid, "RssAnon")
    with limited_examiner(home, started + 64 * MIB) as examiner, contextlib.closing(examiner.attach()) as sock:
        client = ExaminerClient(sock)
        for _ in range(3):
            with pytest.raises(ExamineError, match="more memory than its limit") as caught:
                client.examine({"name": "large.csv", "exact": True}, rows(400_000))
            assert "examiner_memory" in caught.value.hint
            # what the allocator keeps for itself cannot become the mapping of a growing array
            assert data_size(examiner.process.pid, "RssAnon") < resident + 16 * MIB
            finding = client.examine({"name": "small.csv"}, rows(1000))
            assert (finding.rows, finding.complete) == (1000, True)
        assert examiner.alive


@pytest.fixture
def site():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if self.path == "/robots.txt" else 200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            if self.path != "/robots.txt":
                row = b'<li><a href="/post">post</a></li>'
                self.wfile.write(row * (1_500_000 if self.path == "/large" else 1))

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.servers
def test_a_crawl_that_needs_more_memory_than_it_may_take_fails_with_a_code_of_its_own(home, site):
    (home / "tocsin.toml").write_text("[crawl]\nmemory = '500 MiB'\n")
    for name in ("large", "small"):
        (home / "sources" / f"{name}.yaml").write_text(SOURCE.format(name=name, url=site))
    done = tocsin(home, "crawl", "large", "small", "--json")
    large, small = json.loads(done.stdout)["crawls"]
    assert (large["state"], large["code"]) == ("failed", "memory"), large
    assert "memory" in large["hint"]
    assert (small["state"], small["examined"]) == ("done", 1), small


def test_the_memory_that_there_is_bounds_every_limit():
    there = memory_limits.available_memory()
    assert 0 < there <= (memory_limits.cgroup_limit() or there)
    assert memory_limits.describe_cgroup()
