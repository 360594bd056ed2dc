"""The complete definition of a source, as one frozen and validated object.

`data.sources.source_files` reads it from YAML, and `crawler.pages.extract` applies its selectors.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

import orjson
from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from data.settings.quantities import Size, Span
from data.sources.addresses import (
    ITEM_PLACEHOLDERS,
    PLACEHOLDER,
    PLACEHOLDERS,
    check_address,
    check_host,
    fill_placeholders,
    host_pairs,
)
from data.sources.definition_sections import (
    AbsentSection,
    BlockedSection,
    Follow,
    HealthSection,
    ItemSection,
    ListFields,
    ListSection,
    NoPreviewSection,
    Pages,
    RawSection,
    Robots,
    Tls,
    check_headers,
    check_tls,
    parse_rate,
    parse_robots,
)
from data.sources.expression_checks import check_css, check_jmespath
from data.sources.selector_rules import Expression, FieldError, StrictModel, Strings, did_you_mean

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Definition(StrictModel):
    """One watched place: the keys of its file, with those of its platform for keys that the file does not give."""

    name: str
    """Name of the source: lower-case letters, digits, dot, dash and underscore."""
    platform: str
    """The site software: a module or definition of `spiders/`. With `declared` the file defines everything itself."""
    url: str = ""
    """Address of the listing."""
    also: Strings = ()
    """Addresses of further listings of the same site, read in the same crawl by the same rules: other boards."""
    hosts: Strings = ()
    """Mirrors and other hosts that may be contacted: `host`, `host:port` or `scheme://host:port`."""
    via: Literal["direct", "tor"] = "direct"
    """The connection: direct or over Tor. `tor` never falls back to `direct`."""
    circuits: Literal["source", "crawl"] = "source"
    """Over Tor: `source` uses circuits that no other source uses, `crawl` uses new circuits for each crawl."""
    every: Span = timedelta(minutes=15)
    """How often the listing is read."""
    fastest: Span | None = None
    """The shortest interval, used if the listing would roll over sooner than `every`. Default: a quarter of it, 1 minute at least."""
    slowest: Span | None = None
    """The longest interval, used with `daemon.cadence = "learned"` alone. Default: twice `every`; 1.1 times where posts come in
    surges."""
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    """With `daemon.cadence = "learned"`: how much more a post of this source matters than one of another source."""
    rate: Annotated[float, BeforeValidator(parse_rate, json_schema_input_type=str | float), Field(gt=0)] | None = None
    """Maximum number of requests per second to one host: `0.2/s`, `12/m`. Default: the setting `crawl.rate`."""
    concurrency: Annotated[int, Field(ge=1, le=64)] | None = None
    """Maximum number of simultaneous requests to one host. Default: the setting `crawl.concurrency`."""
    timeout: Span | None = None
    """Longest wait for one answer. Default: the setting `crawl.timeout`."""
    max_bytes: Size | None = None
    """Largest body that is read. Default: the setting `crawl.max_bytes`."""
    charset: str = "auto"
    """An encoding, or `auto`: from HTTP header, byte order mark or meta element, else UTF-8 or Windows-1252."""
    robots: Annotated[Robots, BeforeValidator(parse_robots, json_schema_input_type=Literal["obey"] | Robots)] = Robots()
    """`obey` obeys robots.txt; {ignore: "reason"} ignores it and records the reason."""
    cookies: str = ""
    """Your own session on the site: `file` for the cookies that `source cookies` keeps, `cred:NAME` for a systemd credential."""
    signed_in: Expression | None = None
    """A regular expression that only pages for members contain; a listing without it shows that the session has ended."""
    render: Literal["", "browser"] = ""
    """`browser`: the scripts of pages are run in a headless Chromium, for sites that show nothing without."""
    tls: Tls = Tls()
    """Certificates of https hosts: {pin: sha256/…} pins a key; {verify: false, reason: "…"} accepts any certificate."""
    depth: Annotated[int, Field(ge=0, le=16)] = 1
    """How many levels of sub-folders below the listing are read, if the platform has folders."""
    list: ListSection = ListSection(drop={})
    """The listing of the source."""
    item: ItemSection | None = None
    """The page of a post, for sites where the text must be found in markup."""
    feed: ListSection | None = None
    """A feed of the newest replies and edits of the site, beside the listing of its threads; keys as of `list`."""
    raw: RawSection | None = None
    """The original bytes of a post, for sites that offer them apart from its page."""
    absent: AbsentSection = AbsentSection()
    """How to recognise that a page or post does not exist."""
    blocked: BlockedSection = BlockedSection()
    """How to recognise that the site refuses access."""
    no_preview: NoPreviewSection = NoPreviewSection()
    """How to recognise a channel that shows no posts outside its own program."""
    health: HealthSection = HealthSection()
    """What a healthy crawl looks like."""
    follow: tuple[Follow, ...] = ()
    """Links in posts that are handed to other sources; links to sources that live of links need no rule."""
    linked_files: bool = True
    """Whether archives, tables and databases on the hosts of the source are read where a post links to them."""
    parser: str = ""
    """Your own function, `module:function`, that reads the listing if selectors cannot."""
    version: Annotated[int, Field(ge=1)] = 1
    """Version number of this definition; raise it when you adapt it to a changed site."""
    enabled: bool = True
    """Whether the daemon crawls the source."""

    @model_validator(mode="after")
    def _check_consistency(self, info: ValidationInfo) -> Self:
        # the file of a source whose platform brings the rest: what needs both is checked once they are one
        is_part = bool(info.context and info.context.get("part"))
        if not _NAME.fullmatch(self.name):
            raise FieldError(
                "name",
                "use at most 64 lower-case letters, digits, dots, dashes and underscores; begin with a letter or digit",
            )
        if not self.url and not self.list.url:
            raise FieldError("url", "is missing: give the address of the listing")
        check_address("url", self.url, PLACEHOLDERS)
        check_address("list.url", self.list.url, PLACEHOLDERS)
        for place, address in enumerate(self.also):
            check_address(f"also.{place}", address, ())
            if host_pairs(address) != host_pairs(PLACEHOLDER.sub("0", self.url or "http://none.invalid")):
                raise FieldError(f"also.{place}", "is not on the host of `url`: give it a source of its own")
        if self.feed is not None:
            check_address("feed.url", self.feed.url, ("host",))
            if not is_part and (not self.feed.url or not self.feed.fields.id):
                raise FieldError("feed", "give `url` and `fields.id`: without them replies cannot be distinguished")
        if self.item is not None:
            check_address("item.url", self.item.url, ITEM_PLACEHOLDERS)
            check_address("item.later", self.item.later, ITEM_PLACEHOLDERS)
            check_headers("item.headers", self.item.headers)
        if self.raw is not None:
            check_address("raw.url", self.raw.url, ITEM_PLACEHOLDERS)
            check_headers("raw.headers", self.raw.headers)
        for place, host in enumerate(self.hosts):
            check_host(f"hosts.{place}", host)
        if "{host}" in self.url + self.list.url and not origins(self):
            raise FieldError("hosts", "is missing: the address contains {host}, so list at least one host")
        if not re.fullmatch(r"|file|cred:[A-Za-z0-9._-]{1,64}", self.cookies):
            raise FieldError("cookies", "write `file`, or cred:NAME; the cookies themselves do not belong here")
        check_tls(self.tls)
        self._check_connection()
        if not is_part:
            self._check_pages()
        if self.charset != "auto":
            _check_charset(self.charset)
        for name in self.list.drop:
            if name not in ListFields.model_fields and name not in self.list.fields.extra and not is_part:
                raise FieldError(f"list.drop.{name}", f"no such field{did_you_mean(name, ListFields.model_fields)}")
        if self.parser and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.parser):
            raise FieldError("parser", "write it as module:function")
        for field, css in (
            ("absent.css", self.absent.css),
            ("blocked.css", self.blocked.css),
            ("no_preview.css", self.no_preview.css),
        ):
            if css:
                _check_field(field, check_css, css)
        if self.raw is not None and self.raw.kind == "json":
            if not self.raw.expression:
                raise FieldError(
                    "raw.json", "is missing: `as: json` needs the JMESPath of the value that is the sample"
                )
            _check_field("raw.json", check_jmespath, self.raw.expression)
        return self

    def _check_connection(self) -> None:
        if self.via == "tor":
            return
        for host, _ in source_hosts(self):
            if host.endswith(".onion"):
                field = next((f"hosts.{at}" for at, text in enumerate(self.hosts) if ".onion" in text), "url")
                raise FieldError(field, "a .onion address can be reached only over Tor; write  via: tor")

    def _check_pages(self) -> None:
        if self.list.pages is not None and not _may_have_pages(self):
            raise FieldError(
                "list.pages",
                "further pages cannot be found: add `list.next`, or put {page}, {offset} or {cursor} into the address",
            )
        if self.list.complete and (self.list.next or _page_placeholders(self)):
            raise FieldError("list.complete", "must not be true for a listing that has further pages")
        if "cursor" in _page_placeholders(self) and not self.list.cursor:
            raise FieldError(
                "list.cursor", "is missing: the address contains {cursor}, so give a rule for its next value"
            )

    def digest(self) -> str:
        """32 hex digits that change whenever the definition changes."""
        # a key that came later does not change the digest of a definition that does not use it
        left_out = None if self.render else {"render"}
        content = orjson.dumps(self.model_dump(mode="json", exclude=left_out), option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(content, digest_size=16).hexdigest()


def _check_field(field: str, check: Callable[[str], None], value: str) -> None:
    """Run a check that raises ValueError, and raise its message as FieldError for a field."""
    try:
        check(value)
    except ValueError as error:
        raise FieldError(field, str(error)) from error


def _check_charset(name: str) -> None:
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise FieldError("charset", f"unknown encoding '{name}'; write a name such as utf-8, or auto") from error


def source_hosts(definition: Definition) -> frozenset[tuple[str, int]]:
    """The allow-list of a source: the (host, port) pairs of its addresses and `hosts`, in lower case and punycode."""
    pairs: set[tuple[str, int]] = set()
    addresses = [definition.url, definition.list.url]
    addresses += [definition.item.url, definition.item.later] if definition.item else []
    addresses += [definition.raw.url if definition.raw else "", definition.feed.url if definition.feed else ""]
    for address in addresses:
        if address.startswith(("http://", "https://")):
            pairs |= host_pairs(PLACEHOLDER.sub("0", address))
    for host in definition.hosts:
        pairs |= host_pairs(host)
    return frozenset(pairs)


def origins(definition: Definition) -> tuple[str, ...]:
    """All values of {host}, each `scheme://host[:port]`, the preferred one first."""
    found = [host if "://" in host else f"http://{host}" for host in definition.hosts]
    for address in (definition.list.url, definition.url):
        if address.startswith(("http://", "https://")):
            parts = urlsplit(address)
            found.insert(0, f"{parts.scheme}://{parts.netloc}")
    return tuple(dict.fromkeys(origin.rstrip("/") for origin in found))


def start_url(definition: Definition, now: datetime, host: str = "") -> str:
    """Address of the listing's first page.

    Args:
        definition: definition of the source.
        now: aware; {since} becomes the time `list.since` before it, in ISO 8601.
        host: one of `origins`, to read a mirror; '' for the preferred one.
    """
    since = (now.astimezone(UTC) - definition.list.since).strftime("%Y-%m-%dT%H:%M:%SZ")
    return page_url(definition, 1, host=host, since=since)


def _page_placeholders(definition: Definition) -> set[str]:
    """The placeholders of the listing's address that number its pages."""
    return {"page", "offset", "cursor"} & set(PLACEHOLDER.findall(definition.list.url or definition.url))


