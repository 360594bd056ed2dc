"""The download handler for sources over Tor: Scrapy's httpx2 handler behind the allow-list, through SOCKS only."""

from __future__ import annotations

from typing import Any, cast

import httpcore2
import httpx2
from scrapy import Request
from scrapy.core.downloader.handlers._httpx import HttpxDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import ResponseDataLossError
from scrapy.http import Headers, Response
from scrapy.utils._download_handlers import NullCookieJar

from crawler.tor.socks import CircuitIdentity, TorBackend
from crawler.tor.tor_dial import TorDialClient
from crawler.transport.allow_list import RequestRefused, require_allowed
from crawler.transport.errors import trouble_of
from crawler.transport.streamed_httpx import StreamingHttpxMixin
from crawler.transport.tls import TlsRules, ssl_context
from data.errors import ConfigError, TorDown


class TorDownloadHandler(StreamingHttpxMixin, HttpxDownloadHandler):
    """The last step of every request of the process; its connections go through Tor's SOCKS port only."""

    experimental = False

    def __init__(self, crawler: Crawler) -> None:
        settings = crawler.settings
        self._allowed = {(str(host), int(port)) for host, port in settings.getlist("TOCSIN_ALLOWED")}
        tor = settings.getdict("TOCSIN_TOR")
        self._spider = cast("Any", crawler.spider)
        self._retries = settings.getint("RETRY_TIMES")
        self._dial_client = TorDialClient(self._spider.dial_socket)
        self._backend = TorBackend(
            self._dial_client.connect,
            CircuitIdentity(tor["user"], tor["secret"], renew_after=int(tor["renew_after"])),
            max_wait=float(tor["patience"]),
            on_give_up=self._stop_crawl,
        )
        self._tls_context = ssl_context(TlsRules.of_setting(settings.getdict("TOCSIN_TLS")))
        super().__init__(crawler)

    def _stop_crawl(self, error: TorDown) -> None:
        # No further request of this crawl can succeed: posts that were not read stay due.
        self._spider.stop(trouble_of(error))

    def _make_client(self, proxy_url: str | None = None) -> Any:
        if proxy_url:
            raise RequestRefused("connections over Tor never use another proxy")
        transport = httpx2.AsyncHTTPTransport(verify=self._tls_context, trust_env=False, limits=self._limits)
        if not isinstance(transport._pool, httpcore2.AsyncConnectionPool):
            # Another version of httpx2: since we do not know how it connects, it may not connect at all.
            raise ConfigError(
                "this version of httpx2 is not supported: crawls over Tor cannot replace its connections",
                hint="install the version that Tocsin requires",
            )
        transport._pool = httpcore2.AsyncConnectionPool(
            ssl_context=self._tls_context,
            max_connections=self._limits.max_connections,
            max_keepalive_connections=self._limits.max_keepalive_connections,
            keepalive_expiry=self._limits.keepalive_expiry,
            network_backend=self._backend,
        )
        client = httpx2.AsyncClient(
            # Cookies are never kept: a site must not recognise a crawl.
            cookies=NullCookieJar(),
            transport=transport,
            trust_env=False,
        )
        for name in ("accept", "accept-encoding", "user-agent"):
            client.headers.pop(name, None)
        return client

    async def download_request(self, request: Request) -> Response:
        """The response; raises RequestRefused before anything is sent, even to Tor."""
        require_allowed(request.url, self._allowed, over_tor=True)
        if request.meta.get("proxy"):
            raise RequestRefused("connections over Tor never use another proxy")
        response = await super().download_request(request)
        if "dataloss" in response.flags and request.meta.get("retry_times", 0) < self._retries:
            # Circuits break now and then: a retry usually brings the whole body.
            raise ResponseDataLossError
        return response

    async def close(self) -> None:
        """Close all connections and request no more."""
        await super().close()
        self._dial_client.close()

    @staticmethod
    def _build_base_response_args(response: Any, request: Request, headers: Headers) -> Any:
        # Only Tor knows the IP address of the site, and TLS certificates are not recorded.
        return {
            "status": response.status_code,
            "url": request.url,
            "headers": headers,
            "certificate": None,
            "ip_address": None,
            "protocol": response.http_version,
        }

    def _log_tls_info(self, response: Any, request: Request) -> None:
        """Does nothing: TLS details are not logged."""
