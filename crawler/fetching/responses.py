"""Decides whether an answer of a site is complete and is what was requested, or is blocked, absent or truncated."""

from __future__ import annotations

from scrapy.http import Response
from twisted.python.failure import Failure

from crawler.pages.extract import Listing
from crawler.transport.errors import Trouble
from crawler.transport.middlewares import PARTIAL, UNDECODED

# By the flags that the download handlers and `ContentEncodingMiddleware` set.
_INCOMPLETE = {
    "dataloss": "the connection ended before the whole answer arrived",
    UNDECODED: "the answer is damaged: it does not match its Content-Encoding",
    PARTIAL: "the site sent a part of the answer, although all of it was requested",
}


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
    if not 200 <= response.status < 300:
        return Trouble("status", f"the site answered with status {response.status}", retry=True)
    return None


def exception_of(failure: Failure) -> BaseException:
    """The exception of a Twisted failure, which may lack one."""
    return failure.value if failure.value is not None else RuntimeError("a failure without its cause")
