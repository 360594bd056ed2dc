"""Scrapy's settings for one crawl: politeness, limits, and every leak of Scrapy closed."""

from __future__ import annotations

from typing import Any

from data.settings.settings import CrawlSettings, TorSettings
from data.sources.definition import Definition, source_hosts

# Above this rate the pauses between requests are shorter than the clock is exact.
FULL_SPEED = 500.0
RETRIES = 2
ITEMS_AT_ONCE = 4
REDIRECTS = 5
PATIENCE_SECONDS = 30.0
DNS_SECONDS = 20

# What Scrapy's handlers on httpx2 raise, and what Tor says of a site that may come back.
RETRIED_OVER_TOR = [
    "scrapy.exceptions.DownloadConnectionRefusedError",
    "scrapy.exceptions.DownloadFailedError",
    "scrapy.exceptions.DownloadTimeoutError",
    "scrapy.exceptions.ResponseDataLossError",
    "builtins.OSError",
    "data.errors.TorFailed",
]
# These two are also what scrapy.cfg shows to Scrapy's own command line.
SPIDER_LOADER_CLASS = "crawler.fetching.platform_loader.PlatformLoader"
SPIDER_MODULES = ["spiders"]
HANDLERS = {
    "direct": "crawler.transport.direct_handler.DirectDownloadHandler",
    "tor": "crawler.tor.tor_handler.TorDownloadHandler",
}
_STOCK = "scrapy.downloadermiddlewares"
_SPIDER_STOCK = "scrapy.spidermiddlewares"


def crawl_settings(definition: Definition, settings: CrawlSettings) -> dict[str, Any]:
    """The settings of a source's crawl, plain values that travel in the job.

    Args:
        definition: of the source.
        settings: `crawl` of the home; the source may ask for less of each, never for more. For a source over Tor
            `over_tor` comes on top.
    """
    handler = HANDLERS[definition.via]
    rate = min(definition.rate or settings.rate, settings.rate)
    concurrency = min(definition.concurrency or settings.concurrency, settings.concurrency)
    timeout = min(definition.timeout or settings.timeout, settings.timeout)
    max_bytes = min(definition.max_bytes or settings.max_bytes, settings.max_bytes)
    return {
        "BOT_NAME": "tocsin",
        "USER_AGENT": settings.user_agent,
        "ROBOTSTXT_OBEY": definition.robots.obey,
        "ROBOTSTXT_USER_AGENT": settings.user_agent.split("/")[0].split(" ")[0] or "tocsin",
        # --- where a request may go -----------------------------------------------------------------------------
        "TOCSIN_ALLOWED": sorted(source_hosts(definition)),
        "DOWNLOAD_HANDLERS": {"http": handler, "https": handler, "file": None, "data": None, "ftp": None, "s3": None},
        "REFERRER_POLICY": "same-origin",
        "REDIRECT_MAX_TIMES": REDIRECTS,
        # Scrapy imports what it is told to leave out: aiohttp, requests, a telnet server, 10 MB and 0.16 s of processor time
        # in each crawl. So our lists take the place of its own: what is not here is no part of a crawl (proxies from the
        # environment, cookies, whose jar would ask for the public suffix list, meta refreshes, a cache, a console), and a
        # new Scrapy adds nothing.
        "DOWNLOADER_MIDDLEWARES_BASE": {},
        "DOWNLOADER_MIDDLEWARES": {
            "crawler.transport.middlewares.AllowListMiddleware": 10,
            f"{_STOCK}.robotstxt.RobotsTxtMiddleware": 100,
            f"{_STOCK}.downloadtimeout.DownloadTimeoutMiddleware": 350,
            f"{_STOCK}.defaultheaders.DefaultHeadersMiddleware": 400,
            f"{_STOCK}.useragent.UserAgentMiddleware": 500,
            "crawler.transport.middlewares.DelayedRetryMiddleware": 550,
            f"{_STOCK}.httpcompression.HttpCompressionMiddleware": 590,
            f"{_STOCK}.redirect.RedirectMiddleware": 600,
            f"{_STOCK}.stats.DownloaderStats": 850,
        },
        # --- how much, how fast, how long -----------------------------------------------------------------------
        "CONCURRENT_REQUESTS": concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
        "DOWNLOAD_DELAY": 0 if rate >= FULL_SPEED else 1 / rate,
        "DOWNLOAD_DELAY_JITTER": 0,
        "DOWNLOAD_TIMEOUT": timeout.total_seconds(),
        "DNS_TIMEOUT": min(DNS_SECONDS, timeout.total_seconds()),
        "DOWNLOAD_MAXSIZE": min(max_bytes, settings.max_page),
        "TOCSIN_MAX_BYTES": max_bytes,
        "TOCSIN_STREAM_ABOVE": settings.stream_above,
        "TOCSIN_EARLY_ABOVE": settings.early_above,
        "DOWNLOAD_WARNSIZE": 0,
        # what came of a cut answer is examined, and the post stays due
        "DOWNLOAD_FAIL_ON_DATALOSS": False,
        "RETRY_TIMES": RETRIES,
        "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",
        "TOCSIN_PATIENCE": min(PATIENCE_SECONDS, timeout.total_seconds()),
        # Scrapy starts so many tasks for every single answer; a post has an answer of its own
        "CONCURRENT_ITEMS": ITEMS_AT_ONCE,
        # --- what becomes of it ---------------------------------------------------------------------------------
        "ITEM_PIPELINES": {"crawler.fetching.pipelines.Examine": 100, "crawler.fetching.pipelines.Commit": 200},
        "SPIDER_LOADER_CLASS": SPIDER_LOADER_CLASS,
        "SPIDER_MODULES": SPIDER_MODULES,
        # every status comes to the spider, which says what it means
        "SPIDER_MIDDLEWARES_BASE": {},
        "SPIDER_MIDDLEWARES": {
            f"{_SPIDER_STOCK}.start.StartSpiderMiddleware": 25,
            f"{_SPIDER_STOCK}.referer.RefererMiddleware": 700,
        },
        "EXTENSIONS_BASE": {},
        "EXTENSIONS": {"scrapy.extensions.corestats.CoreStats": 0},
        # --- nothing is told but by us --------------------------------------------------------------------------
        "LOG_ENABLED": False,
        "LOG_INSTALL_ROOT_HANDLER": False,
        "LOG_LEVEL": "WARNING",
        "STATS_DUMP": False,
    }


def over_tor(tor: TorSettings, *, user: str, secret: str) -> dict[str, Any]:
    """What a crawl over Tor does otherwise: the same face for all sources, and none of the operator in it.

    Args:
        tor: of the home.
        user: whose circuits the crawl uses; another user has others.
        secret: so that no other program on the same Tor shares them.
    """
    return {
        "USER_AGENT": tor.user_agent,
        "DEFAULT_REQUEST_HEADERS": dict(tor.headers),
        "REFERRER_POLICY": "no-referrer",
        "DOWNLOAD_DELAY_JITTER": tor.jitter,
        "TOCSIN_ONION": True,
        "TOCSIN_TOR": {
            "user": user,
            "secret": secret,
            "renew_after": tor.new_circuits_after,
            "patience": tor.patience.total_seconds(),
        },
        # no reactor, no resolver: what is not there cannot be used by mistake
        "TWISTED_REACTOR_ENABLED": False,
        "RETRY_EXCEPTIONS": RETRIED_OVER_TOR,
    }
