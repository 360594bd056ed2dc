"""The download handler for direct connections: Scrapy's HTTP/1.1 handler behind the allow-list, with streaming."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from typing import Any, Self, cast

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler, _ScrapyAgent
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadFailedError, ResponseDataLossError
from scrapy.http import Response
from scrapy.utils._download_handlers import wrap_twisted_exceptions
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet import error as twisted_errors
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss, _DataLoss
from zope.interface import implementer

from crawler.transport.allow_list import RequestRefused, host_and_port, require_allowed
from crawler.transport.dial_socket import (
    NOT_ALLOWED,
    PRIVATE_ADDRESS,
    RUNNER_ENDED,
    UNKNOWN_NAME,
    DialClient,
    DialFailed,
)
from crawler.transport.streamed_response import (
    MAX_BUFFERED,
    STREAM,
    STREAMED_STATUSES,
    StreamedResponse,
    buffer_beginning,
)
from crawler.transport.tls import TlsPolicy, TlsRules


class DirectDownloadHandler(HTTP11DownloadHandler):
    """The last step of every request of the process; a host that the source does not declare is not even looked up."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._allowed = {(str(host), int(port)) for host, port in crawler.settings.getlist("TOCSIN_ALLOWED")}
        self._max_streamed = crawler.settings.getint("TOCSIN_MAX_BYTES")
        self._dial_client = DialClient(cast("Any", crawler.spider).dial_socket)
        self._tls = TlsPolicy(TlsRules.of_setting(crawler.settings.getdict("TOCSIN_TLS")))

    async def download_request(self, request: Request) -> Response:
        """The response; raises RequestRefused before any host is contacted, CertificateRefused before anything is sent."""
        require_allowed(request.url, self._allowed)
        if request.meta.get("proxy"):
            raise RequestRefused("direct connections never use a proxy")
        make = _StreamingAgent if STREAM in request.meta else _DialledAgent
        agent = make(
            self._dial_client,
            contextFactory=self._tls,
            bindAddress=self._bind_address,
            pool=self._pool,
            maxsize=self._default_maxsize,
            fail_on_dataloss=self._fail_on_dataloss,
            crawler=self._crawler,
        )
        try:
            with wrap_twisted_exceptions():
                response = await maybe_deferred_to_future(agent.download_request(request))
        except DownloadFailedError as error:
            refusal = self._tls.refusal_of(host_and_port(request.url)[0]) if request.url.startswith("https:") else None
            raise refusal or error from error
        if not isinstance(response, StreamedResponse):
            return response
        timeout = float(request.meta["download_timeout"])
        return await buffer_beginning(response, request, max_bytes=self._max_streamed, timeout=timeout)

    async def close(self) -> None:
        """Close the connections that are kept, and request no further ones."""
        await super().close()
        self._dial_client.close()


@implementer(IStreamClientEndpoint)
class DialledEndpoint:
    """A connection to one host, which the runner makes and hands over; Twisted sees an ordinary TCP connection."""

    def __init__(self, reactor: Any, client: DialClient, host: str, port: int, seconds: float) -> None:
        self._reactor, self._client, self._seconds = reactor, client, seconds
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connect(self, protocol_factory: Any) -> Deferred[Any]:
        """As `twisted.internet.interfaces.IStreamClientEndpoint`: fires with the connected protocol."""
        return Deferred.fromFuture(asyncio.ensure_future(self._connect(protocol_factory)))

    async def _connect(self, protocol_factory: Any) -> Any:
        try:
            connected = await self._client.connect(self._target.encode("ascii"), seconds=self._seconds)
        except DialFailed as error:
            raise _as_twisted(error.code) from error
        adopted = _Adopted(protocol_factory)
        with connected:
            # Twisted works with a duplicate of this descriptor.
            self._reactor.adoptStreamConnection(connected.fileno(), connected.family, adopted)
        return adopted.protocol


