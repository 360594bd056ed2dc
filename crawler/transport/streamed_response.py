"""Answers whose body is handed on while it comes: what every download handler of ours gives, whatever carries it.

The contract between the roads (direct, Tor) and whoever reads a large body:

- A request that can take its body in pieces carries ``meta[STREAM]``: how many bytes of it are held before it is handed
  over. All other requests are answered as Scrapy answers them.
- For such a request a handler makes a `StreamedResponse` as soon as the headers of a 200 or 206 are there, with a `Body`
  as its `rest`, and returns ``await settle(response, request, …)``. A body that ends within ``meta[STREAM]`` bytes comes
  out of `settle` as Scrapy's plain response; of a larger one the first bytes are `body` and the others are `rest`.
  With ``meta[STREAM] = 0`` (a part that is asked for again) nothing is held and nothing is made plain.
- Bytes are those of the wire: `encodings` names what they are packed with, and the header that says so is gone, so that
  no middleware unpacks a part of them.
- A `Body` holds at most `IN_FLIGHT` bytes that nobody took; then it stops reading from its connection. It ends only
  where the answer ended whole; where the connection broke it raises one of `BROKEN`, and goes on raising.
- Whoever takes a `StreamedResponse` closes it.

`crawler.transport.resumed_download` reads such a body to its end over as many requests as that takes, each of them made through
Scrapy's engine: a resumed request passes allow-list, robots.txt, rate, retries and redirects like any other.
`crawler.transport.streamed_httpx` makes a streaming handler of any of Scrapy's handlers on httpx2.
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
"""The key of a request's `meta`."""
STREAMED = frozenset({200, 206})
"""Statuses whose bodies are handed on."""
IN_FLIGHT = 2**20
BROKEN = (DownloadFailedError, DownloadTimeoutError, ResponseDataLossError, OSError)


class Body(Protocol):
    """The bytes of an answer on their way."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Itself."""
        ...

    async def __anext__(self) -> bytes:
        """The next bytes, never none; raises one of `BROKEN` where the connection ended before the body."""
        ...

    async def close(self) -> None:
        """Give the connection up if the body has not ended; may be called again."""
        ...


class _Broken:
    """What is left of a body whose connection is gone."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        raise self._error

    async def close(self) -> None:
        """Nothing is open any more."""


class StreamedResponse(Response):
    """An answer of which `body` is the beginning.

    Attributes:
        rest: the bytes behind `body`. encodings: what the bytes are packed with, the outermost last.
    """

    attributes: tuple[str, ...] = (*Response.attributes, "rest", "encodings")

    def __init__(self, *args: Any, rest: Body, encodings: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rest = rest
        named = self.headers.getlist("Content-Encoding")
        self.encodings = encodings or tuple(
            word for line in named for word in line.decode("latin-1").lower().replace(" ", "").split(",") if word
        )
        self.headers.pop("Content-Encoding", None)

    async def close(self) -> None:
        """Let its connection go."""
        await self.rest.close()


async def settle(response: StreamedResponse, request: Request, *, max_bytes: int, timeout: float) -> Response:
    """The answer with its beginning held, or the plain response where that is all of it.

    Args:
        response: nothing of its body was taken, and `body` is empty.
        request: says in `meta[STREAM]` how many bytes are held.
        max_bytes: largest body that is read.
        timeout: seconds for the beginning.

    Raises:
        DownloadCancelledError: the body is larger than `max_bytes`, or says so.
        DownloadTimeoutError: the beginning did not come in time, and nothing announced a large body.
    """
    held = int(request.meta[STREAM])
    announced = announced_bytes(response.headers)
    if announced > max_bytes:
        await response.close()
        raise DownloadCancelledError(TOO_LARGE)
    if not held:
        return response
    head = bytearray()
    flags: list[str] = []
    rest: Body = response.rest
    try:
        async with asyncio.timeout(timeout):
            async for chunk in rest:
                head += chunk
                if len(head) > min(held, max_bytes):
                    break
            else:
                return _plain(response, bytes(head), flags)
    except (TimeoutError, *BROKEN) as error:
        await rest.close()
        late = isinstance(error, TimeoutError) and not isinstance(error, DownloadTimeoutError)
        cause = DownloadTimeoutError("no whole answer in time") if late else error
        if announced > held or (head and not announced and not late):
            # large, or perhaps: what came is a beginning that can be gone on from
            rest = _Broken(cause)
        elif isinstance(error, ResponseDataLossError):
            return _plain(response, bytes(head), ["dataloss"])
        else:
            raise cause from error
    if len(head) > max_bytes:
        await rest.close()
        raise DownloadCancelledError(TOO_LARGE)
    return response.replace(body=bytes(head), rest=rest)


def announced_bytes(headers: Headers) -> int:
    """The Content-Length of an answer, 0 where it names none."""
    text = (headers.get("Content-Length") or b"").strip()
    return int(text) if text.isdigit() and len(text) < 20 else 0


def _plain(response: StreamedResponse, body: bytes, flags: list[str]) -> Response:
    headers = Headers(response.headers)
    if response.encodings:
        headers["Content-Encoding"] = ",".join(response.encodings)
    kind = responsetypes.from_args(headers=headers, url=response.url, body=body)
    return kind(
        url=response.url,
        status=response.status,
        headers=headers,
        body=body,
        flags=flags,
        certificate=response.certificate,
        ip_address=response.ip_address,
        protocol=response.protocol,
    )
