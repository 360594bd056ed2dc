"""A home that an earlier version made opens, and what it knows is still known.

`tests/samples/homes/2026-11.zip` was written by the version of November 2026: a client with 30 invented canaries, an incident,
a baseline, a scanned sample kept as a release, and one crawled post; beside it the table and the feed that it was made from.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.command import must, tocsin, tocsin_json

pytestmark = pytest.mark.slow

HOMES = Path(__file__).parents[1] / "samples" / "homes"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site(tmp_path) -> Iterator[str]:
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=sorted(path.name for path in HOMES.glob("*.zip")))
def older(request, tmp_path, site) -> Path:
    with zipfile.ZipFile(HOMES / request.param) as archive:
        archive.extractall(tmp_path)
    home = tmp_path / "home"
    for path in [home, *home.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    (tmp_path / "feed.rss").rename(tmp_path / "site" / "feed.rss")
    source = home / "sources" / "board.yaml"
    source.write_text(source.read_text().replace("127.0.0.1:8765", site))
    return home


def test_what_an_older_home_knows_is_still_known(older):
    (client,) = tocsin_json(older, "canary", "list")["clients"]
    assert (client["id"], client["active"]) == ("practice-1", 30)
    assert {each["id"]: each["records"] for each in tocsin_json(older, "release", "list")["releases"]}["part-1"] == 19
    must(older, "evidence", "verify")
    assert {each["name"] for each in tocsin_json(older, "status")["sources"]} >= {"board"}


def test_a_sample_compares_with_an_older_home_as_it_did_when_it_was_made(older, tmp_path):
    (found,) = tocsin_json(older, "scan", tmp_path / "plant.csv")["inputs"]
    assert [(hit["client"], hit["canaries"], hit["records"]) for hit in found["hits"]] == [("practice-1", 30, 30)]
    # the sighted release of the earlier scan holds all thirty
    assert (found["lineage"]["verdict"], found["lineage"]["known"], found["lineage"]["new"]) == ("re-post", 30, 0)


def test_a_post_that_an_older_home_examined_is_not_new(older):
    before = len(tocsin_json(older, "alert", "list")["alerts"])
    done = tocsin(older, "crawl", "board")
    assert done.returncode == 0, done.stderr
    (crawl,) = tocsin_json(older, "crawl", "board")["crawls"]
    assert (crawl["state"], crawl["listed"], crawl["new"], crawl["changed"]) == ("done", 1, 0, 0)
    assert len(tocsin_json(older, "alert", "list")["alerts"]) == before