class _Adopted:
    """A factory that remembers the one protocol it builds."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self.protocol: Any = None

    def buildProtocol(self, address: Any) -> Any:  # noqa: N802 - Twisted's name
        self.protocol = self._factory.buildProtocol(address)
        return self.protocol


def _as_twisted(code: int) -> Any:
    """The error that Twisted itself would raise, so that Scrapy treats it as usual."""
    if code == UNKNOWN_NAME:
        return twisted_errors.DNSLookupError("the host name is unknown")
    if code in (NOT_ALLOWED, PRIVATE_ADDRESS):
        private = "the host name leads to a private or loopback address"
        return RequestRefused(
            private if code == PRIVATE_ADDRESS else "the host is not declared by this source",
            hint="if that is intended, add the address itself to `hosts` in the source file",
        )
    if code == errno.ECONNREFUSED:
        return _error("ConnectionRefusedError", "the host refuses the connection")
    if code == errno.ETIMEDOUT:
        return _error("TimeoutError", "the host did not accept the connection in time")
    if code == RUNNER_ENDED:
        return _error("ConnectError", "the runner process, which makes the connections, has ended")
    return _error("ConnectError", f"no connection ({errno.errorcode.get(code, str(code))})")


def _error(name: str, message: str) -> Any:
    # Twisted's errors take their message as `string`, and are not typed.
    return getattr(twisted_errors, name)(string=message)


class _DialledEndpoints:
    """Endpoints of an agent: every connection is requested from the runner."""

    def __init__(self, client: DialClient, context_factory: Any, seconds: float) -> None:
        self._client, self._context_factory, self._seconds = client, context_factory, seconds

    def endpointForURI(self, uri: Any) -> Any:  # noqa: N802 - Twisted's name
        """The endpoint of an http or https address."""
        from twisted.internet import reactor

        host, port = host_and_port(uri.toBytes().decode("ascii"))
        endpoint = DialledEndpoint(reactor, self._client, host, port, self._seconds)
        if uri.scheme == b"https":
            # mypy does not know the interfaces that zope declares.
            plain = cast("IStreamClientEndpoint", endpoint)
            return wrapClientTLS(self._context_factory.creatorForNetloc(uri.host, uri.port), plain)
        return endpoint


class _DialledAgent(_ScrapyAgent):
    """Scrapy's agent, whose connections are made by the runner."""

    def __init__(self, client: DialClient, **options: Any) -> None:
        super().__init__(**options)
        self._client = client

    def _get_agent(self, request: Request, timeout: float) -> Agent:  # noqa: ARG002 - Scrapy's signature
        from twisted.internet import reactor

        endpoints = _DialledEndpoints(self._client, self._contextFactory, timeout)
        agent: Agent = Agent.usingEndpointFactory(  # type: ignore[no-untyped-call] # Twisted's
            reactor, endpoints, pool=self._pool
        )
        return agent


class _StreamingAgent(_DialledAgent):
    """Scrapy's agent, changed to return a response as soon as its headers are there, before its body has arrived."""

    def _cb_bodyready(self, txresponse: Any, request: Request) -> Any:
        if int(txresponse.code) not in STREAMED_STATUSES or (txresponse.length == 0 and request.meta[STREAM]):
            return super()._cb_bodyready(txresponse, request)
        body = TwistedBody(txresponse)
        if txresponse.length == 0:
            body.connectionLost(Failure(ResponseDone()))  # type: ignore[no-untyped-call] # Twisted's
        else:
            txresponse.deliverBody(body)
        return {"txresponse": txresponse, "rest": body}

    def _cb_bodydone(self, result: Any, url: str) -> Response:
        response = super()._cb_bodydone(result, url)
        if "rest" not in result:
            return response
        return StreamedResponse(
            response.url,
            response.status,
            response.headers,
            ip_address=getattr(result["txresponse"], "_scrapy_ip_address", None),
            certificate=getattr(result["txresponse"], "_scrapy_certificate", None),
            protocol=response.protocol,
            rest=result["rest"],
        )


class TwistedBody(Protocol):
    """A response body as Twisted delivers it; pauses the connection while more than `MAX_BUFFERED` bytes wait here."""

    def __init__(self, txresponse: Any) -> None:
        self._txresponse = txresponse
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = self._over = False
        self._error: BaseException | None = None
        self._data_arrived: asyncio.Future[None] | None = None

    # --- called by Twisted ---------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Keep the bytes that arrived, and pause the connection once enough of them wait."""
        if self._over:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > MAX_BUFFERED and not self._paused:
            self._paused = True
            self._transport().pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Remember how the body ended."""
        if self._over:
            return
        self._over = True
        why = reason.value
        # A response without any length ends where its connection ends.
        if not isinstance(why, ResponseDone | PotentialDataLoss):
            causes = why.reasons if isinstance(why, ResponseFailed) else []
            lost = any(isinstance(each.value, _DataLoss) for each in causes)
            self._error = ResponseDataLossError() if lost else DownloadFailedError("the connection broke")
        self._wake()

    # --- called by the reader ------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> bytes:
        """All bytes that wait here, as soon as there are any."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            self._data_arrived = asyncio.get_running_loop().create_future()
            await self._data_arrived
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused and not self._over:
            self._paused = False
            self._transport().resumeProducing()
        return data

    async def close(self) -> None:
        """Abort the connection, unless the body has ended."""
        self._chunks.clear()
        if not self._over:
            self._over = True
            self._error = DownloadFailedError("the body was closed")
            # As Scrapy does: after a partly read body the connection cannot be used again.
            producer = self._txresponse._transport._producer
            if producer is not None:
                producer.abortConnection()

    def _transport(self) -> Any:
        return self.transport

    def _wake(self) -> None:
        if self._data_arrived is not None and not self._data_arrived.done():
            self._data_arrived.set_result(None)
