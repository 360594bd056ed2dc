"""What an answer of a site is worth: whole, cut, a wall, or not there."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from scrapy.http import Response
from twisted.python.failure import Failure

from crawler.pages.extract import Listing
from crawler.transport.errors import Trouble
from data.sources.definition import Definition


def content_type(response: Response) -> str:
    """The header of an answer, '' without one."""
    return (response.headers.get("Content-Type") or b"").decode("latin-1")


def cut(response: Response) -> str:
    """Why an answer is not whole; '' where it is."""
    return "the connection ended before the whole answer came" if "dataloss" in response.flags else ""


def listing_trouble(response: Response, listing: Listing) -> Trouble | None:
    """Why a page is no listing; None where it is one."""
    if cut(response):
        return Trouble("cut", "the connection ended in the middle of the listing", retry=True)
    return trouble_with(response, "ok" if listing.state == "empty" else listing.state)


def trouble_with(response: Response, state: str) -> Trouble | None:
    """Why an answer is not what was asked for; None where it is."""
    if state == "blocked":
        return Trouble("blocked", f"the site let us not in (status {response.status})", retry=True)
    if state == "absent":
        return Trouble("absent", f"the site says that it is not there (status {response.status})", retry=False)
    if not 200 <= response.status < 300:
        return Trouble("status", f"the site answered with status {response.status}", retry=True)
    return None


def parts(definition: Definition) -> set[str]:
    """Path segments and parameter values that the operator wrote: they may be shown."""
    parts: set[str] = set()
    for url in (definition.url, definition.list.url):
        split = urlsplit(url)
        parts.update(part for part in split.path.split("/") if part)
        parts.update(value for _, value in parse_qsl(split.query))
    return parts


def cause(failure: Failure) -> BaseException:
    """The exception of a failure; Twisted allows for none."""
    return failure.value if failure.value is not None else RuntimeError("a failure without its cause")
