"""Throughput over a private Tor network: our handler against plain httpx on the same SOCKS port, at 1, 8 and 32 at once.

Both fetch the same tiny pages of the same onion service over circuits that are already there; both keep connections.
`--pages=N` pages for each measurement, `--rounds=N` measurements of each, taken in turn; medians are compared.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

CONCURRENCY = (1, 8, 32)
BAR = 0.9


def handler(socks: str, host: str, at_once: int) -> tuple[Any, Any]:
    """The download handler as a crawl has it, and the runner's end of its dial socket."""
    from scrapy.settings import Settings as ScrapySettings
    from scrapy.utils.test import get_crawler

    from crawler.fetching.scrapy_settings import crawl_settings, over_tor
    from crawler.tor.tor_dial import dial_tor
    from crawler.tor.tor_handler import TorDownloadHandler
    from crawler.transport.dial_socket import DialServer, dial_socket_pair
    from data.settings.endpoint import Endpoint
    from data.settings.settings import CrawlSettings, TorSettings
    from data.sources.definition import Definition

    definition = Definition(name="bench", platform="declared", url=f"http://{host}/", via="tor")
    settings = crawl_settings(definition, CrawlSettings(concurrency=at_once, rate=100_000))
    settings |= over_tor(TorSettings(), user=f"bench-{at_once}", secret="x")
    settings = {
        name: value for name, value in settings.items() if name in ScrapySettings() or name.startswith("TOCSIN_")
    }
    crawler = get_crawler(settings_dict={**settings, "CONCURRENT_REQUESTS": at_once})
    ours, theirs = dial_socket_pair()
    crawler.spider = SimpleNamespace(dial_socket=theirs, stop=print)  # type: ignore[assignment]
    server = DialServer(ours, dial_tor(Endpoint.parse(socks)))
    return TorDownloadHandler(crawler), server


async def ours(fetcher: Any, url: str, pages: int, at_once: int) -> float:
    """Pages a second through the handler."""
    from scrapy import Request

    async def fetch(number: int) -> None:
        response = await fetcher.download_request(Request(f"{url}/{number}.txt", meta={"download_timeout": 60}))
        if response.status != 200:
            raise RuntimeError(f"status {response.status}")

    return await timed(fetch, pages, at_once)


async def plain(client: httpx.AsyncClient, url: str, pages: int, at_once: int) -> float:
    """Pages a second through httpx."""

    async def fetch(number: int) -> None:
        response = await client.get(f"{url}/{number}.txt")
        response.raise_for_status()

    return await timed(fetch, pages, at_once)


async def timed(fetch: Any, pages: int, at_once: int) -> float:
    numbers = iter(range(pages))

    async def worker() -> None:
        for number in numbers:
            await fetch(number)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return pages / (time.perf_counter() - began)


async def measure(network: Any, url: str, pages: int, rounds: int) -> list[dict[str, float]]:
    host, rows = url.split("/")[2], []
    for at_once in CONCURRENCY:
        fetcher, server = handler(f"127.0.0.1:{network.socks_port}", host, at_once)
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        proxy = f"socks5://plain-{at_once}:x@127.0.0.1:{network.socks_port}"
        async with httpx.AsyncClient(proxy=proxy, trust_env=False, limits=limits, timeout=60) as client:
            # circuits and connections first: they are Tor's work, and the same for both
            await ours(fetcher, url, 2 * at_once, at_once)
            await plain(client, url, 2 * at_once, at_once)
            found: dict[str, list[float]] = {"ours": [], "httpx": []}
            for _ in range(rounds):
                found["httpx"].append(await plain(client, url, pages, at_once))
                found["ours"].append(await ours(fetcher, url, pages, at_once))
        await fetcher.close()
        server.close()
        mine, theirs_ = (statistics.median(found[name]) for name in ("ours", "httpx"))
        print(f"{at_once} at once: {mine:.0f} against {theirs_:.0f} pages/s", file=sys.stderr, flush=True)
        rows.append({"at_once": at_once, "ours": mine, "httpx": theirs_, "ratio": mine / theirs_})
    return rows


def main() -> None:
    """Print pages a second and their ratio."""
    from tests.servers.nginx import Nginx
    from tests.servers.tor_network import TorNetwork

    options = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    pages, rounds = int(options.get("pages", "400")), int(options.get("rounds", "5"))
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        (folder / "nginx").mkdir()
        (folder / "tor").mkdir()
        nginx = Nginx(folder / "nginx")
        network = TorNetwork(folder / "tor")
        try:
            posts = nginx.directory("pages")
            for number in range(pages):
                (posts / f"{number}.txt").write_text(f"page {number}")
            onion = network.publish(int(nginx.url.rpartition(":")[2]))
            rows = asyncio.run(measure(network, f"{onion.url}/html/pages", pages, rounds))
        finally:
            network.stop()
            nginx.stop()
    print(f"{'pages a second over Tor, at once':<36}{'httpx':>9}{'tocsin':>9}{'ratio':>8}")
    for row in rows:
        mark = "" if row["ratio"] >= BAR else f"  below {BAR}"
        print(f"{row['at_once']:<36}{row['httpx']:>9.0f}{row['ours']:>9.0f}{row['ratio']:>8.2f}{mark}")
    print(json.dumps({"pages": pages, "rounds": rounds, "rows": rows}))


if __name__ == "__main__":
    main()