def _may_have_pages(definition: Definition) -> bool:
    """Whether further pages of the listing can be found; a feed may name its next page itself (RFC 5005)."""
    return bool(definition.list.next or _page_placeholders(definition)) or definition.platform == "feed"


def with_pages(definition: Definition, pages: int, stop: Literal["seen", "empty"] | None = None) -> Definition:
    """The definition with another maximum number of pages of the listing, and another rule where to stop, if given.

    A listing of one page stays as it is.
    """
    if not _may_have_pages(definition):
        return definition
    rules = definition.list.pages or Pages()
    changed = rules.model_copy(update={"max": pages, "stop": stop or rules.stop})
    listing = definition.list.model_copy(update={"pages": changed})
    return definition.model_copy(update={"list": listing})


def feed_url(definition: Definition) -> str:
    """Address of the feed of replies; '' if the definition has none."""
    if definition.feed is None:
        return ""
    known = origins(definition)
    return fill_placeholders(definition.feed.url, {"host": known[0] if known else ""})


def page_url(definition: Definition, page: int, *, host: str = "", since: str = "", cursor: str = "") -> str:
    """Address of a page of the listing, counted from 1 whatever number the site gives its first page.

    The values of all placeholders except {host} are percent-encoded.
    """
    pages = definition.list.pages
    start, step = (pages.start, pages.step) if pages else (1, 1)
    known = origins(definition)
    values = {
        "page": str(start + page - 1),
        "offset": str((page - 1) * step),
        "since": quote(since, safe=""),
        "cursor": quote(cursor, safe=""),
        "host": host or (known[0] if known else ""),
    }
    return fill_placeholders(definition.list.url or definition.url, values)
