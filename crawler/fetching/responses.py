"""Decides whether an answer of a site is complete and is what was requested, or is blocked, absent or truncated."""

from __future__ import annotations

from typing import Any

from scrapy.http import Response
from twisted.python.failure import Failure

from crawler.pages import blocked_pages
from crawler.pages.extract import Listing
from crawler.pages.html_text import decode
from crawler.pages.row_values import compiled_expression
from crawler.pages.time_limit import search
from crawler.transport.browser import RENDER, UNRENDERED
from crawler.transport.errors import Trouble
from crawler.transport.middlewares import PARTIAL, UNDECODED
from data.sources.definition import Definition

# By the flags that the download handlers and `ContentEncodingMiddleware` set.
_INCOMPLETE = {
    "dataloss": "the connection ended before the whole answer arrived",
    UNDECODED: "the answer is damaged: it does not match its Content-Encoding",
    UNRENDERED: "a script of the page requested something that did not arrive",
    PARTIAL: "the site sent a part of the answer, although all of it was requested",
}


def page_meta(definition: Definition, kind: str) -> dict[str, Any] | None:
    """Scrapy's meta of a request for a page that is parsed as `kind`; None for a plain request."""
    return {RENDER: True} if definition.render == "browser" and kind == "html" else None


def content_type(response: Response) -> str:
    """The Content-Type header of an answer; '' without one."""
    return (response.headers.get("Content-Type") or b"").decode("latin-1")


def why_incomplete(response: Response) -> str:
    """Why an answer is incomplete; '' if it is complete."""
    return next((reason for flag, reason in _INCOMPLETE.items() if flag in response.flags), "")


def listing_trouble(response: Response, listing: Listing) -> Trouble | None:
    """Why an answer cannot be used as a page of the listing; None if it can."""
    if why := why_incomplete(response):
        return Trouble("encoding" if UNDECODED in response.flags else "cut", why, retry=True)
    return answer_trouble(response, "ok" if listing.state == "empty" else listing.state)


def answer_trouble(response: Response, state: str) -> Trouble | None:
    """Why an answer is not what was requested; None if it is.

    Args:
        response: of the site.
        state: as `crawler.pages.extract.classify` returns it.
    """
    if state == "blocked":
        return Trouble("blocked", f"the site refused access (status {response.status})", retry=True)
    if state == "absent":
        return Trouble(
            "absent", f"the site reports that the page does not exist (status {response.status})", retry=False
        )
    if state == "seized":
        return Trouble("seized", "the page says that authorities seized the site", retry=True)
    if state == "parked":
        return Trouble(
            "parked", "the domain of the site is for sale, has expired or belongs to somebody else", retry=True
        )
    if state == "portal" or response.status == blocked_pages.HTTP_PORTAL:
        return Trouble(
            "walled", "a network on the way answers in place of the site, and wants a log-in first", retry=True
        )
    if state == "placeholder":
        return Trouble("placeholder", "the page is what a web server shows where no site is", retry=True)
    if state == "no_preview":
        return Trouble("no_preview", "the channel shows no posts outside its own program", retry=True)
    if not 200 <= response.status < 300:
        return Trouble("status", f"the site answered with status {response.status}", retry=True)
    return None


SESSION_ENDED = Trouble(
    "session_ended",
    "the site does not accept the session any more that the cookies of this source belong to",
    retry=False,
)


def session_trouble(
    definition: Definition, response: Response, trouble: Trouble | None, *, cookies: bool
) -> Trouble | None:
    """The trouble of a listing, with what it says about a session.

    Args:
        definition: of the source.
        response: for the listing.
        trouble: as `listing_trouble` returns it.
        cookies: whether the source has cookies of a session.
    """
    kind = content_type(response)
    if trouble is not None and trouble.code == "blocked":
        if blocked_pages.asks_for_login(definition, response.status, response.body, kind):
            detail = f"the site shows its listing to members alone (status {response.status})"
            return SESSION_ENDED if cookies else Trouble("walled", detail, retry=False)
        if blocked_pages.is_challenge(definition, response.body, kind):
            detail = f"the site shows an access check in place of its listing (status {response.status})"
            return Trouble("challenge", detail, retry=True)
        return trouble
    if trouble is None and definition.signed_in is not None:
        text = decode(response.body, definition.charset, kind)
        return None if search(compiled_expression(definition.signed_in), text) else SESSION_ENDED
    return trouble


def exception_of(failure: Failure) -> BaseException:
    """The exception of a Twisted failure, which may lack one."""
    return failure.value if failure.value is not None else RuntimeError("a failure without its cause")
