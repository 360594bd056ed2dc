"""The addresses of a source: checking them, filling in placeholders, and the (host, port) pairs of the allow-list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from data.sources.selector_rules import FieldError, did_you_mean

PLACEHOLDERS = ("page", "offset", "since", "cursor", "host")
ITEM_PLACEHOLDERS = ("link", "id", "raw", "host", "page", "offset")
_PORTS = {"http": 80, "https": 443}
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check_address(field: str, url: str, known: Iterable[str]) -> None:
    """Raise FieldError unless `url` is empty, or an http or https address with only known placeholders."""
    if not url:
        return
    for name in PLACEHOLDER.findall(url):
        if name not in known:
            raise FieldError(field, f"unknown placeholder {{{name}}}{did_you_mean(name, known)}")
    if url.startswith(("{host}", "{link}", "{raw}")):
        return
    try:
        parts = urlsplit(PLACEHOLDER.sub("0", url))
        parts.port  # noqa: B018 - reading it checks the port
    except ValueError as error:
        raise FieldError(field, f"is not a valid address: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise FieldError(field, "write a complete address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise FieldError(field, "an address must not contain a user name or password")
    if "{" in re.sub(r"^[a-z]+://|[/?#].*$", "", url, flags=re.DOTALL):
        raise FieldError(
            field,
            "before the path only {host}, which replaces scheme://host, is allowed; list mirrors in `hosts`",
        )


def check_host(field: str, text: str) -> None:
    """Raise FieldError unless `text` is `host`, `host:port` or `scheme://host:port`."""
    try:
        pairs = host_pairs(text)
    except ValueError as error:
        raise FieldError(field, f"is not a valid host: {error}") from error
    if not all(host and re.fullmatch(r"[\w.:-]+", host) for host, _ in pairs):
        raise FieldError(field, "write host, host:port or scheme://host:port; patterns are not allowed")


def host_pairs(text: str) -> frozenset[tuple[str, int]]:
    """The (host, port) pairs of an address or of `host[:port]`; a host without port stands for ports 80 and 443.

    Raises:
        ValueError: the text is neither.
    """
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme not in _PORTS:
            raise ValueError("only http and https are supported")
        return frozenset({(_ascii_host(parts.hostname or ""), parts.port or _PORTS[parts.scheme])})
    parts = urlsplit("//" + text)
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("a host must not contain a path or a user name")
    host = _ascii_host(parts.hostname or "")
    return frozenset((host, port) for port in ([parts.port] if parts.port else _PORTS.values()))


def _ascii_host(host: str) -> str:
    """The host name as requests contain it: lower case, punycode, no trailing dot."""
    host = host.rstrip(".").lower()
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("the international host name cannot be encoded") from error


def place_in(url: str) -> str:
    """The part of an address after the host, at least `/`; its fragment is kept."""
    rest = re.sub(r"^[a-z]+://[^/?#]*", "", url, flags=re.IGNORECASE)
    return rest if rest.startswith("/") else "/" + rest


HOST_PATTERN, VALUE_PATTERN = r"[^/?#]*(?://[^/?#]*)?", r"[^/?#&;]*"
"""Expressions for what stands in an address for {host}, and for another placeholder, whose value is percent-encoded. With
`.*` for each, an address that a site chose would take time with a power of its length."""


def fill_placeholders(template: str, values: Mapping[str, str]) -> str:
    """The template with the placeholders of `values` replaced; placeholders within a value are not replaced."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)
