"""Reads an operator's own cookies for a source: a browser's `cookies.txt`, a JSON export, or a Cookie header. Pure.

Values are never shown: `SiteCookie` leaves them out of its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from data.errors import ConfigError

MAX_FILE = 256 * 1024
_NETSCAPE_FIELDS = 7
_HTTP_ONLY = "#HttpOnly_"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-:<-~]*")
_HINT = "export the cookies of the site from your browser, as cookies.txt or JSON, or copy its Cookie header"


@dataclass(frozen=True, slots=True)
class SiteCookie:
    """One cookie.

    Attributes:
        domain: to which it is sent, and to all hosts below it if it begins with a dot; '' for all hosts of the source.
        path: below which it is sent. secure: over https alone.
        expires: Unix time; 0 for a cookie of the browser's session.
    """

    name: str
    value: str = field(repr=False)
    domain: str = ""
    path: str = "/"
    secure: bool = False
    expires: int = 0


def read_cookies(text: str) -> tuple[SiteCookie, ...]:
    """The cookies in a file; raises ConfigError, without a value in its words, if there are none or one is malformed."""
    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped[:1] in ("[", "{"):
        found = _of_json(stripped)
    elif "\t" in stripped:
        found = _of_netscape(stripped)
    else:
        found = _of_header(stripped)
    for at, cookie in enumerate(found):
        if not _NAME.fullmatch(cookie.name) or not _VALUE.fullmatch(cookie.value.strip('"')):
            raise ConfigError(f"cookie {at + 1} of the file is malformed", hint=_HINT)
    if not found:
        raise ConfigError("the file holds no cookie", hint=_HINT)
    return found


def _of_netscape(text: str) -> tuple[SiteCookie, ...]:
    found = []
    for line in text.splitlines():
        line = line.removeprefix(_HTTP_ONLY)
        fields = line.split("\t")
        if line.startswith("#") or len(fields) != _NETSCAPE_FIELDS:
            continue
        domain, below, path, secure, expires, name, value = fields
        domain = f".{domain.lstrip('.')}" if below.upper() == "TRUE" else domain.lstrip(".")
        found.append(SiteCookie(name, value, domain.lower(), path, secure.upper() == "TRUE", _seconds(expires)))
    return tuple(found)


def _of_json(text: str) -> tuple[SiteCookie, ...]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError("the file of cookies is not valid JSON", hint=_HINT) from error
    rows = value.get("cookies", ()) if isinstance(value, Mapping) else value
    found = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, Mapping) and row.get("name"):
            domain = str(row.get("domain") or "").lower()
            domain = domain.lstrip(".") if row.get("hostOnly") is True else domain
            expires = _seconds(row.get("expirationDate") or row.get("expires") or 0)
            path, secure = str(row.get("path") or "/"), row.get("secure") is True
            found.append(SiteCookie(str(row["name"]), str(row.get("value") or ""), domain, path, secure, expires))
    return tuple(found)


def _of_header(text: str) -> tuple[SiteCookie, ...]:
    header = re.sub(r"(?i)^\s*cookie:\s*", "", " ".join(text.split()))
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return tuple(SiteCookie(name.strip(), value.strip()) for name, equals, value in pairs if name and equals)


def _seconds(value: object) -> int:
    try:
        return max(0, int(float(str(value))))
    except (ValueError, OverflowError):
        return 0


def usable_cookies(cookies: Collection[SiteCookie], hosts: Collection[str], now: datetime) -> tuple[SiteCookie, ...]:
    """The cookies that have not expired and that hosts of the source receive; those without a domain are for each host.

    Args:
        cookies: of the file.
        hosts: that the source declares.
        now: aware.
    """
    found: list[SiteCookie] = []
    for cookie in cookies:
        if cookie.expires and cookie.expires <= now.timestamp():
            continue
        domain = cookie.domain.lstrip(".")
        below = cookie.domain.startswith(".")
        for host in sorted(hosts):
            if not domain:
                found.append(SiteCookie(cookie.name, cookie.value, host, cookie.path, cookie.secure))
            elif host == domain or (below and host.endswith(f".{domain}")):
                found.append(SiteCookie(cookie.name, cookie.value, host, cookie.path, cookie.secure, cookie.expires))
    return tuple(found)
