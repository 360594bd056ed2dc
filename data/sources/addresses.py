"""The addresses of a source: checked, filled in, and the allow-list that they make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from data.sources.selector_rules import FieldError, nearest

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
        pairs = host_pairs(text)
    except ValueError as error:
        raise FieldError(field, f"not a host: {error}") from error
    if not all(host and re.fullmatch(r"[\w.:-]+", host) for host, _ in pairs):
        raise FieldError(field, "write host, host:port or scheme://host:port; patterns are not allowed")


def host_pairs(text: str) -> frozenset[tuple[str, int]]:
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


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its known holes filled in one pass, so that a value is never read as a template."""
    return HOLE.sub(lambda match: values.get(match[1], match[0]), template)
