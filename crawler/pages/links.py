"""The links of a page, and which of them lead to files with data: pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from crawler.pages.html_text import decode, parse_html

PORTS = {"http": 80, "https": 443}
# Names under which dumps are offered: archives and parts of divided ones, tables, databases. Documents and pictures are
# left out, of which every site has its own.
_DATA_FILE = re.compile(
    r"[^/]+\.(?:7z|accdb|bak|bz2|csv|db|dmp|dump|gz|json|jsonl|mdb|ndjson|ods|parquet|rar|sql|sqlite3?|tar|tbz2?|tgz|tsv"
    r"|txt|txz|xlsb|xlsx?|xz|zip|zst|(?:7z|rar|zip)\.\d{3}|z\d\d|r\d\d)",
    re.IGNORECASE,
)
# Files of these names are of the site itself.
_OWN_FILE = re.compile(
    r"(?:ads|humans|robots|security|llms|licen[cs]e|readme|changelog|manifest|package(?:-lock)?|composer|feed|sitemap\w*)"
    r"\.(?:txt|json|gz)",
    re.IGNORECASE,
)
# What a page is made of.
_PART_OF_PAGE = re.compile(
    r"\.(?:avif|css|gif|ico|jpe?g|js|map|mp4|png|svg|ttf|webmanifest|webp|woff2?)$", re.IGNORECASE
)
_SHORTEST_ID = 4


def is_data_file(address: str) -> bool:
    """Whether an address ends in the name of an archive, a table or a database, in its path or in a value of its query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    values = [value for pair in re.split("[&;]", parts.query) for value in pair.split("=")[1:]] if parts.query else []
    names = [unquote(text).rpartition("/")[2] for text in (parts.path, *values)]
    return any(_DATA_FILE.fullmatch(name) and not _OWN_FILE.fullmatch(name) for name in names)


def may_be_post(address: str) -> bool:
    """Whether an address looks like that of one post: part of it is made by a program, with digits or mixed letters.

    Front pages, help pages, log-in pages and what pages are made of do not.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if _PART_OF_PAGE.search(parts.path):
        return False
    return any(
        len(word) >= _SHORTEST_ID and (any(map(str.isdigit, word)) or not (word.islower() or word[1:].islower()))
        for word in re.findall(r"[A-Za-z0-9]+", f"{parts.path} {parts.query} {parts.fragment}")
    )


def place_of(address: str) -> tuple[str, int] | None:
    """Host and port of an http or https address, the host as requests contain it; None for anything else."""
    try:
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme.lower(), 0)
        host = (parts.hostname or "").rstrip(".")
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError:
        return None
    return (host.lower(), port) if host and port and parts.scheme.lower() in PORTS else None


def links_of(root: Any, base: str) -> Iterator[str]:
    """The absolute http(s) addresses to which the anchors below an element lead, each once, with their fragments."""
    found: set[str] = set()
    for element in root.iter("a", "area"):
        try:
            link = urljoin(base, (element.get("href") or "").strip())
        except ValueError:
            continue
        if link.lower().startswith(("http://", "https://")) and link not in found:
            found.add(link)
            yield link


def links_of_page(body: bytes, url: str, *, charset: str = "auto", content_type: str = "") -> tuple[str, ...]:
    """The links of a page of markup; () for any other answer."""
    if "html" not in content_type.lower() and not re.match(rb"\s*<(?:!doctype html|html)", body[:512], re.IGNORECASE):
        return ()
    root, _ = parse_html(decode(body, charset, content_type))
    if root is None:
        return ()
    href = next((each.get("href") for each in root.iter("base") if each.get("href")), "")
    try:
        base = urljoin(url, href)
    except ValueError:
        base = url
    return tuple(links_of(root, base))
