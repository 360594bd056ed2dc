"""Pages that scripts fill: a browser without a network runs them, and this module requests what they ask for.

The browser (`crawler.process.browser_process`) is driven by the Chrome DevTools Protocol over one socket. Each of its
requests is paused, sent through the engine of the crawl, so that allow-list, Tor, robots.txt and rate apply, and answered
with what came back. It asks with GET alone, and for nothing that only people look at, such as pictures and fonts.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import HtmlResponse, Response

from crawler.transport.allow_list import RequestRefused
from crawler.transport.errors import BrowserFailed
from crawler.transport.streamed_response import StreamedResponse

RENDER, SCREENSHOT = "render", "screenshot"
"""Keys of Scrapy's meta: that the scripts of the answer are run, and the picture of the page that they made."""
UNRENDERED = "unrendered"
"""Flag of a response of which something that its scripts requested did not arrive."""
# The browser starts within so many seconds, or not at all: a busy machine takes ten.
START_SECONDS = 60.0
# A page is taken as it is once nothing was requested for so long; its timers may wait for ever.
QUIET_SECONDS = 0.75
# Requests of one page, and bytes of a message of the browser: a page as text, or a picture of it.
MAX_REQUESTS, MAX_MESSAGE = 100, 64 * 2**20
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
MAX_SCREENSHOT = 600_000
# Kinds of requests that change nothing in the text of a page.
_NEVER = frozenset(
    {"Image", "Media", "Font", "Ping", "CSPViolationReport", "Prefetch", "TextTrack", "Manifest", "Stylesheet", "Other"}
)
_HTML = ("text/html", "application/xhtml+xml")
# Headers that belong to the connection, or to the body before it was decoded.
_DROPPED = frozenset({b"content-encoding", b"content-length", b"transfer-encoding", b"connection", b"set-cookie"})

Send = Callable[[Request], Awaitable[Response]]


class _Page:
    """One page while it is being rendered.

    Attributes:
        session: of the browser. main: answer to the request for the page itself, until it was used.
        pending: requests under way. requests: made so far. failed: whether one of a declared host did not arrive.
        loaded: set once the page and what it names was loaded. stirred: set by each request.
    """

    def __init__(self, session: str, main: Response) -> None:
        self.session, self.main = session, [main]
        self.pending: set[asyncio.Task[None]] = set()
        self.requests, self.failed = 0, False
        self.loaded, self.stirred = asyncio.Event(), asyncio.Event()


