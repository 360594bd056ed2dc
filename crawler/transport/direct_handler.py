"""The download handler for direct connections: Scrapy's HTTP/1.1 handler behind the allow-list, with streaming."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Self

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler, _ScrapyAgent
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadFailedError, ResponseDataLossError
from scrapy.http import Response
from scrapy.utils._download_handlers import wrap_twisted_exceptions
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss, _DataLoss

from crawler.transport.allow_list import RequestRefused, require_allowed
from crawler.transport.streamed_response import (
    MAX_BUFFERED,
    STREAM,
    STREAMED_STATUSES,
    StreamedResponse,
    buffer_beginning,
)


class DirectDownloadHandler(HTTP11DownloadHandler):
    """The last step of every request of the process; a host that the source does not declare is not even looked up."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._allowed = {(str(host), int(port)) for host, port in crawler.settings.getlist("TOCSIN_ALLOWED")}
        self._max_streamed = crawler.settings.getint("TOCSIN_MAX_BYTES")

    async def download_request(self, request: Request) -> Response:
        """The response; raises RequestRefused before any host is contacted."""
        require_allowed(request.url, self._allowed)
        if request.meta.get("proxy"):
            raise RequestRefused("direct connections never use a proxy")
        if STREAM not in request.meta:
            return await super().download_request(request)
        agent = _StreamingAgent(
            contextFactory=self._contextFactory,
            bindAddress=self._bind_address,
            pool=self._pool,
            maxsize=self._default_maxsize,
            fail_on_dataloss=self._fail_on_dataloss,
            crawler=self._crawler,
        )
        with wrap_twisted_exceptions():
            response = await maybe_deferred_to_future(agent.download_request(request))
        if not isinstance(response, StreamedResponse):
            return response
        timeout = float(request.meta["download_timeout"])
        return await buffer_beginning(response, request, max_bytes=self._max_streamed, timeout=timeout)


class _StreamingAgent(_ScrapyAgent):
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
