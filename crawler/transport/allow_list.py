"""The allow-list: one function through which every request of a crawl goes before any look-up or connection."""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from scrapy.exceptions import IgnoreRequest

from data.errors import AddressRefused

PORTS = {"http": 80, "https": 443}


class Refused(AddressRefused, IgnoreRequest):
    """A request that is not made; Scrapy drops it without retrying, and hands it to the request's errback.

    Attributes:
        host: host (and port) that would have been contacted, for a person; '' where the address names none.
    """

    def __init__(self, message: str, *, host: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.host = host


def canonical(url: str) -> tuple[str, int]:
    """The (host, port) that a request for the address would contact.

    Lower case, international names as punycode, no trailing dot, IPv4 in any of the forms that the system's
    resolver understands (decimal, octal, hexadecimal, short) as four numbers, IPv6 compressed.

    Raises:
        Refused: another scheme than http and https, a user name, no host, or nothing that could be one.
    """
    if any(char <= " " or char in '\\"<>^`{|}\x7f' for char in url):
        raise Refused("the address holds characters that no address may hold")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Refused("the address cannot be understood") from error
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        raise Refused(f"the scheme '{scheme}' is never used" if scheme.isalnum() else "the address names no scheme")
    if "@" in parts.netloc:
        raise Refused("an address with a user name is never used")
    if port == 0 or not host:
        raise Refused("the address names no host")
    return _host(host), PORTS[scheme] if port is None else port


def _host(host: str) -> str:
    if ":" in host:
        try:
            return IPv6Address(host).compressed
        except ValueError as error:
            raise Refused("the address names no host") from error
    name = host.lower()
    if not name.isascii():
        try:
            # as Scrapy and `data.sources.definition` write such names
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise Refused("the host name has no valid international form") from error
    name = name.removesuffix(".")
    if not name or "%" in name or ".." in name or name.startswith("."):
        raise Refused("the address names no host")
    last = name.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        try:
            return socket.inet_ntoa(socket.inet_aton(name))
        except OSError as error:
            raise Refused("the address names no host") from error
    return name


def check(url: str, allowed: Collection[tuple[str, int]], *, onion: bool = False) -> None:
    """Return if the address may be requested.

    Args:
        url: as it would be requested.
        allowed: (host, port) pairs as `data.sources.definition.source_hosts` gives them.
        onion: the road leads over Tor; else a .onion name is refused before anybody is asked for it.

    Raises:
        Refused: it may not.
    """
    host, port = canonical(url)
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if host.endswith(".onion") and not onion:
        raise Refused("a .onion address is reached over Tor only", host=shown, hint="write  via: tor")
    if (host, port) not in allowed:
        raise Refused(
            f"{shown} is not declared by this source",
            host=shown,
            hint="if it belongs to the source, add it to `hosts` in the source file",
        )
