"""The parts of a source definition, each validated by itself; the whole is the module definition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_serializer

from data.settings.quantities import Span
from data.sources.selector_rules import Expression, Part, Rules, Selectors, Strings

MAX_PAGES = 20


def as_rate(value: object) -> object:
    """`0.2/s` or `12/m` as requests a second."""
    """Requests a second of "0.2/s", "12/m", "30/h" or a number."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\w*\s*", value)):
        return float(match[1]) / {"s": 1, "m": 60, "h": 3600}[match[2]]
    return value


def as_robots(value: object) -> object:
    """`obey` or a table with a reason, as the fields of `Robots`."""
    if isinstance(value, Mapping) and str(value.get("ignore") or "").strip():
        return value
    if value == "obey" or isinstance(value, Robots):
        return {} if value == "obey" else value
    raise ValueError('write `obey`, or {ignore: "the reason, which is recorded"}')


class ListFields(Part):
    """What one row of a listing says; a rule, or a list of rules of which the first non-empty one counts."""

    id: Rules = ()
    """The site's own id of the post; without it the address is the identity."""
    title: Rules = ()
    """Title."""
    link: Rules = ()
    """Where a person reads the post; made absolute, its fragment kept."""
    body: Rules = ()
    """Text that the listing already carries."""
    time: Rules = ()
    """The site's own time, a hint."""
    raw: Rules = ()
    """Where the bytes are best fetched."""
    attachments: Rules = ()
    """Addresses of further samples; all values of the first rule that finds any."""
    size: Rules = ()
    """Announced size."""
    files: Rules = ()
    """Announced number of files, or their list."""
    percent: Rules = ()
    """Share that is said to be published."""
    timer: Rules = ()
    """Countdown or its end."""
    magnet: Rules = ()
    """Magnet link."""
    state: Rules = ()
    """What the site calls the state of the leak."""
    extra: Annotated[Mapping[str, Rules], Field(default_factory=dict)]
    """Further values by name; they too make a new version of the post when they change."""


class Pages(Part):
    """How a listing is read page by page: by number, or by `next` with `max` as its limit."""

    start: Annotated[int, Field(alias="from", ge=0)] = 1
    """Number of the first page."""
    max: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Pages read in one crawl, at most."""
    step: Annotated[int, Field(ge=1)] = 1
    """Posts to a page, for {offset}."""
    stop: Literal["seen", "empty"] = "seen"
    """`seen`: at the first page without anything new; `empty`: only at a page without rows."""


class ListPart(Part):
    """Where the listing is and how its rows are read."""

    url: str = ""
    """Address of the listing, with {page}, {offset}, {since}, {cursor}, {host}; without it the source's `url`."""
    kind: Annotated[Literal["html", "xml", "json", "text"], Field(alias="as")] = "html"
    """How the listing is parsed."""
    js: Expression | None = None
    """Expression after which a literal stands in a script; the literal is then the document, as with `as: json`."""
    each: Selectors = ()
    """Selectors of the rows, tried in turn; the first that finds any counts."""
    fields: ListFields = ListFields(extra={})
    """How each value of a row is found."""
    drop: Annotated[Mapping[str, Expression], Field(default_factory=dict)]
    """Field name to expression: rows whose value matches are no posts."""
    next: Rules = ()
    """Link to the next page."""
    cursor: Rules = ()
    """Value for {cursor} of the next page."""
    pages: Pages | None = None
    """Numbered pages, and how many are read; without it a listing has one page, or 20 by `next`."""
    since: Span = timedelta(days=1)
    """How far back {since} lies."""
    volatile: Strings = ()
    """Fields that change by themselves and are not counted as a change of a post: `title`, `text`, `links`, `extra NAME` …"""

    @property
    def max_pages(self) -> int:
        """Pages that one crawl reads at most."""
        return self.pages.max if self.pages else MAX_PAGES if self.next else 1


class ItemFields(Part):
    """What one page of a post says."""

    body: Rules = ()
    """Its text; all values of all rows, in order."""
    attachments: Rules = ()
    """Addresses of further samples."""


class ItemPart(Part):
    """The page of a post, where its text has to be found in markup."""

    url: str = "{link}"
    """Address, with {link}, {id}, {raw}, {host}."""
    kind: Annotated[Literal["html", "xml", "json", "text"], Field(alias="as")] = "html"
    """How the page is parsed."""
    each: Selectors = ()
    """Selectors of its parts (the posts of a thread); without it the whole page is one part."""
    fields: ItemFields = ItemFields()
    """How text and attachments of a part are found."""
    next: Rules = ()
    """Link to the next page of the same post."""
    revisit: Span = timedelta(days=1)
    """After how long the page of a known post is looked at again for new links and parts; 0 never."""


class RawPart(Part):
    """The bytes of a post as the site keeps them."""

    url: str = "{raw}"
    """Address, with {link}, {id}, {raw}, {host}."""
    kind: Annotated[Literal["bytes", "text", "json"], Field(alias="as")] = "bytes"
    """`json`: the sample is one value of a JSON answer."""
    expression: Annotated[str, Field(alias="json")] = ""
    """JMESPath of that value."""


class AbsentPart(Part):
    """How the site says that something is not there; soft 404s are the rule."""

    status: tuple[int, ...] = (404, 410)
    """Statuses."""
    css: str = ""
    """A selector that only such pages match."""
    text: Expression | None = None
    """An expression that only such pages match."""


class BlockedPart(Part):
    """How the site says that it does not let us in."""

    status: tuple[int, ...] = (401, 403, 429)
    """Statuses."""
    css: str = ""
    """A selector that only such pages match."""
    text: Expression | None = None
    """An expression that only such pages match, beside the common walls that are always known."""


class HealthPart(Part):
    """What a sound crawl looks like; anything else is an event about the source."""

    min_rows: Annotated[int, Field(ge=0)] = 1
    """Rows that the listing has at least."""
    max_age: Span | None = None
    """Longest time without a new post before the source counts as stale."""
    overlap: bool = True
    """A crawl reads back to a post it knows; else posts may have been missed."""


class Follow(Part):
    """Links found in posts that another source reads."""

    match: Expression
    """Expression on the whole address, fragment included; its first group, if it has one, is the post's id there."""
    source: str
    """Name of the source that reads it."""


class Robots(Part):
    """Whether robots.txt is obeyed; ignoring it takes a reason, which is recorded."""

    ignore: str = ""
    """The reason."""

    @property
    def obey(self) -> bool:
        """No reason was given to ignore it."""
        return not self.ignore

    @model_serializer
    def _plain(self) -> str | dict[str, str]:
        return {"ignore": self.ignore} if self.ignore else "obey"
