"""The addresses of a source: checked, filled in, and the allow-list that they make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from data.sources.selector_rules import FieldError, nearest

if TYPE_CHECKING:
    from data.sources.definition import Definition

PLACEHOLDERS = ("page", "offset", "since", "cursor", "host")
ITEM_PLACEHOLDERS = ("link", "id", "raw", "host")
_PORTS = {"http": 80, "https": 443}
HOLE = re.compile(r"\{([^{}]*)\}")


def check_address(field: str, url: str, known: Iterable[str]) -> None:
    """Raise FieldError unless it is an address of http or https, or empty, with known placeholders at most."""
    if not url:
        return
    for hole in HOLE.findall(url):
        if hole not in known:
            raise FieldError(field, f"no such placeholder: {{{hole}}}{nearest(hole, known)}")
    if url.startswith(("{host}", "{link}", "{raw}")):
        return
    try:
        parts = urlsplit(HOLE.sub("0", url))
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise FieldError(field, f"not an address: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise FieldError(field, "write a whole address beginning with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise FieldError(field, "an address carries no user name or password")
    if "{" in re.sub(r"^[a-z]+://|[/?#].*$", "", url, flags=re.DOTALL):
        raise FieldError(field, "the host is fixed; mirrors stand in `hosts`, and {host} is all of scheme://host")


def check_host(field: str, text: str) -> None:
    """Raise FieldError unless it is `host`, `host:port` or `scheme://host:port`."""
    try:
        pairs = _host_pairs(text)
    except ValueError as error:
        raise FieldError(field, f"not a host: {error}") from error
    if not all(host and re.fullmatch(r"[\w.:-]+", host) for host, _ in pairs):
        raise FieldError(field, "write host, host:port or scheme://host:port; patterns are not allowed")


def _host_pairs(text: str) -> frozenset[tuple[str, int]]:
    """The (host, port) pairs of an address or of `host[:port]`; a bare host stands for ports 80 and 443."""
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme not in _PORTS:
            raise ValueError("only http and https are used")
        return frozenset({(_ascii_host(parts.hostname or ""), parts.port or _PORTS[parts.scheme])})
    parts = urlsplit("//" + text)
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("a host has no path and no user")
    host = _ascii_host(parts.hostname or "")
    return frozenset((host, port) for port in ([parts.port] if parts.port else _PORTS.values()))


def _ascii_host(host: str) -> str:
    """The name as it stands in requests: lower case, punycode, no trailing dot."""
    host = host.rstrip(".").lower()
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("the host name has no valid international form") from error


def source_hosts(definition: Definition) -> frozenset[tuple[str, int]]:
    """The allow-list of a source: (host, port) of its addresses and of `hosts`; lower case, punycode."""
    pairs: set[tuple[str, int]] = set()
    addresses = [definition.url, definition.list.url, definition.item.url if definition.item else ""]
    addresses.append(definition.raw.url if definition.raw else "")
    for address in addresses:
        if address.startswith(("http://", "https://")):
            pairs |= _host_pairs(HOLE.sub("0", address))
    for host in definition.hosts:
        pairs |= _host_pairs(host)
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


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its known holes filled in one pass, so that a value is never read as a template."""
    return HOLE.sub(lambda match: values.get(match[1], match[0]), template)
