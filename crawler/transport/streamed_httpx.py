"""Adds streaming to Scrapy's handlers on httpx2; the handler itself makes the connections."""

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

from crawler.transport.streamed_response import STREAM, STREAMED_STATUSES, StreamedResponse, buffer_beginning


class HttpxBody:
    """A response body; its httpx2 context stays open until the body is read to its end or closed.

    httpx2 reads from the connection only when asked to, so no more than its one buffer is held at any time.
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
            # A cancelled generator ends without an error, which must never look like the end of the body.
            self._error = DownloadTimeoutError("waiting for the next bytes was cancelled")
            raise
        except Exception:  # noqa: BLE001 - raised again as Scrapy's exception for it
            await self._fail()
        return chunk

    async def _fail(self) -> NoReturn:
        """Raise the error being handled as the exception into which the handler's own context translates it."""
        error = sys.exc_info()
        try:
            await self._context.__aexit__(*error)
        except Exception as translated:
            self._error = translated
            raise
        self._error = error[1] or DownloadTimeoutError("the connection ended")
        raise self._error

    async def close(self) -> None:
        """Close the connection."""
        self._error = self._error or DownloadTimeoutError("the body was closed")
        await self._context.aclose()


class StreamingHttpxMixin(BaseStreamingDownloadHandler[Any]):
    """To be inherited before `HttpxDownloadHandler` or a subclass; see `crawler.transport.streamed_response`."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._max_streamed = crawler.settings.getint("TOCSIN_MAX_BYTES")

    async def download_request(self, request: Request) -> Response:
        """The response; of a large body only its beginning has been read."""
        if STREAM not in request.meta:
            return await super().download_request(request)
        timeout = float(request.meta["download_timeout"])
        async with AsyncExitStack() as context:
            answer = await context.enter_async_context(self._make_request(request, timeout))
            headers = self._extract_headers(answer)
            base = self._build_base_response_args(answer, request, headers)
            if base["status"] not in STREAMED_STATUSES:
                return await self._read_response(answer, request)
            body = HttpxBody(self._iter_body_chunks(answer), context.pop_all())
        response = StreamedResponse(**base, rest=body)
        try:
            return await buffer_beginning(response, request, max_bytes=self._max_streamed, timeout=timeout)
        except BaseException:
            await body.close()
            raise
