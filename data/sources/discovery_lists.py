"""Reads lists of sites that others keep: groups of RansomLook, ransomware.live or ransomwatch, deepdarkCTI's tables, CSV.

Pure functions on the text of a list. What a list says about a site is all that is known of it here: nothing is contacted.
Formats: `website/web/api/genericapi.py` of RansomLook (`/api/export/0`, `/api/group/NAME`), `groups.json` of
ransomware.live, and the tables of deepdarkCTI (`forum.md`, `ransomware_gang.md`, `telegram_threat_actors.md`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from data.errors import InputError

MAX_SITES = 100_000
_ADDRESS = re.compile(r"https?://[^\s|<>\"'`)\]]+", re.IGNORECASE)
_LINK = re.compile(r"\[([^\]]*)\]\(\s*(https?://[^)\s]+)\s*\)", re.IGNORECASE)
_BARE_ONION = re.compile(r"\b[a-z2-7]{16}(?:[a-z2-7]{40})?\.onion\b(?:/\S*)?", re.IGNORECASE)
_ONLINE = re.compile(r"\b(?:online|valid|up|active|alive|true|1|yes)\b", re.IGNORECASE)
_OFFLINE = re.compile(
    r"\b(?:offline|expired|down|dead|inactive|seized|closed|banned|deleted|removed|false|0|no)\b", re.IGNORECASE
)
# What lists add to a name to tell the addresses of one site apart.
_SIDE = re.compile(
    r"\s*\((?:[^()]*\b)?(?:dark|deep|surface|clear)?\s*(?:web)?(?:mirror|old|new|tor|dark|deep|surface|clear|onion|v[23]"
    r"|\d+)[^()]*\)\s*",
    re.IGNORECASE,
)
CHANNEL = re.compile(r"https?://(?:t|telegram)\.me/(?:s/)?([A-Za-z][A-Za-z0-9_]{3,31})/?")
"""The address of a Telegram channel that guests can read; the group is its name."""
# Private places: they have no page that a guest can read.
_INVITATION = re.compile(
    r"(?:t|telegram)\.me/(?:\+|joinchat/|c/\d)|discord(?:\.gg|\.com/invite|app\.com/invite)/", re.IGNORECASE
)
_COLUMNS = {
    "name": ("name", "group", "title of site", "forum", "market", "threat actor name", "site", "actor"),
    "address": ("address", "url", "link", "slug", "telegram", "website", "fqdn", "host", "onion"),
    "status": ("status", "state", "available", "online"),
    "title": ("title", "page title"),
    "favicon": ("favicon", "favicon_hash", "favicon hash", "favicon_mmh3"),
}


@dataclass(frozen=True, slots=True)
class ListedSite:
    """One address of a site, as a list names it.

    Attributes:
        name: of the site or group; several addresses of one name are one site.
        address: complete, with scheme.
        online: what the list says; None if it says nothing.
        title, favicon: digests of the title of the page, and of its icon, as the list has them; '' for none.
    """

    name: str
    address: str
    online: bool | None = None
    title: str = ""
    favicon: str = ""

    @property
    def is_private(self) -> bool:
        """Whether the address is an invitation, behind which nothing can be read without an account."""
        return bool(_INVITATION.search(self.address))


@dataclass(frozen=True, slots=True)
class DiscoveryList:
    """A list as it was read: its format, its sites, and how many of its rows have no address."""

    format: str
    sites: tuple[ListedSite, ...]
    without_address: int


def read_list(text: str) -> DiscoveryList:
    """The sites of a list; its format is recognised.

    Raises:
        InputError: the text is none of the known lists, or none of its rows names an address.
    """
    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped[:1] in ("{", "["):
        # a markdown list may begin with a link
        try:
            value = json.loads(stripped)
        except ValueError as error:
            if "|" not in stripped:
                raise InputError(f"the list is not valid JSON: {error}", hint="download it again") from error
        else:
            return _listed("groups in JSON", _groups(value))
    if sum(line.lstrip().startswith("|") for line in stripped.splitlines()) >= 2:
        return _listed("tables in Markdown", _markdown(stripped))
    return _listed("CSV", _csv(stripped))


def _listed(kind: str, rows: Iterable[tuple[str, str, bool | None, str, str] | None]) -> DiscoveryList:
    sites: dict[tuple[str, str], ListedSite] = {}
    without = 0
    for row in rows:
        address = _whole_address(row[1]) if row is not None else ""
        if row is None or not address:
            without += 1
            continue
        channel = CHANNEL.fullmatch(address)
        if channel:
            # lists name channels by what is in them ("Data Leaks"), so that many have one name
            row = (channel[1], row[1], row[2], row[3] or row[0], row[4])
        name = " ".join(_SIDE.sub(" ", row[0]).split())[:80] or urlsplit(address).hostname or ""
        site = ListedSite(name, address, row[2], _digest(row[3]), _digest(row[4]))
        old = sites.get((name.casefold(), address))
        # of two rows about the same address the one that says most
        if old is None or (old.online is None and site.online is not None) or (not old.title and site.title):
            sites[name.casefold(), address] = site
        if len(sites) > MAX_SITES:
            raise InputError(f"the list names more than {MAX_SITES:,} sites", hint="is it a list of sites?")
    if not sites:
        raise InputError(
            "no site was found in the list",
            hint="known are groups of RansomLook, ransomware.live and ransomwatch (JSON), tables of deepdarkCTI"
            " (Markdown), and CSV with the columns name, url, status, title, favicon",
        )
    return DiscoveryList(kind, tuple(sites.values()), without)


def _digest(text: str) -> str:
    """16 hex digits of a title or icon; '' for an empty one. The text itself may name a victim, and is not kept."""
    plain = " ".join(text.split()).casefold()
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()[:16] if plain else ""


def _whole_address(text: str) -> str:
    """A complete address in canonical form; '' if the text is none."""
    text = text.strip().rstrip(".,;")
    if not text:
        return ""
    if "://" not in text:
        text = f"http://{text}" if ".onion" in text.lower() else f"https://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return ""
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme.lower() not in ("http", "https") or not re.fullmatch(r"[\w-]+(?:\.[\w-]+)+", host):
        return ""
    authority = f"{host}:{port}" if port else host
    return urlunsplit((parts.scheme.lower(), authority, parts.path.rstrip("/"), parts.query, parts.fragment))


# --- JSON ------------------------------------------------------------------------------------------------------------


def _groups(value: Any) -> Iterator[tuple[str, str, bool | None, str, str] | None]:
    """Groups with their locations: a list of groups, groups by name, or one group with its posts."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], Mapping) and isinstance(value[1], list):
        # /api/group/NAME: the group, and its posts
        value = [value[0]]
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("groups", "data", "results") if isinstance(value.get(key), list)), value)
    if isinstance(value, Mapping):
        value = [
            {**group, "name": group.get("name") or name} for name, group in value.items() if isinstance(group, Mapping)
        ]
    for group in value if isinstance(value, list) else ():
        if not isinstance(group, Mapping) or group.get("private") is True:
            yield None
            continue
        name = _text(group, "name", "group", "group_name")
        places = group.get("locations") or group.get("urls") or [group]
        for place in places if isinstance(places, list) else ():
            if isinstance(place, str):
                yield name, place, None, "", ""
            elif isinstance(place, Mapping) and place.get("private") is not True:
                online = place.get("available", place.get("online", place.get("enabled")))
                address = _text(place, "slug", "url", "fqdn", "address", "link")
                icon = _text(place, "favicon", "favicon_hash", "favicon_mmh3")
                yield name, address, online if isinstance(online, bool) else None, _text(place, "title"), icon
            else:
                yield None


