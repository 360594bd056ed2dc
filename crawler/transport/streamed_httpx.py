"""Streaming for Scrapy's handlers on httpx2: mix it in before the handler; connecting is left to that."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Any, NoReturn, Self

from scrapy import Request
from scrapy.core.downloader.handlers._base_streaming import BaseStreamingDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import Response

from crawler.transport.streamed_response import STREAM, STREAMED, StreamedResponse, settle


class HttpxBody:
    """The body of an answer whose context stays open until it is read or closed.

    httpx2 reads from the connection only what is asked for, so that nothing more is in flight than its one buffer.
    """

    def __init__(self, chunks: Any, context: AsyncExitStack) -> None:
        self._chunks, self._context = aiter(chunks), context
        self._error: BaseException | None = None

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> bytes:
        """The next bytes."""
        if self._error is not None:
            raise self._error
        try:
            while not (chunk := bytes(await anext(self._chunks))):
                continue
        except StopAsyncIteration:
            await self._context.aclose()
            raise
        except asyncio.CancelledError:
            # a generator that was cancelled ends quietly: that must never look like the end of the body
            self._error = DownloadTimeoutError("the wait for the next bytes was given up")
            raise
        except Exception:  # noqa: BLE001 - raised again under Scrapy's name for it
            await self._fail()
        return chunk

    async def _fail(self) -> NoReturn:
        """Raise the error that is being handled as the handler's own context would have named it."""
        error = sys.exc_info()
        try:
            await self._context.__aexit__(*error)
        except Exception as named:
            self._error = named
            raise
        raise self._named(error[1])

    def _named(self, error: BaseException | None) -> BaseException:
        self._error = error or DownloadTimeoutError("the connection ended")
        return self._error

    async def close(self) -> None:
        """Give the connection up."""
        self._error = self._error or DownloadTimeoutError("the body was closed")
        await self._context.aclose()


class StreamingHttpx(BaseStreamingDownloadHandler[Any]):
    """Mixed in before `HttpxDownloadHandler` or one of its children; see `crawler.transport.streamed_response`."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._max_streamed = crawler.settings.getint("TOCSIN_MAX_BYTES")

    async def download_request(self, request: Request) -> Response:
        """The response, of a large body its beginning."""
        if STREAM not in request.meta:
            return await super().download_request(request)
        timeout = float(request.meta["download_timeout"])
        async with AsyncExitStack() as context:
            answer = await context.enter_async_context(self._make_request(request, timeout))
            headers = self._extract_headers(answer)
            base = self._build_base_response_args(answer, request, headers)
            if base["status"] not in STREAMED:
                return await self._read_response(answer, request)
            body = HttpxBody(self._iter_body_chunks(answer), context.pop_all())
        response = StreamedResponse(**base, rest=body)
        try:
            return await settle(response, request, max_bytes=self._max_streamed, timeout=timeout)
        except BaseException:
            await body.close()
            raise
