"""The definition of a source: everything that can be said about one watched place, as one frozen object.

Reading it from YAML is `data.sources.source_files`; what its selectors mean is `crawler.pages.extract`.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

import orjson
from pydantic import BeforeValidator, Field, model_serializer, model_validator

from data.settings.settings import Size, Span
from data.sources.addresses import (
    HOLE,
    ITEM_PLACEHOLDERS,
    PLACEHOLDERS,
    check_address,
    check_host,
    origins,
    source_hosts,
)
from data.sources.expression_checks import check_css, check_jmespath
from data.sources.selector_rules import Expression, FieldError, Part, Rules, Selectors, Strings, nearest

MAX_PAGES = 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _as_rate(value: object) -> object:
    """Requests a second of "0.2/s", "12/m", "30/h" or a number."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\w*\s*", value)):
        return float(match[1]) / {"s": 1, "m": 60, "h": 3600}[match[2]]
    return value


def _as_robots(value: object) -> object:
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


class Definition(Part):
    """One watched place, whole: what its file says over what its platform brings."""

    name: str
    """Name of the source: lower-case letters, digits, dot, dash and underscore."""
    platform: str
    """The site software: a module of `spiders/`; `declared` takes everything from the file."""
    url: str = ""
    """Address of the listing."""
    hosts: Strings = ()
    """Mirrors and further hosts that may be contacted: `host`, `host:port` or `scheme://host:port`."""
    via: Literal["direct", "tor"] = "direct"
    """The road. `tor` never falls back to `direct`."""
    circuits: Literal["source", "crawl"] = "source"
    """Over Tor: circuits that only this source uses, or new ones for each of its crawls."""
    every: Span = timedelta(minutes=15)
    """How often the listing is read."""
    rate: Annotated[float, BeforeValidator(_as_rate, json_schema_input_type=str | float), Field(gt=0)] | None = None
    """Requests a second to one host, at most: `0.2/s`, `12/m`; without it the setting `crawl.rate`."""
    concurrency: Annotated[int, Field(ge=1, le=64)] | None = None
    """Requests in flight to one host; without it the setting `crawl.concurrency`."""
    timeout: Span | None = None
    """Longest wait for one answer; without it the setting `crawl.timeout`."""
    max_bytes: Size | None = None
    """Largest body that is read; without it the setting `crawl.max_bytes`."""
    charset: str = "auto"
    """`auto`: header, byte order mark, meta, else UTF-8 or Windows-1252; or the name of an encoding."""
    robots: Annotated[Robots, BeforeValidator(_as_robots, json_schema_input_type=Literal["obey"] | Robots)] = Robots()
    """`obey`, or {ignore: "reason"}."""
    depth: Annotated[int, Field(ge=0, le=16)] = 1
    """Sub-folders that are walked below the listing, where the platform has folders."""
    list: ListPart = ListPart(drop={})
    """The listing."""
    item: ItemPart | None = None
    """The page of a post, where the text has to be found in markup."""
    raw: RawPart | None = None
    """The bytes of a post, where the site offers them apart from its page."""
    absent: AbsentPart = AbsentPart()
    """How the site says that something is not there."""
    blocked: BlockedPart = BlockedPart()
    """How the site says that it does not let us in."""
    health: HealthPart = HealthPart()
    """What a sound crawl looks like."""
    follow: tuple[Follow, ...] = ()
    """Links handed to other sources."""
    parser: str = ""
    """`module:function` of your own that reads the listing, where no selector does."""
    version: Annotated[int, Field(ge=1)] = 1
    """Number of this definition; raise it when the site was restyled."""
    enabled: bool = True
    """Whether the daemon looks at it."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not _NAME.fullmatch(self.name):
            raise FieldError(
                "name", "lower-case letters, digits, dot, dash and underscore, beginning with a letter or digit"
            )
        if not self.url and not self.list.url:
            raise FieldError("url", "the address of the listing is missing")
        check_address("url", self.url, PLACEHOLDERS)
        check_address("list.url", self.list.url, PLACEHOLDERS)
        if self.item is not None:
            check_address("item.url", self.item.url, ITEM_PLACEHOLDERS)
        if self.raw is not None:
            check_address("raw.url", self.raw.url, ITEM_PLACEHOLDERS)
        for place, host in enumerate(self.hosts):
            check_host(f"hosts.{place}", host)
        if "{host}" in self.url + self.list.url and not origins(self):
            raise FieldError("hosts", "the address has {host}, but no host is given")
        self._check_road()
        self._check_pages()
        if self.charset != "auto":
            _check_charset(self.charset)
        for name in self.list.drop:
            if name not in ListFields.model_fields and name not in self.list.fields.extra:
                raise FieldError(f"list.drop.{name}", f"no such field{nearest(name, ListFields.model_fields)}")
        if self.parser and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.parser):
            raise FieldError("parser", "write it as module:function")
        for field, css in (("absent.css", self.absent.css), ("blocked.css", self.blocked.css)):
            if css:
                _within(field, check_css, css)
        if self.raw is not None and self.raw.kind == "json":
            if not self.raw.expression:
                raise FieldError("raw.json", "`as: json` needs the JMESPath of the value that is the sample")
            _within("raw.json", check_jmespath, self.raw.expression)
        return self

    def _check_road(self) -> None:
        if self.via == "tor":
            return
        for host, _ in source_hosts(self):
            if host.endswith(".onion"):
                field = next((f"hosts.{at}" for at, text in enumerate(self.hosts) if ".onion" in text), "url")
                raise FieldError(field, "a .onion address is reached over Tor only; write  via: tor")

    def _check_pages(self) -> None:
        holes = set(HOLE.findall(self.list.url or self.url))
        if self.list.pages is not None and not self.list.next and not holes & {"page", "offset", "cursor"}:
            raise FieldError("list.pages", "no `next`, and the address has none of {page}, {offset} and {cursor}")
        if "cursor" in holes and not self.list.cursor:
            raise FieldError("list.cursor", "the address has {cursor}, but nothing says where the next one is found")

    def digest(self) -> str:
        """32 hex digits that change when the definition changes."""
        whole = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(whole, digest_size=16).hexdigest()


def _within(field: str, check: Callable[[str], None], value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise FieldError(field, str(error)) from error


def _check_charset(name: str) -> None:
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise FieldError("charset", f"no encoding is called '{name}'") from error