def _text(value: Mapping[str, Any], *names: str) -> str:
    return next((str(value[name]) for name in names if value.get(name) not in (None, "")), "")


# --- tables ----------------------------------------------------------------------------------------------------------


def _markdown(text: str) -> Iterator[tuple[str, str, bool | None, str, str] | None]:
    columns: dict[str, int] = {}
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            columns = {} if not line.strip() else columns
            continue
        # a bar within brackets belongs to a name
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if all(re.fullmatch(r":?-*:?", cell.replace(" ", "")) for cell in cells):
            continue
        found = _columns_of(cells)
        if found and not _address_in(line):
            columns = found
            continue
        yield _row_of(cells, columns)


def _csv(text: str) -> Iterator[tuple[str, str, bool | None, str, str] | None]:
    try:
        dialect: Any = csv.Sniffer().sniff(text[:8192], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    columns: dict[str, int] = {}
    for cells in csv.reader(io.StringIO(text), dialect):
        if not any(cell.strip() for cell in cells):
            continue
        if not columns and (found := _columns_of(cells)) and not _address_in(" ".join(cells)):
            columns = found
            continue
        yield _row_of([cell.strip() for cell in cells], columns)


def _columns_of(cells: Sequence[str]) -> dict[str, int]:
    """Which column holds what, by the words of a header; {} if the cells are no header."""
    words = [" ".join(cell.replace("*", "").lower().split()) for cell in cells]
    found = {}
    for role, names in _COLUMNS.items():
        place = next((words.index(name) for name in names if name in words), None)
        if place is not None:
            found[role] = place
    return found if found.keys() & {"name", "address"} else {}


def _row_of(cells: Sequence[str], columns: Mapping[str, int]) -> tuple[str, str, bool | None, str, str] | None:
    def cell(role: str) -> str:
        at = columns.get(role, -1)
        return cells[at] if 0 <= at < len(cells) else ""

    link = next((match for each in cells if (match := _LINK.search(each))), None)
    address = (link[2] if link else "") or _address_in(cell("address")) or cell("address")
    address = address or next((found for each in cells if (found := _address_in(each))), "")
    if not address:
        return None
    named = cell("name")
    if link:
        named = link[1] or named
    elif not named or _address_in(named):
        others = (each for each in cells if each and not _address_in(each) and not _is_status(each))
        named = next(others, "")
    status = cell("status") or next((each for each in cells if _is_status(each)), "")
    online = None if not status else False if _OFFLINE.search(status) else True if _ONLINE.search(status) else None
    return named, address, online, cell("title"), cell("favicon")


def _is_status(text: str) -> bool:
    """Whether a cell says nothing but whether a site answers."""
    plain = text.strip(" ()*")
    return len(plain) < 30 and bool(
        re.fullmatch(r"(?:currently\s+)?(?:online|offline|valid|expired|down|up|seized|private|active|inactive|dead)", plain, re.IGNORECASE)
    )  # fmt: skip


def _address_in(text: str) -> str:
    match = _ADDRESS.search(text) or _BARE_ONION.search(text)
    return match[0] if match else ""
