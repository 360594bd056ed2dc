"""The allow-list: every request of a crawl is checked here before any name lookup or connection."""

from __future__ import annotations

import socket
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from scrapy.exceptions import IgnoreRequest

from data.errors import AddressRefused

DEFAULT_PORTS = {"http": 80, "https": 443}


class RequestRefused(AddressRefused, IgnoreRequest):
    """Raised for a request that must not be made; Scrapy drops it without retrying and calls the request's errback.

    Attributes:
        host: host (and port) that the request would have contacted, for a person to read; '' if the address names none.
    """

    def __init__(self, message: str, *, host: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.host = host


# Each request is checked by the middleware, by the handler and for its pause. The cache is bounded: a site chooses
# the addresses.
@lru_cache(256)
def host_and_port(url: str) -> tuple[str, int]:
    """The (host, port) that a request for this address would contact.

    The host is in lower case and has no trailing dot. International names are written as punycode and IPv6 addresses
    in their compressed form. An IPv4 address in any form that the system's resolver understands (decimal, octal,
    hexadecimal, short) is written as four numbers.

    Raises:
        RequestRefused: the scheme is neither http nor https, the address holds a user name, or it has no valid host.
    """
    if any(char <= " " or char in '\\"<>^`{|}\x7f' for char in url):
        raise RequestRefused("the address contains characters that are not allowed in an address")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise RequestRefused("the address is not a valid URL") from error
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise RequestRefused(
            f"the scheme '{scheme}' is not allowed" if scheme.isalnum() else "the address has no scheme"
        )
    if "@" in parts.netloc:
        raise RequestRefused("an address with a user name is not allowed")
    if port == 0 or not host:
        raise RequestRefused("the address has no valid host")
    return _normal_host(host), DEFAULT_PORTS[scheme] if port is None else port


def _normal_host(host: str) -> str:
    if ":" in host:
        try:
            return IPv6Address(host).compressed
        except ValueError as error:
            raise RequestRefused("the address has no valid host") from error
    name = host.lower()
    if not name.isascii():
        try:
            # Scrapy and `data.sources.definition` write international names in the same way.
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise RequestRefused("the host name cannot be written as punycode") from error
    name = name.removesuffix(".")
    if not name or "%" in name or ".." in name or name.startswith("."):
        raise RequestRefused("the address has no valid host")
    last = name.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        try:
            return socket.inet_ntoa(socket.inet_aton(name))
        except OSError as error:
            raise RequestRefused("the address has no valid host") from error
    return name


def require_allowed(url: str, allowed: Collection[tuple[str, int]], *, over_tor: bool = False) -> None:
    """Return if the address may be requested, raise otherwise.

    Args:
        url: the address as it would be requested.
        allowed: (host, port) pairs as `data.sources.definition.source_hosts` returns them.
        over_tor: the request goes over Tor. Without Tor a .onion address is refused before any resolver sees the name.

    Raises:
        RequestRefused: the address may not be requested.
    """
    host, port = host_and_port(url)
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if host.endswith(".onion") and not over_tor:
        raise RequestRefused("a .onion address can only be reached over Tor", host=shown, hint="write  via: tor")
    if (host, port) not in allowed:
        raise RequestRefused(
            f"{shown} is not declared by this source",
            host=shown,
            hint="if it belongs to the source, add it to `hosts` in the source file",
        )
