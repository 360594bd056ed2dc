"""The road over Tor: Scrapy's handler on httpx2 behind the allow-list, with no other way out than Tor's SOCKS port."""

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

from crawler.tor.dial_socket import Dialler
from crawler.tor.socks import Identity, TorBackend
from crawler.transport.allow_list import RequestRefused, require_allowed
from crawler.transport.errors import trouble_of
from crawler.transport.streamed_httpx import StreamingHttpxMixin
from data.errors import ConfigError, TorDown


class TorDownloadHandler(StreamingHttpxMixin, HttpxDownloadHandler):
    """Every request of the process, whoever made it, passes here last; nothing in the process knows another way."""

    experimental = False

    def __init__(self, crawler: Crawler) -> None:
        settings = crawler.settings
        self._allowed = {(str(host), int(port)) for host, port in settings.getlist("TOCSIN_ALLOWED")}
        tor = settings.getdict("TOCSIN_TOR")
        self._spider = cast("Any", crawler.spider)
        self._retries = settings.getint("RETRY_TIMES")
        self._dialler = Dialler(self._spider.dial_socket)
        self._backend = TorBackend(
            self._dialler.connect,
            Identity(tor["user"], tor["secret"], renew_after=int(tor["renew_after"])),
            patience=float(tor["patience"]),
            stays_down=self._stays_down,
        )
        super().__init__(crawler)

    def _stays_down(self, error: TorDown) -> None:
        # no request of this crawl will be answered: those that wait stay due
        self._spider.stop(trouble_of(error))

    def _make_client(self, proxy_url: str | None = None) -> Any:
        if proxy_url:
            raise RequestRefused("a proxy is never used on the road over Tor")
        transport = httpx2.AsyncHTTPTransport(verify=self._ssl_context, trust_env=False, limits=self._limits)
        if not isinstance(transport._pool, httpcore2.AsyncConnectionPool):
            # another httpx2: what it connects with is not known, so that nothing may
            raise ConfigError(
                "this version of httpx2 keeps its connections elsewhere; nothing is crawled over Tor with it"
            )
        transport._pool = httpcore2.AsyncConnectionPool(
            ssl_context=self._ssl_context,
            max_connections=self._limits.max_connections,
            max_keepalive_connections=self._limits.max_keepalive_connections,
            keepalive_expiry=self._limits.keepalive_expiry,
            network_backend=self._backend,
        )
        client = httpx2.AsyncClient(
            # never kept: a site must not know a crawl again
            cookies=NullCookieJar(),
            transport=transport,
            trust_env=False,
        )
        for name in ("accept", "accept-encoding", "user-agent"):
            client.headers.pop(name, None)
        return client

    async def download_request(self, request: Request) -> Response:
        """The response; raises Refused without having asked anybody, not even Tor."""
        require_allowed(request.url, self._allowed, over_tor=True)
        if request.meta.get("proxy"):
            raise RequestRefused("a proxy is never used on the road over Tor")
        response = await super().download_request(request)
        if "dataloss" in response.flags and request.meta.get("retry_times", 0) < self._retries:
            # circuits break now and then; once more brings the whole
            raise ResponseDataLossError
        return response

    async def close(self) -> None:
        """Close all connections, and ask for no more."""
        await super().close()
        self._dialler.close()

    @staticmethod
    def _build_base_response_args(response: Any, request: Request, headers: Headers) -> Any:
        # where the site is, only Tor knows
        return {
            "status": response.status_code,
            "url": request.url,
            "headers": headers,
            "certificate": None,
            "ip_address": None,
            "protocol": response.http_version,
        }

    def _log_tls_info(self, response: Any, request: Request) -> None:
        """Nothing."""
