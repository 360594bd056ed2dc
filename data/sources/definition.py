"""The definition of a source: everything that can be said about one watched place, as one frozen object.

Reading it from YAML is `data.sources.source_files`; what its selectors mean is `crawler.pages.extract`.
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
from pydantic import BeforeValidator, Field, model_validator

from data.settings.quantities import Size, Span
from data.sources.addresses import HOLE, ITEM_PLACEHOLDERS, PLACEHOLDERS, check_address, check_host, fill, host_pairs
from data.sources.definition_parts import (
    AbsentPart,
    BlockedPart,
    Follow,
    HealthPart,
    ItemPart,
    ListFields,
    ListPart,
    RawPart,
    Robots,
    as_rate,
    as_robots,
)
from data.sources.expression_checks import check_css, check_jmespath
from data.sources.selector_rules import FieldError, Part, Strings, nearest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


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
    rate: Annotated[float, BeforeValidator(as_rate, json_schema_input_type=str | float), Field(gt=0)] | None = None
    """Requests a second to one host, at most: `0.2/s`, `12/m`; without it the setting `crawl.rate`."""
    concurrency: Annotated[int, Field(ge=1, le=64)] | None = None
    """Requests in flight to one host; without it the setting `crawl.concurrency`."""
    timeout: Span | None = None
    """Longest wait for one answer; without it the setting `crawl.timeout`."""
    max_bytes: Size | None = None
    """Largest body that is read; without it the setting `crawl.max_bytes`."""
    charset: str = "auto"
    """`auto`: header, byte order mark, meta, else UTF-8 or Windows-1252; or the name of an encoding."""
    robots: Annotated[Robots, BeforeValidator(as_robots, json_schema_input_type=Literal["obey"] | Robots)] = Robots()
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


def source_hosts(definition: Definition) -> frozenset[tuple[str, int]]:
    """The allow-list of a source: (host, port) of its addresses and of `hosts`; lower case, punycode."""
    pairs: set[tuple[str, int]] = set()
    addresses = [definition.url, definition.list.url, definition.item.url if definition.item else ""]
    addresses.append(definition.raw.url if definition.raw else "")
    for address in addresses:
        if address.startswith(("http://", "https://")):
            pairs |= host_pairs(HOLE.sub("0", address))
    for host in definition.hosts:
        pairs |= host_pairs(host)
    return frozenset(pairs)


def origins(definition: Definition) -> tuple[str, ...]:
    """What {host} may stand for, the preferred one first: `scheme://host[:port]`."""
    found = [host if "://" in host else f"http://{host}" for host in definition.hosts]
    for address in (definition.list.url, definition.url):
        if address.startswith(("http://", "https://")):
            parts = urlsplit(address)
            found.insert(0, f"{parts.scheme}://{parts.netloc}")
    return tuple(dict.fromkeys(origin.rstrip("/") for origin in found))


def start_url(definition: Definition, now: datetime, host: str = "") -> str:
    """Address of the listing's first page.

    Args:
        definition: of the source.
        now: aware; {since} becomes `list.since` before it, in ISO 8601.
        host: one of `origins`, to read a mirror; '' for the first.
    """
    since = (now.astimezone(UTC) - definition.list.since).strftime("%Y-%m-%dT%H:%M:%SZ")
    return page_url(definition, 1, host=host, since=since)


def page_url(definition: Definition, page: int, *, host: str = "", since: str = "", cursor: str = "") -> str:
    """Address of a page of the listing, the first one being page 1 whatever its number; {host} alone is not quoted."""
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
    return fill(definition.list.url or definition.url, values)
