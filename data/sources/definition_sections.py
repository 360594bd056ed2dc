"""The sections of a source definition, each validated by itself; `data.sources.definition` combines them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_serializer

from data.settings.quantities import Span
from data.sources.selector_rules import Expression, FieldError, Rules, Selectors, StrictModel, Strings

MAX_PAGES = 20


def parse_rate(value: object) -> object:
    """Requests per second of "0.2/s", "12/m", "30/h" or a number; anything else is returned for pydantic to refuse."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\w*\s*", value)):
        return float(match[1]) / {"s": 1, "m": 60, "h": 3600}[match[2]]
    return value


def parse_robots(value: object) -> object:
    """The fields of `Robots` from `obey` or from a mapping with a reason; raises ValueError for anything else."""
    if isinstance(value, Mapping) and str(value.get("ignore") or "").strip():
        return value
    if value == "obey" or isinstance(value, Robots):
        return {} if value == "obey" else value
    raise ValueError('write `obey`, or {ignore: "the reason, which will be recorded"}')


class ListFields(StrictModel):
    """The values of one row of a listing: each is a rule, or a list of rules; the first that gives a value is used."""

    id: Rules = ()
    """The site's own id of the post. Without it the address identifies the post."""
    title: Rules = ()
    """Title of the post."""
    link: Rules = ()
    """Address where a person reads the post. It is made absolute and keeps its fragment."""
    body: Rules = ()
    """Text of the post that the listing already contains."""
    time: Rules = ()
    """Time of the post as the site states it; used as a hint only."""
    raw: Rules = ()
    """Address from which the original bytes of the post are fetched."""
    attachments: Rules = ()
    """Addresses of further samples: all values of the first rule that finds any."""
    size: Rules = ()
    """Size of the data as the site announces it."""
    files: Rules = ()
    """Number or list of files as the site announces it."""
    percent: Rules = ()
    """Share of the data that the site says is published, in percent."""
    timer: Rules = ()
    """A countdown, or the time at which it ends."""
    magnet: Rules = ()
    """Magnet link."""
    last: Rules = ()
    """What a reply changes: number or time of the last post. If it changes, the thread is read again, without an event."""
    state: Rules = ()
    """State of the leak in the words of the site."""
    extra: Annotated[Mapping[str, Rules], Field(default_factory=dict)]
    """Further values by name. A change of such a value also makes a new version of the post."""


class Pages(StrictModel):
    """How a listing is read page by page: by page numbers, or by `next` links up to `max` pages."""

    start: Annotated[int, Field(alias="from", ge=0)] = 1
    """Number of the first page."""
    max: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Maximum number of pages that one crawl reads."""
    step: Annotated[int, Field(ge=1)] = 1
    """Number of posts on a page, by which {offset} grows from page to page."""
    stop: Literal["seen", "empty"] = "seen"
    """When to stop: `seen` stops at the first page without a new post, `empty` only at a page without rows."""


class ListSection(StrictModel):
    """Where the listing is, and how its rows are read."""

    url: str = ""
    """Address of the listing; may contain {page}, {offset}, {since}, {cursor}, {host}. Default: the source's `url`."""
    kind: Annotated[Literal["html", "xml", "json", "text"], Field(alias="as")] = "html"
    """How the listing is parsed."""
    js: Expression | None = None
    """Regular expression before a literal in a script; the literal is read as the document, as with `as: json`."""
    each: Selectors = ()
    """Selectors of the rows, tried in turn; the first that finds any rows is used."""
    fields: ListFields = ListFields(extra={})
    """How each value of a row is read."""
    drop: Annotated[Mapping[str, Expression], Field(default_factory=dict)]
    """Maps names of fields to regular expressions: a row whose field matches is no post and is ignored."""
    whole: bool = False
    """Whether a row has all of its post: its page is not requested, only its `attachments` are."""
    complete: bool = False
    """Whether the listing, which has one page then, shows every post of the site: one that had hits and is missing is told."""
    next: Rules = ()
    """Link to the next page of the listing."""
    cursor: Rules = ()
    """The value of {cursor} for the next page."""
    pages: Pages | None = None
    """How pages are numbered, and how many are read. Without it one page is read, or up to 20 by `next`."""
    since: Span = timedelta(days=1)
    """How long before the crawl {since} is."""
    volatile: Strings = ()
    """Volatile fields, whose changes do not count as a change of the post: `title`, `text`, `links`, `extra NAME` …"""

    @property
    def max_pages(self) -> int:
        """The maximum number of pages that one crawl reads."""
        return self.pages.max if self.pages else MAX_PAGES if self.next else 1


class ItemFields(StrictModel):
    """The values of one part of a post's page."""

    id: Rules = ()
    """The site's own id of the part. With it, a page that is read again is examined in its new and changed parts only."""
    body: Rules = ()
    """The text: all values of all parts, in order."""
    attachments: Rules = ()
    """Addresses of further samples."""
    name: Rules = ()
    """Name of the part's file, where its address does not tell it."""
    size: Rules = ()
    """Size in bytes of the part's file: a large one is previewed by it before it is requested."""


