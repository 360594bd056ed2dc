"""The commands and the daemon as an ordinary user: processes that cannot be dumped own none of their files in /proc."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numba
import pytest

from data.arrays import jit
from tests.command import TOCSIN, environment
from tests.ordinary_user import NOBODY, ROOT
from tests.servers.base import debian_program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start commands as another user"),
]
SOURCE = """\
name: site
platform: declared
url: {url}/
every: 1m
list: {{as: html, each: "css:li", fields: {{title: "css:a", link: "css:a::attr(href)"}}}}
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of the ordinary user, with the kernels that are compiled already; unlike pytest's own, he can enter it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        made = Path(name)
        (made / "scratch").mkdir()
        user = made / "user"
        user.mkdir()
        if jit.CACHED and (compiled := Path(numba.config.CACHE_DIR)).is_dir():
            shutil.copytree(compiled, user / "cache" / compiled.name)
        for each in (user, *user.rglob("*")):
            os.chown(each, NOBODY, NOBODY)
        made.chmod(0o755)
        yield made


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if self.path == "/robots.txt" else 200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b'<ul><li><a href="/post">post</a></li></ul>' if self.path == "/" else b"harmless words")

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def started(folder: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """A command of the ordinary user."""
    user = folder / "user"
    scratch = Path(tempfile.mkdtemp(dir=folder / "scratch"))
    command = [TOCSIN, "--home", str(user / "home"), *map(str, arguments)]
    return subprocess.Popen(
        [
            debian_program("unshare", "util-linux"),
            "--mount",
            sys.executable,
            "-m",
            "tests.ordinary_user",
            scratch,
            *command,
        ],
        cwd=ROOT,
        env=environment(HOME=str(user), NUMBA_CACHE_DIR=str(user / "cache")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], status: int = 0) -> str:
    out, err = process.communicate(timeout=600)
    assert process.returncode == status, out + err
    assert "Traceback" not in err, err
    return out


def until(process: subprocess.Popen[str], folder: Path, done) -> dict:
    """The output of `status --json` once it satisfies a condition, while a process runs."""
    while True:
        assert process.poll() is None, ended(process)
        looking = started(folder, "status", "--json")
        out, err = looking.communicate(timeout=60)
        assert out, err
        if done(status := json.loads(out)):
            return status
        time.sleep(0.5)


def test_an_ordinary_user_runs_every_kind_of_process(folder, site):
    home = folder / "user" / "home"
    subprocess_of_init = started(folder, "init", home)
    ended(subprocess_of_init)
    assert {each.stat().st_uid for each in home.rglob("*")} == {NOBODY}

    file = folder / "user" / "people.csv"
    file.write_text("nom;prenom;date_naissance\nDUPONT;Jean;13/03/1962\n")
    file.chmod(0o644)
    [scanned] = json.loads(ended(started(folder, "scan", "--json", file)))["inputs"]
    assert (scanned["rows"], scanned["complete"]) == (1, True)

    checks = {each["name"]: each for each in json.loads(ended(started(folder, "doctor", "--json")))["checks"]}
    for name in ("crawl files", "crawl network", "self-test", "reader system calls", "reader network"):
        assert checks[name]["state"] == "ok", checks[name]

    source = folder / "user" / "site.yaml"
    source.write_text(SOURCE.format(url=site))
    source.chmod(0o644)
    ended(started(folder, "source", "add", source))
    [crawled] = json.loads(ended(started(folder, "crawl", "site", "--json")))["crawls"]
    assert (crawled["state"], crawled["examined"]) == ("done", 1), crawled

    (home / "sources" / "again.yaml").write_text(SOURCE.format(url=site).replace("name: site", "name: again"))
    os.chown(home / "sources" / "again.yaml", NOBODY, NOBODY)
    daemon = started(folder, "daemon")
    try:

        def is_well(status: dict) -> bool:
            crawled = {each["name"]: each["last_success"] for each in status["sources"]}
            return status["selftest"] == "ok" and bool(crawled.get("again"))

        until(daemon, folder, is_well)
        daemon.send_signal(signal.SIGTERM)
        ended(daemon)
    finally:
        daemon.kill()
        daemon.communicate()
