"""A crawl of 1,000 small posts, all of it, against a bare Scrapy spider that downloads the same pages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POSTS, SIZE = 1000, 2048

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


def _ours(home_path: Path, url: str, rounds: int) -> list[float]:
    """Wall seconds of whole crawls, each with a store of its own; the examiner is warm, as in the daemon."""
    from crawler.process.examiner_client import ExaminerProcess
    from data.settings.home import Home
    from data.sources.source_files import parse_source
    from data.store.store import Store
    from scheduler.crawls.definitions import complete_definition
    from scheduler.crawls.lease_owner import owner_name
    from scheduler.crawls.run_crawl import run_crawl

    home = Home(home_path, {})
    definition = complete_definition(
        parse_source(
            f"name: files\nplatform: open_directory\nurl: {url}\nrate: 100000\nconcurrency: 16\n", "files.yaml"
        )
    )
    times = []
    with ExaminerProcess.start(home) as examiner:
        for number in range(rounds + 1):
            store = Store.open(home_path / f"bench-{number}.db", seal_key=examiner.greeting.post_key)
            began = time.perf_counter()
            result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
            took = time.perf_counter() - began
            store.close()
            if result.examined != POSTS:
                raise RuntimeError(f"{result.examined} of {POSTS} posts were examined: {result.error}")
            # the first crawl starts the fork server: the daemon pays that once
            if number:
                times.append(took)
    return times


def _bare(folder: Path, url: str, rounds: int) -> list[float]:
    times = []
    # a file: Scrapy looks at the source of callbacks
    script = folder / "bare.py"
    script.write_text(BARE)
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, str(script), url], check=True, capture_output=True, text=True)
        times.append(time.perf_counter() - began)
        if done.stdout.strip() != str(POSTS):
            raise RuntimeError(f"the bare spider read {done.stdout.strip()} posts: {done.stderr[-300:]}")
    return times


def main(rounds: int = 3) -> None:
    """Print both medians and their ratio."""
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
            ours, bare = sorted(_ours(home, url, rounds)), sorted(_bare(folder, url, rounds))
        finally:
            server.stop()
    middle = rounds // 2
    print(f"{'crawl of 1,000 posts of 2 kB':<44}{'wall s':>9}{'ratio':>8}")
    print(f"{'bare Scrapy spider (a process of its own)':<44}{bare[middle]:>9.2f}{1:>8.2f}")
    print(f"{'tocsin: fetched, examined, committed':<44}{ours[middle]:>9.2f}{ours[middle] / bare[middle]:>8.2f}")
    print(json.dumps({"posts": POSTS, "rounds": rounds}))


if __name__ == "__main__":
    main()
