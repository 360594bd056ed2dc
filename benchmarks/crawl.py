"""A crawl of 1,000 small posts, all of it, against a bare Scrapy spider that downloads the same pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crawler.process.examiner_client import ExaminerProcess
from data.settings.home import Home

POSTS, SIZE = 1000, 2048
# Times a bare spider, more than which is a fault.
GOAL = 1.25

BARE = """
import json, sys, time
import scrapy
from scrapy.crawler import CrawlerProcess

class Bare(scrapy.Spider):
    name = "bare"
    async def start(self):
        yield scrapy.Request(sys.argv[1], self.parse)
    def parse(self, response):
        for row in json.loads(response.body):
            yield response.follow(row["name"], self.post)
    def post(self, response):
        yield {"size": len(response.body)}

process = CrawlerProcess({"CONCURRENT_REQUESTS": 16, "CONCURRENT_REQUESTS_PER_DOMAIN": 16, "DOWNLOAD_DELAY": 0,
                          "LOG_LEVEL": "ERROR", "ROBOTSTXT_OBEY": True, "TELNETCONSOLE_ENABLED": False})
crawler = process.create_crawler(Bare)
process.crawl(crawler)
process.start()
print(crawler.stats.get_value("item_scraped_count"))
"""


def _post(number: int) -> str:
    """2 kB: every other post is talk, the others are small tables."""
    if number % 2:
        return "".join(
            f"Message {line} of thread {number}: has anybody seen the new archive? Thanks.\n" for line in range(28)
        )
    rows = (f"DUPONT{row};Jean;{1 + row % 28:02}/03/19{50 + row % 50};06{number:04}{row:04}\n" for row in range(55))
    return "nom;prenom;date_naissance;telephone\n" + "".join(rows)


def _processor_seconds() -> float:
    """Of this process and all processes that it started, ended or not."""
    ticks, parents = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks[int(folder.name)] = sum(map(int, fields[11:15]))
                parents[int(folder.name)] = int(fields[1])
    ours = {os.getpid()}
    while found := {each for each, parent in parents.items() if parent in ours} - ours:
        ours |= found
    return sum(ticks.get(each, 0) for each in ours) / os.sysconf("SC_CLK_TCK")


class _Ours:
    """Whole crawls, each with a store of its own; the examiner is warm, as in the daemon."""

    def __init__(self, home_path: Path, url: str, examiner: ExaminerProcess) -> None:
        from data.sources.source_files import parse_source
        from scheduler.crawls.definitions import complete_definition

        self._home, self._examiner = Home(home_path, {}), examiner
        text = f"name: files\nplatform: open_directory\nurl: {url}\nrate: 100000\nconcurrency: 16\n"
        self._definition = complete_definition(parse_source(text, "files.yaml"))
        self._crawls = 0

    def crawl(self) -> None:
        """Raises RuntimeError unless every post was examined."""
        from data.store.store import Store
        from scheduler.crawls.lease_owner import owner_name
        from scheduler.crawls.run_crawl import run_crawl

        self._crawls += 1
        store = Store.open(self._home.path / f"bench-{self._crawls}.db", seal_key=self._examiner.greeting.post_key)
        result = asyncio.run(run_crawl(self._home, store, self._definition, self._examiner, owner=owner_name()))
        store.close()
        if result.examined != POSTS:
            raise RuntimeError(f"{result.examined} of {POSTS} posts were examined: {result.error}")


def _bare(script: Path, url: str) -> None:
    done = subprocess.run([sys.executable, str(script), url], check=True, capture_output=True, text=True)
    if done.stdout.strip() != str(POSTS):
        raise RuntimeError(f"the bare spider read {done.stdout.strip()} posts: {done.stderr[-300:]}")


def _measured(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor seconds."""
    began, used = time.perf_counter(), _processor_seconds()
    work()
    return time.perf_counter() - began, _processor_seconds() - used


def main(rounds: int = 5) -> None:
    """Print the medians and their ratio; both take turns, so that other work on the machine slows both down.

    Raises:
        SystemExit: a crawl takes more than `GOAL` times a bare spider.
    """
    from tests.servers.nginx import Nginx

    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        (folder / "nginx").mkdir()
        server = Nginx(folder / "nginx")
        try:
            posts = server.directory("posts")
            for number in range(POSTS):
                (posts / f"{number:04}.txt").write_text(_post(number))
            home = folder / "home"
            subprocess.run([sys.executable, "-m", "scheduler", "init", str(home)], check=True, capture_output=True)
            (home / "tocsin.toml").write_text("[crawl]\nrate = 100000\nconcurrency = 16\n")
            url = f"{server.url}/json/posts/"
            # a file: Scrapy looks at the source of callbacks
            script = folder / "bare.py"
            script.write_text(BARE)
            ours, bare = [], []
            with ExaminerProcess.start(Home(home, {})) as examiner:
                mine = _Ours(home, url, examiner)
                # the first crawl starts the fork server: the daemon pays that once
                mine.crawl()
                for _ in range(rounds):
                    ours.append(_measured(mine.crawl))
                    bare.append(_measured(partial(_bare, script, url)))
        finally:
            server.stop()
    ratio = sorted(mine[0] / theirs[0] for mine, theirs in zip(ours, bare, strict=True))
    print(f"{'crawl of 1,000 posts of 2 kB':<44}{'wall s':>9}{'CPU s':>9}{'ratio':>8}")
    for title, times, shown in (
        ("bare Scrapy spider (a process of its own)", bare, 1.0),
        ("tocsin: fetched, examined, committed", ours, ratio[rounds // 2]),
    ):
        wall, used = (sorted(column)[rounds // 2] for column in zip(*times, strict=True))
        print(f"{title:<44}{wall:>9.2f}{used:>9.2f}{shown:>8.2f}")
    print(json.dumps({"posts": POSTS, "rounds": rounds, "ratios": [round(each, 2) for each in ratio], "goal": GOAL}))
    if ratio[rounds // 2] > GOAL:
        sys.exit(1)


if __name__ == "__main__":
    main()