class Browser:
    """The browser of one crawl, which renders one page at a time."""

    def __init__(self, sock: socket.socket, send: Send, *, agent: str, seconds: float, max_page: int) -> None:
        """For one crawl.

        Args:
            sock: to the browser.
            send: sends a request through the engine of the crawl.
            agent: name that pages see.
            seconds: that a page may take.
            max_page: bytes that it may have.
        """
        self._sock, self._send, self._agent = sock, send, agent
        self._seconds, self._max_page = seconds, max_page
        self._lock = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last, self._ended = 0, False
        self._page: _Page | None = None

    async def render(self, response: Response) -> Response:
        """The page that the scripts of an answer make, as an answer; its request's meta then has a picture of it.

        Raises:
            BrowserFailed: the browser does not work, or the page takes too long or is too large.
        """
        async with self._lock:
            try:
                await self._open()
                async with asyncio.timeout(self._seconds):
                    return await self._rendered(response)
            except TimeoutError as error:
                raise BrowserFailed("the scripts of a page took too long in the browser") from error
            except (OSError, KeyError) as error:
                raise BrowserFailed("the browser has ended or does not answer as expected") from error
            finally:
                self._page = None

    def close(self) -> None:
        """Let the browser go."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        else:
            self._sock.close()

    async def _open(self) -> None:
        if self._writer is not None:
            return
        self._sock.setblocking(False)
        reader, self._writer = await asyncio.open_unix_connection(sock=self._sock, limit=MAX_MESSAGE)
        self._reading = asyncio.ensure_future(self._read(reader))
        async with asyncio.timeout(START_SECONDS):
            await self._call("Browser.getVersion")

    async def _rendered(self, response: Response) -> Response:
        context = (await self._call("Target.createBrowserContext"))["browserContextId"]
        try:
            given = {"url": "about:blank", "browserContextId": context}
            target = (await self._call("Target.createTarget", **given))["targetId"]
            session = (await self._call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
            page = self._page = _Page(session, response)
            await self._call("Fetch.enable", session, patterns=[{"urlPattern": "*"}])
            await self._call("Page.enable", session)
            await self._call("Emulation.setUserAgentOverride", session, userAgent=self._agent)
            await self._call("Browser.setDownloadBehavior", behavior="deny", browserContextId=context)
            # its answer comes when the page has begun, which takes the answers to its requests
            started = asyncio.ensure_future(self._call("Page.navigate", session, url=response.url))
            try:
                await page.loaded.wait()
                await self._settle(page)
                text = await self._text(session)
                picture = await self._call("Page.captureScreenshot", session, format="jpeg", quality=40)
            finally:
                started.cancel()
                for task in page.pending:
                    task.cancel()
        finally:
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._call("Target.disposeBrowserContext", browserContextId=context)
            except TimeoutError:
                # a page that cannot be closed would go on beside the next one
                self._end()
        if response.request is not None and len(picture["data"]) <= MAX_SCREENSHOT:
            response.request.meta[SCREENSHOT] = picture["data"]
        headers = response.headers.copy()
        headers[b"Content-Type"] = b"text/html; charset=utf-8"
        flags = [*response.flags, *([UNRENDERED] if page.failed else [])]
        return response.replace(cls=HtmlResponse, body=text, headers=headers, flags=flags, encoding="utf-8")

    async def _settle(self, page: _Page) -> None:
        """Wait until the page has requested nothing for a while."""
        while True:
            page.stirred.clear()
            if page.pending:
                await asyncio.wait(page.pending)
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    await page.stirred.wait()
            except TimeoutError:
                if not page.pending:
                    return

    async def _text(self, session: str) -> bytes:
        source = "document.documentElement ? document.documentElement.outerHTML : ''"
        answer = await self._call("Runtime.evaluate", session, expression=source, returnByValue=True)
        text = str(answer["result"].get("value", "")).encode("utf-8", "replace")
        if len(text) > self._max_page:
            raise BrowserFailed("the page that scripts made is too large")
        return text

    # --- requests of the page ------------------------------------------------------------------------------------

    def _take(self, params: dict[str, Any]) -> None:
        """Answer a paused request, in a task of its own."""
        page = self._page
        if page is None:
            return
        page.stirred.set()
        task = asyncio.ensure_future(self._answer(page, params))
        page.pending.add(task)
        task.add_done_callback(page.pending.discard)

    async def _answer(self, page: _Page, params: dict[str, Any]) -> None:
        asked, number = params["request"], params["requestId"]
        if page.main and params.get("resourceType") == "Document":
            answer: Response | None = page.main.pop()
        elif (
            params.get("resourceType") in _NEVER
            or asked["method"] not in ("GET", "HEAD")
            or not asked["url"].startswith(("http://", "https://"))
            or page.requests >= MAX_REQUESTS
        ):
            page.failed = page.failed or page.requests >= MAX_REQUESTS
            answer = None
        else:
            page.requests += 1
            answer = await self._requested(page, asked)
        if answer is None:
            await self._call("Fetch.failRequest", page.session, requestId=number, errorReason="BlockedByClient")
            return
        headers = [
            {"name": name.decode("latin-1"), "value": value.decode("latin-1")}
            for name, values in answer.headers.items()
            if name.lower() not in _DROPPED
            for value in values
        ]
        await self._call(
            "Fetch.fulfillRequest",
            page.session,
            requestId=number,
            responseCode=answer.status,
            responseHeaders=headers,
            body=base64.b64encode(answer.body).decode(),
        )

    async def _requested(self, page: _Page, asked: dict[str, Any]) -> Response | None:
        # what a script names itself; what the browser says by itself would tell it from other crawls
        accept = next((value for name, value in asked["headers"].items() if name.lower() == "accept"), "*/*")
        headers = {} if accept.startswith(("*/*", "text/html")) else {"Accept": accept}
        request = Request(asked["url"], method=asked["method"], headers=headers, dont_filter=True)
        try:
            answer = await self._send(request)
        except RequestRefused:
            # of a host that the source does not declare nothing is missed: it is counted as refused
            return None
        except Exception:  # noqa: BLE001 - whatever failed, the page goes on without it, and is told as incomplete
            page.failed = True
            return None
        if isinstance(answer, StreamedResponse):
            await answer.close()
            page.failed = True
            return None
        page.failed = page.failed or answer.status == TOO_MANY_REQUESTS or answer.status >= SERVER_ERROR
        return answer

    # --- the protocol --------------------------------------------------------------------------------------------

    async def _call(self, method: str, session: str = "", /, **params: Any) -> dict[str, Any]:
        """The result of one command.

        Raises:
            BrowserFailed: the browser has ended, or refuses.
        """
        if self._ended or self._writer is None:
            raise BrowserFailed("the browser did not start, or has ended")
        self._last += 1
        message = {"id": self._last, "method": method, "params": params, **({"sessionId": session} if session else {})}
        future = self._answers[self._last] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps(message).encode() + b"\0")
        await self._writer.drain()
        answer = await future
        if "error" in answer:
            raise BrowserFailed(f"the browser refused {method}")
        return cast("dict[str, Any]", answer["result"])

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
                if (future := self._answers.pop(message.get("id", 0), None)) is not None:
                    if not future.done():
                        future.set_result(message)
                elif message.get("method") == "Fetch.requestPaused":
                    self._take(message["params"])
                elif message.get("method") == "Page.loadEventFired" and self._page is not None:
                    self._page.loaded.set()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError, KeyError):
            self._end()

    def _end(self) -> None:
        """The browser is not used any more: whoever waits for it is told."""
        self._ended = True
        for future in self._answers.values():
            if not future.done():
                future.set_result({"error": "ended"})


class RenderedPages:
    """Runs the scripts of those answers whose requests ask for it; the last of the middlewares that see an answer."""

    def __init__(self, crawler: Crawler) -> None:
        """With the browser that the spider of the crawl was given."""
        self._crawler = crawler
        self._browser: Browser | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """As Scrapy makes it."""
        return cls(crawler)

    async def process_response(self, request: Request, response: Response) -> Response:
        """The answer itself, or the page that its scripts make."""
        kind = (
            (response.headers.get("Content-Type") or b"text/html").decode("latin-1").partition(";")[0].strip().lower()
        )
        if not request.meta.get(RENDER) or response.status != 200 or kind not in _HTML:
            return response
        if isinstance(response, StreamedResponse):
            raise BrowserFailed("a page is too large for the browser")
        if self._browser is None:
            spider = cast("Any", self._crawler.spider)
            settings = self._crawler.settings
            self._browser = spider.browser = Browser(
                spider.browser_socket,
                spider._send,
                agent=settings["USER_AGENT"],
                seconds=settings.getfloat("DOWNLOAD_TIMEOUT"),
                max_page=settings.getint("DOWNLOAD_MAXSIZE"),
            )
        # a middleware sees an answer before it knows the request
        return await self._browser.render(response.replace(request=request))
