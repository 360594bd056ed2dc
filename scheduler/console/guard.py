"""Refuses requests that no page of the console sends, before any of its code sees them, and adds the protecting headers.

In order: the host must be one of ours (DNS rebinding), the method one of three, what another site's page asks for is
refused (`Sec-Fetch-Site` and `Origin`, instead of tokens in forms), and a body is short and comes within seconds.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 1024
BODY_SECONDS = 10.0
MAX_ADDRESS = 4096
READING = frozenset({"GET", "HEAD"})
# Where a page of another site may not put ours, even if it only reads: not inside of it.
_EMBEDDED = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The status and the sentence with which a request is refused."""

    status: int
    said: str


def refusal_of(method: str, target: str, headers: Headers, origins: Sequence[str]) -> Refusal | None:
    """Why a request is refused; None if it may go on.

    Args:
        method: of the request.
        target: path and query, as they came.
        headers: of the request.
        origins: the addresses under which people reach the console, `http://127.0.0.1:8466`.
    """
    hosts = headers.getlist("host")
    if len(hosts) != 1 or hosts[0].lower() not in {urlsplit(each).netloc for each in origins}:
        return Refusal(421, "this console does not answer under that name")
    if len(target) > MAX_ADDRESS:
        return Refusal(414, "the address is too long")
    if method not in {*READING, "POST"}:
        return Refusal(405, "only GET, HEAD and POST are understood")
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if method in READING:
        navigates = headers.get("sec-fetch-mode", "navigate") == "navigate"
        embedded = headers.get("sec-fetch-dest") in _EMBEDDED
        if site not in {None, "same-origin", "none"} and (embedded or not navigates):
            return Refusal(403, "another site may not read this console")
        return None
    if origin is not None and origin != "null" and origin.lower() not in origins:
        return Refusal(403, "another site may not decide anything here")
    if site is not None:
        return None if site in {"same-origin", "none"} else Refusal(403, "another site may not decide anything here")
    if origin == "null" or (origin is None and "cookie" in headers):
        return Refusal(403, "the browser does not say which page sent this")
    return None


class Guard:
    """ASGI middleware around the whole console."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app, self._origins = app, tuple(each.lower() for each in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce
        headers = Headers(scope=scope)
        target = scope["path"] + "?" + scope["query_string"].decode("latin-1")

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                _protect(MutableHeaders(scope=message), nonce)
            await send(message)

        refusal = refusal_of(scope["method"], target, headers, self._origins)
        body = b""
        if refusal is None and scope["method"] == "POST":
            found = await _body(headers, receive)
            refusal, body = (found, b"") if isinstance(found, Refusal) else (None, found)
        if refusal is not None:
            answer = PlainTextResponse(f"{refusal.said}\n", refusal.status, {"connection": "close"})
            await answer(scope, receive, send_protected)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self._app(scope, replay, send_protected)


async def _body(headers: Headers, receive: Receive) -> bytes | Refusal:
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > MAX_BODY:
        return Refusal(413, "a form has at most 64 KiB")
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return Refusal(400, "the form ended early")
                parts.append(message.get("body", b""))
                if sum(map(len, parts)) > MAX_BODY:
                    return Refusal(413, "a form has at most 64 KiB")
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        return Refusal(408, "the form did not arrive in time")


def _protect(headers: MutableHeaders, nonce: str) -> None:
    """No script or style but ours, no other site, nothing kept by browsers or proxies."""
    headers["content-security-policy"] = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers["x-content-type-options"] = "nosniff"
    headers["x-frame-options"] = "DENY"
    headers["referrer-policy"] = "same-origin"
    headers["cross-origin-opener-policy"] = "same-origin"
    headers["cross-origin-resource-policy"] = "same-origin"
    headers["permissions-policy"] = "camera=(), microphone=(), geolocation=(), clipboard-read=()"
    if "cache-control" not in headers:
        headers["cache-control"] = "no-store"
