"""Responses whose body is passed on while it arrives, as all of our download handlers return them.

The contract between the download handlers (direct, over Tor) and the code that reads a large body:

- A request whose sender can read a body in pieces carries ``meta[STREAM]``: the number of bytes that the handler
  buffers before it returns. The handler answers all other requests as Scrapy does.
- For such a request the handler makes a `StreamedResponse` with a `StreamedBody` as its `rest` as soon as the headers
  of a 200 or 206 are there, and returns ``await buffer_beginning(response, request, …)``. If the body ends within
  ``meta[STREAM]`` bytes, that is one of Scrapy's ordinary responses. Otherwise the first bytes are in `body` and the
  others come from `rest`. With ``meta[STREAM] = 0`` (a resumed request) nothing is buffered, and the response is always
  a `StreamedResponse`.
- The bytes are as sent by the server: `encodings` names their Content-Encoding, and the header itself is removed, so
  that no middleware decodes only a part of them.
- A `StreamedBody` buffers at most `MAX_BUFFERED` bytes; then it stops reading from its connection. It ends only if the
  response arrived completely. If the connection broke, it raises one of `CONNECTION_ERRORS`, also when asked again.
- Whoever receives a `StreamedResponse` must close it.

`crawler.transport.resumed_download` reads such a body to its end, with as many requests as that takes. Each of them
goes through Scrapy's engine: a resumed request is subject to allow-list, robots.txt, rate, retries and redirects like
any other. `crawler.transport.streamed_httpx` adds streaming to any of Scrapy's handlers on httpx2.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol, Self

from scrapy import Request
from scrapy.exceptions import (
    DownloadCancelledError,
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
)
from scrapy.http import Headers, Response
from scrapy.responsetypes import responsetypes

from crawler.transport.errors import TOO_LARGE

STREAM = "tocsin_stream"
"""Key of a request's `meta`; the value is the number of bytes to buffer before the response is returned."""
BEGINNING_ONLY = "tocsin_beginning_only"
"""Key of a request's `meta`: its sender closes the body after the beginning, so that `max_bytes` does not apply."""
STREAMED_STATUSES = frozenset({200, 206})
MAX_BUFFERED = 2**20
CONNECTION_ERRORS = (DownloadFailedError, DownloadTimeoutError, ResponseDataLossError, OSError)


class StreamedBody(Protocol):
    """The bytes of a response that is still arriving."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Itself."""
        ...

    async def __anext__(self) -> bytes:
        """The next bytes, at least one; raises one of `CONNECTION_ERRORS` if the connection ended before the body."""
        ...

    async def close(self) -> None:
        """Close the connection if the body has not ended; may be called more than once."""
        ...


class _BrokenBody:
    """A body whose connection broke: reading it raises that error."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        raise self._error

    async def close(self) -> None:
        """Does nothing: the connection is closed already."""


class StreamedResponse(Response):
    """A response of which `body` holds the beginning.

    Attributes:
        rest: the bytes that follow `body`.
        encodings: names of the content encodings of all bytes, in the order in which the server applied them.
    """

    attributes: tuple[str, ...] = (*Response.attributes, "rest", "encodings")

    def __init__(self, *args: Any, rest: StreamedBody, encodings: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rest = rest
        named = self.headers.getlist("Content-Encoding")
        self.encodings = encodings or tuple(
            word for line in named for word in line.decode("latin-1").lower().replace(" ", "").split(",") if word
        )
        self.headers.pop("Content-Encoding", None)

    async def close(self) -> None:
        """Close its connection."""
        await self.rest.close()


async def buffer_beginning(response: StreamedResponse, request: Request, *, max_bytes: int, timeout: float) -> Response:
    """The response with its first bytes in `body`, or an ordinary response if these bytes are the whole body.

    Args:
        response: nothing of its body was read yet, and `body` is empty.
        request: `meta[STREAM]` is the number of bytes to buffer.
        max_bytes: size of the largest body that is read.
        timeout: seconds within which the first bytes must arrive.

    Raises:
        DownloadCancelledError: the body is larger than `max_bytes`, or its Content-Length is.
        DownloadTimeoutError: the first bytes did not arrive in time, and no Content-Length announced a large body.
    """
    held = int(request.meta[STREAM])
    announced = announced_bytes(response.headers)
    if announced > max_bytes and not request.meta.get(BEGINNING_ONLY):
        await response.close()
        raise DownloadCancelledError(TOO_LARGE)
    if not held:
        return response
    head = bytearray()
    flags: list[str] = []
    rest: StreamedBody = response.rest
    try:
        async with asyncio.timeout(timeout):
            async for chunk in rest:
                head += chunk
                if len(head) > min(held, max_bytes):
                    break
            else:
                return _ordinary_response(response, bytes(head), flags)
    except (TimeoutError, *CONNECTION_ERRORS) as error:
        await rest.close()
        late = isinstance(error, TimeoutError) and not isinstance(error, DownloadTimeoutError)
        cause = DownloadTimeoutError("the response did not arrive in time") if late else error
        if announced > held or (head and not announced and not late):
            # The body is or may be large: the bytes that arrived are a beginning from which a download can resume.
            rest = _BrokenBody(cause)
        elif isinstance(error, ResponseDataLossError):
            return _ordinary_response(response, bytes(head), ["dataloss"])
        else:
            raise cause from error
    if len(head) > max_bytes:
        await rest.close()
        raise DownloadCancelledError(TOO_LARGE)
    return response.replace(body=bytes(head), rest=rest)


def announced_bytes(headers: Headers) -> int:
    """The Content-Length of a response, 0 if it has none."""
    text = (headers.get("Content-Length") or b"").strip()
    return int(text) if text.isdigit() and len(text) < 20 else 0


def _ordinary_response(response: StreamedResponse, body: bytes, flags: list[str]) -> Response:
    headers = response.headers
    if response.encodings:
        headers["Content-Encoding"] = ",".join(response.encodings)
    kind = responsetypes.from_args(headers=headers, url=response.url, body=body)
    ordinary = kind(
        url=response.url,
        status=response.status,
        body=body,
        flags=flags,
        certificate=response.certificate,
        ip_address=response.ip_address,
        protocol=response.protocol,
    )
    # handed over as they are: an argument would be normalised once more
    ordinary.headers = headers
    return ordinary