class ItemSection(StrictModel):
    """The page of a post, for sites where the text must be found in markup."""

    url: str = "{link}"
    """Address of the page; may contain {link}, {id}, {raw}, {host}, and {page} (from 1) or {offset} (from 0)."""
    later: str = ""
    """Address of a later page, with {page} or {offset}, for sites whose first page has another form. Default: `url`."""
    kind: Annotated[Literal["html", "xml", "json", "text"], Field(alias="as")] = "html"
    """How the page is parsed."""
    each: Selectors = ()
    """Selectors of the parts of the page (the posts of a thread). Without them the whole page is one part."""
    fields: ItemFields = ItemFields()
    """How the text and the attachments of a part are read."""
    next: Rules = ()
    """Link to the next page of the same post."""
    headers: Annotated[Mapping[str, str], Field(default_factory=dict)]
    """Headers of the request, such as `Accept`, by which a site is asked for another form of the page."""
    revisit: Span = timedelta(days=1)
    """How often the page of a known post is read again; young posts and those with hits 8 times as often; 0 means never."""


class RawSection(StrictModel):
    """The original bytes of a post, for sites that offer them apart from its page."""

    url: str = "{raw}"
    """Address of the bytes; may contain {link}, {id}, {raw}, {host}."""
    kind: Annotated[Literal["bytes", "text", "json", "privatebin", "zerobin"], Field(alias="as")] = "bytes"
    """How the answer is read; with `json` the sample is one value of a JSON answer; `privatebin` and `zerobin` decrypt it with the key in the link."""
    expression: Annotated[str, Field(alias="json")] = ""
    """With `as: json`: the JMESPath expression of that value."""
    headers: Annotated[Mapping[str, str], Field(default_factory=dict)]
    """Headers of the request, such as `Accept`, by which a site is asked for the original."""
    burn: bool = False
    """Whether posts that their site deletes when they are read are requested nevertheless. Nobody else can read them then."""


class AbsentSection(StrictModel):
    """How to recognise that a page or post does not exist; most sites answer with status 200 and a message."""

    status: tuple[int, ...] = (404, 410)
    """HTTP statuses of such answers."""
    css: str = ""
    """A CSS selector that only such pages match."""
    text: Expression | None = None
    """A regular expression that only such pages match."""


class BlockedSection(StrictModel):
    """How to recognise that the site refuses access."""

    status: tuple[int, ...] = (401, 403, 429)
    """HTTP statuses of such answers."""
    css: str = ""
    """A CSS selector that only such pages match."""
    text: Expression | None = None
    """A regular expression that only such pages match; common access checks are recognised without it."""


class NoPreviewSection(StrictModel):
    """How to recognise the page of a channel that shows no posts outside its own program: it is not an empty channel."""

    css: str = ""
    """A CSS selector that only such pages match."""
    text: Expression | None = None
    """A regular expression that only such pages match."""


class HealthSection(StrictModel):
    """What a healthy crawl looks like; any deviation is an event about the source."""

    min_rows: Annotated[int, Field(ge=0)] = 1
    """Minimum number of rows that the listing has."""
    control: Strings = ()
    """Ids or addresses of posts, such as pinned ones, that every crawl must see on the listing; if one is missing, the source is blind and says so."""
    max_age: Span | None = None
    """Longest time without a new post, after which the source counts as stale."""
    overlap: bool = True
    """Whether every crawl must read back to a post that it knows; if it does not, posts may have been missed."""


class Follow(StrictModel):
    """Links in posts that are handed to another source."""

    match: Expression
    """Regular expression for the whole address with its fragment; its first group, if any, is the post's id there."""
    source: str
    """Name of the source that reads the linked post."""


class Tls(StrictModel):
    """How the certificates of the source's https hosts are checked. Without this, by the authorities of this machine."""

    pin: Strings = ()
    """Keys of the site, `sha256/` and base64: one of them must be its key; nothing else of its certificate counts."""
    verify: bool = True
    """`false` accepts any certificate; this requires a reason."""
    reason: str = ""
    """The reason for accepting any certificate; it is recorded."""


def check_tls(tls: Tls) -> None:
    """Raise FieldError if the keys of `tls` contradict each other or a pin is malformed."""
    for place, pin in enumerate(tls.pin):
        try:
            size = len(base64.b64decode(pin.removeprefix("sha256/"), validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if not pin.startswith("sha256/") or size != 32:
            raise FieldError(f"tls.pin.{place}", "write it as sha256/ followed by the base64 of 32 bytes")
    if not tls.verify and not tls.reason.strip():
        raise FieldError("tls.reason", "is missing: accepting any certificate requires a reason, which is recorded")
    if not tls.verify and tls.pin:
        raise FieldError("tls.verify", "must not be false beside a pin: the pin already replaces every other check")
    if tls.verify and tls.reason:
        raise FieldError("tls.reason", "is given, but certificates are checked; write  verify: false  or remove it")


# Headers by which a site is asked for another form of the same answer.
_HEADERS = ("accept", "accept-language", "x-requested-with")


def check_headers(field: str, headers: Mapping[str, str]) -> None:
    """Raise FieldError for a header that asks for more than another form of an answer, or is malformed."""
    for name, value in headers.items():
        if name.lower() not in _HEADERS:
            raise FieldError(f"{field}.{name}", f"only these headers can be given: {', '.join(_HEADERS)}")
        if not value.isascii() or not value.isprintable():
            raise FieldError(f"{field}.{name}", "write printable ASCII characters")


class Robots(StrictModel):
    """Whether robots.txt is obeyed. Ignoring it requires a reason, which is recorded."""

    ignore: str = ""
    """The reason for ignoring robots.txt."""

    @property
    def obey(self) -> bool:
        """Whether robots.txt is obeyed: no reason to ignore it was given."""
        return not self.ignore

    @model_serializer
    def _serialise(self) -> str | dict[str, str]:
        return {"ignore": self.ignore} if self.ignore else "obey"
