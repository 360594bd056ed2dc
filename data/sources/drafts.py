"""Drafts of source files for the sites of a list: one file a site in `sources/drafts/`, which nothing crawls.

Beside them lies what each list said when it was read last, `LIST.list.json`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from data.durable_files import replace_file
from data.errors import InputError
from data.sources.discovery_lists import CHANNEL, ListedSite
from data.sources.list_changes import KnownSite

FOLDER = "drafts"
# Addresses of one site that a draft names.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class ListMemory:
    """What a list said when it was read last.

    Attributes:
        sites: every address that it ever named.
        drafts: name of a site, case folded -> name of its draft. texts: name of a draft -> its text as it was written.
    """

    sites: tuple[KnownSite, ...] = ()
    drafts: Mapping[str, str] | None = None
    texts: Mapping[str, str] | None = None


def memory_path(sources: Path, name: str) -> Path:
    """The file about a list, below the folder of source files."""
    return sources / FOLDER / f"{name}.list.json"


def read_memory(sources: Path, name: str) -> ListMemory:
    """What is known of a list; an empty memory if it was never read.

    Raises:
        InputError: the file about it is damaged.
    """
    path = memory_path(sources, name)
    try:
        value = json.loads(path.read_text("utf-8"))
        sites = tuple(KnownSite.from_json(each) for each in value["sites"])
        return ListMemory(sites, dict(value["drafts"]), dict(value["texts"]))
    except FileNotFoundError:
        return ListMemory(drafts={}, texts={})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"what is known of the list {name} cannot be read", hint=f"delete {path}: all sites then count as new"
        ) from error


def write_memory(sources: Path, name: str, memory: ListMemory) -> None:
    """Keep what a list said; raises OSError."""
    value = {
        "sites": [site.to_json() for site in memory.sites],
        "drafts": dict(memory.drafts or {}),
        "texts": dict(memory.texts or {}),
    }
    path = memory_path(sources, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(path, [json.dumps(value, indent=1, ensure_ascii=False).encode()])


def sites_by_name(sites: Iterable[KnownSite]) -> dict[str, list[KnownSite]]:
    """The addresses of each site that can be read without an invitation, those that answer first."""
    found: defaultdict[str, list[KnownSite]] = defaultdict(list)
    for each in sites:
        if not each.site.is_private:
            found[each.site.name.casefold()].append(each)
    for addresses in found.values():
        addresses.sort(key=lambda each: (each.gone, each.site.online is not True, each.site.address))
    return found


def draft_name(site: str, taken: Iterable[str]) -> str:
    """A free name of a source for a site."""
    stem = re.sub(r"[^a-z0-9._-]+", "-", site.lower())[:48].strip(".-_") or "site"
    free, at, used = stem, 2, set(taken)
    while free in used:
        free, at = f"{stem}-{at}", at + 1
    return free


def draft_text(name: str, addresses: Sequence[KnownSite], list_name: str, platform_of: Callable[[str], str]) -> str:
    """The text of the draft for one site.

    Args:
        name: of the source.
        addresses: of the site, the best one first; at least one.
        list_name: of the list that names it.
        platform_of: the platform that an address shows by its form, '' for none.
    """
    site = addresses[0].site
    said = "online" if site.online else "offline" if site.online is False else "its state is not given"
    said = "no longer listed" if addresses[0].gone and site.online is not False else said
    lines = [f"# Draft: {_plain(site.name)}, from the list {list_name} ({said}). Nothing was contacted."]
    platform = platform_of(site.address)
    if not platform:
        lines += [
            "# Its software is not known. To look at it and write the source:",
            f"#   tocsin source new {site.address} --name {name}",
        ]
    else:
        lines.append(f"# To crawl it:  tocsin source enable {name}")
    mirrors = [each.site for each in addresses[1:] if not each.gone and _same_page(site, each.site)]
    others = [each.site.address for each in addresses[1:] if each.site not in mirrors]
    lines += [f"# also: {_plain(address)}" for address in others[:_NAMED]]
    channel = CHANNEL.fullmatch(site.address)
    url = f"https://t.me/s/{channel[1]}" if channel and platform else site.address
    lines += [f"name: {name}", f"platform: {platform or 'declared'}", f"url: {json.dumps(url)}"]
    hosts = sorted({_origin(each.address) for each in mirrors[:_NAMED]} - {_origin(site.address)})
    if hosts:
        lines.append(f"hosts: {json.dumps(hosts)}")
    if any(".onion" in each for each in (url, *hosts)):
        lines.append("via: tor")
    return "\n".join([*lines, "enabled: false", ""])


def _same_page(one: ListedSite, other: ListedSite) -> bool:
    return bool(one.title) and one.title == other.title and one.favicon == other.favicon


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _plain(text: str) -> str:
    """A text of a list on one line of a comment."""
    return "".join(char if char.isprintable() else "?" for char in text)[:200]
