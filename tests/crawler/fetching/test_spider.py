"""An exception in a callback or errback of a spider makes its post unexamined and the crawl fail."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from pathlib import Path

import pytest

import spiders
from data.store.store import Store
from tests.command import must, tocsin
from tests.scheduler.crawls.conftest import SOURCE, Site

pytestmark = [pytest.mark.slow, pytest.mark.servers]

RAISING = """
import asyncio
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from crawler.fetching.spider import SourceSpider


class RaisingSpider(SourceSpider):
    name = "raising"
    defaults: ClassVar[Mapping[str, Any]] = {}

    async def parse_post(self, response, post, row, changed, **more):
        if "callback" in post.url:
            raise ValueError("content of " + post.title)
        async for item in super().parse_post(response, post, row, changed, **more):
            yield item

    async def post_failed(self, failure):
        raise ValueError("content of a post")
        yield

    async def closed(self, reason):
        await super().closed(reason)
        timers = [each for each in asyncio.get_running_loop()._scheduled if each._callback == self.stop]
        os.write(2, b"timers of the crawl: %d\\n" % sum(not each.cancelled() for each in timers))
"""


@pytest.fixture
def site():
    made = Site()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.mark.parametrize("bad", ["callback", "errback"])
def test_an_exception_in_a_callback_or_errback_leaves_its_post_due_and_fails_the_crawl(tmp_path, site, bad):
    shutil.copytree(Path(spiders.__file__).parent, tmp_path / "front" / "spiders")
    (tmp_path / "front" / "spiders" / "raising.py").write_text(RAISING)
    home, path = tmp_path / "home", str(tmp_path / "front")
    must(None, "init", home)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        # Nothing answers here once the socket is closed.
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    text = SOURCE.format(url=site.url, pages=1).replace("declared", "raising").replace("timeout: 20s", "timeout: 5s")
    (tmp_path / "site.yaml").write_text(f"{text}hosts: [{site.url}, {nobody}]\n")
    must(home, "source", "add", tmp_path / "site.yaml", PYTHONPATH=path)
    site.pages = {1: ["good", "callback"] if bad == "callback" else ["good"]}
    if bad == "errback":
        site.links = [f"{nobody}/post/errback"]
    done = tocsin(home, "crawl", "site", "--json", PYTHONPATH=path)
    result = json.loads(done.stdout)["crawls"][0]
    assert "timers of the crawl: 0" in done.stderr, "a process of several crawls would stop it again"
    assert (result["state"], result["examined"], result["unexamined"]) == ("failed", 1, 1)
    assert "ValueError" in result["error"]
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        assert len(store.posts.due("site")) == 1
        assert "content of" not in str(store.events.latest()) + str(store.crawls.latest())
        assert store.crawls.latest()[0]["counts"]["code"] == "crash"
