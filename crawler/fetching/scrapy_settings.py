"""Scrapy's settings for one crawl: politeness, limits, and nothing that reveals data or makes requests of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from data.settings.settings import CrawlSettings, TorSettings
from data.sources.definition import Definition, source_hosts

# Requests per second. Above this rate the pauses between requests are shorter than the clock can measure.
FULL_SPEED = 500.0
RETRIES = 2
ITEMS_AT_ONCE = 4
REDIRECTS = 5
MAX_PAUSE_SECONDS = 30.0
DNS_SECONDS = 20

# Errors after which a request over Tor is repeated: those of Scrapy's handlers for httpx2, and Tor's errors about a
# site that may come back.
RETRIED_OVER_TOR = [
    "scrapy.exceptions.DownloadConnectionRefusedError",
    "scrapy.exceptions.DownloadFailedError",
    "scrapy.exceptions.DownloadTimeoutError",
    "scrapy.exceptions.ResponseDataLossError",
    "builtins.OSError",
    "data.errors.TorFailed",
]
# Scrapy's own command line finds these two through scrapy.cfg.
SPIDER_LOADER_CLASS = "crawler.fetching.platform_loader.PlatformLoader"
SPIDER_MODULES = ["spiders"]
HANDLERS = {
    "direct": "crawler.transport.direct_handler.DirectDownloadHandler",
    "tor": "crawler.tor.tor_handler.TorDownloadHandler",
}
_STOCK = "scrapy.downloadermiddlewares"
_SPIDER_STOCK = "scrapy.spidermiddlewares"


def requests_per_second(definition: Definition, settings: CrawlSettings) -> float:
    """How many requests to one host a source allows: what its file says, at most what the home says."""
    return min(definition.rate or settings.rate, settings.rate)


def crawl_settings(definition: Definition, settings: CrawlSettings, *, shared: Collection[str] = ()) -> dict[str, Any]:
    """Scrapy's settings for the crawl of a source; JSON values only, because they are sent in the job.

    Args:
        definition: of the source. It may lower each limit of `settings`, and never raises one.
        settings: `crawl` of the home. For a source over Tor the settings of `over_tor` are added.
        shared: hosts that other sources declare as well: the runner says when a request to one of them may be made.
    """
    handler = HANDLERS[definition.via]
    rate = requests_per_second(definition, settings)
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
        "TOCSIN_SHARED": sorted(shared),
        "TOCSIN_TLS": {"verify": definition.tls.verify, "pins": list(definition.tls.pin)},
        "DOWNLOAD_HANDLERS": {"http": handler, "https": handler, "file": None, "data": None, "ftp": None, "s3": None},
        "REFERRER_POLICY": "same-origin",
        "REDIRECT_MAX_TIMES": REDIRECTS,
        # Scrapy imports even the components that are switched off: aiohttp, requests, a telnet server, which cost 10 MB
        # and 0.16 s of processor time in each crawl. So these lists replace its own. Components that are not listed
        # here are not part of a crawl (proxies from the environment; cookies, whose jar would request the public suffix
        # list; meta refreshes; a cache; a console), and a new version of Scrapy adds none.
        "DOWNLOADER_MIDDLEWARES_BASE": {},
        "DOWNLOADER_MIDDLEWARES": {
            **({"crawler.transport.browser.RenderedPages": 5} if definition.render else {}),
            "crawler.transport.middlewares.AllowListMiddleware": 10,
            "crawler.transport.robots.RobotsMiddleware": 100,
            f"{_STOCK}.downloadtimeout.DownloadTimeoutMiddleware": 350,
            f"{_STOCK}.defaultheaders.DefaultHeadersMiddleware": 400,
            f"{_STOCK}.useragent.UserAgentMiddleware": 500,
            "crawler.transport.middlewares.DelayedRetryMiddleware": 550,
            "crawler.transport.middlewares.ContentEncodingMiddleware": 590,
            f"{_STOCK}.redirect.RedirectMiddleware": 600,
            **({"crawler.transport.session_cookies.SessionCookies": 700} if definition.cookies else {}),
            **({"crawler.transport.middlewares.SharedHosts": 840} if shared else {}),
            "crawler.transport.middlewares.RequestCount": 850,
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
        # the bytes of an incomplete answer are examined, and the post stays due
        "DOWNLOAD_FAIL_ON_DATALOSS": False,
        "RETRY_TIMES": RETRIES,
        "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",
        "TOCSIN_PATIENCE": min(MAX_PAUSE_SECONDS, timeout.total_seconds()),
        # Scrapy starts this many tasks for every single answer; each post has an answer of its own
        "CONCURRENT_ITEMS": ITEMS_AT_ONCE,
        # --- what happens to answers ------------------------------------------------------------------------------
        "ITEM_PIPELINES": {"crawler.fetching.pipelines.Examine": 100, "crawler.fetching.pipelines.Commit": 200},
        "SPIDER_LOADER_CLASS": SPIDER_LOADER_CLASS,
        "SPIDER_MODULES": SPIDER_MODULES,
        # answers with any status are passed to the spider, which classifies them
        "SPIDER_MIDDLEWARES_BASE": {},
        "SPIDER_MIDDLEWARES": {
            f"{_SPIDER_STOCK}.start.StartSpiderMiddleware": 25,
            f"{_SPIDER_STOCK}.referer.RefererMiddleware": 700,
        },
        "EXTENSIONS_BASE": {},
        "EXTENSIONS": {},
        # --- Scrapy writes no logs itself -------------------------------------------------------------------------
        "LOG_ENABLED": False,
        "LOG_INSTALL_ROOT_HANDLER": False,
        "LOG_LEVEL": "WARNING",
        "STATS_DUMP": False,
    }


def over_tor(tor: TorSettings, *, user: str, secret: str) -> dict[str, Any]:
    """The settings in which a crawl over Tor differs: the same headers for all sources, and nothing about the operator.

    Args:
        tor: of the home.
        user: SOCKS user name that selects the circuits; another user name gets other circuits.
        secret: SOCKS password, so that no other program on the same Tor shares these circuits.
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
        # without a reactor there is no resolver that could be used by mistake
        "TWISTED_REACTOR_ENABLED": False,
        "RETRY_EXCEPTIONS": RETRIED_OVER_TOR,
    }
