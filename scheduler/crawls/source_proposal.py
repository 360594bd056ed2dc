"""Proposes a source file for an address: looks at its page, tries the proposals in turn, and keeps the first that reads posts."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import yaml

from crawler.process.control_frames import Proposed
from data.errors import SourceError
from data.settings.home import Home
from data.sources.definition import Definition
from data.sources.source_files import SourceFile, build_definition, parse_source
from scheduler.crawls.crawl_tally import HINTS
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.source_check import CheckResult, Report, check_definition, look_at

# Proposals for one page that are tried, each with up to five requests.
MAX_TRIED = 3
# Boards of a site that are named, if the address is none of them.
NAMED_BOARDS = 5


@dataclass(frozen=True, slots=True)
class Draft:
    """A source file that is not written yet.

    Attributes:
        file: its content. definition: what it means together with its platform.
        why: what the platform, or the rows, were recognised by.
        check: what a crawl would read.
        notes: sentences for the person who asked.
    """

    file: SourceFile
    definition: Definition
    why: str
    check: CheckResult
    notes: tuple[str, ...]


def draft_source(
    home: Home,
    url: str,
    *,
    name: str = "",
    tor: bool = False,
    taken: Collection[str] = (),
    report: Report | None = None,
) -> Draft:
    """A source file for the listing at an address, which was read by it just now; nothing is stored.

    Args:
        home: with the settings; it gets nothing.
        url: of a listing, as a person sees it in a browser.
        name: of the source; '' for one that is made of the host.
        tor: look over Tor; an onion address always is.
        taken: names that exist.
        report: is called with messages while the look waits for Tor.

    Raises:
        SourceError: the page cannot be read, or no posts were found on it.
        ConfigError, TorDown: as `check_definition`.
    """
    tor = tor or (urlsplit(url).hostname or "").endswith(".onion")
    name = name or _free_name(url, taken)
    looked = _source_file({"name": name, "platform": "declared", "url": url}, {"list": {"each": ["css:a"]}}, tor=tor)
    frame, end = look_at(home, build_definition(looked, {"list": {"fields": {"link": "css:a::attr(href)"}}}), report)
    if frame is None:
        raise SourceError(
            f"{url} cannot be read: {end.error or end.code}",
            hint=HINTS.get(end.code, "open it in a browser: is this the address of the listing?"),
        )
    notes = list(frame.notes)
    for proposal in frame.proposals[:MAX_TRIED]:
        if proposal.boards:
            boards = ", ".join(proposal.boards[:NAMED_BOARDS])
            more = f" and {len(proposal.boards) - NAMED_BOARDS} more" if proposal.boards[NAMED_BOARDS:] else ""
            notes.append(
                f"the page is one of {proposal.platform}, but no board; name one of its boards: {boards}{more}"
            )
            break
        try:
            file = _source_file(
                {"name": name, "platform": proposal.platform, "url": url, "every": "15m"}, _keys_of(proposal), tor=tor
            )
            definition = complete_definition(file)
        except SourceError as error:
            notes.append(f"{proposal.platform}: {error}")
            continue
        check = check_definition(home, definition, report)
        if check.posts or check.is_good:
            return Draft(file, definition, proposal.why, check, tuple(notes))
        notes.append(f"{proposal.platform} was tried, because {proposal.why}; it read no post (state {check.state})")
    raise SourceError(
        "; ".join([f"no posts were found on {url}", *notes]),
        hint="write the file by hand: docs/sources.md, `A site with its own markup`",
    )


def _keys_of(proposal: Proposed) -> dict[str, object]:
    """The keys that a look at a page may propose: how its rows are read, and nothing about hosts or robots.txt."""
    listing = proposal.keys.get("list")
    if not isinstance(listing, dict):
        return {}
    return {"list": {key: listing[key] for key in ("as", "each", "fields", "next", "pages") if key in listing}}


def _source_file(keys: dict[str, object], more: dict[str, object], *, tor: bool) -> SourceFile:
    if tor:
        keys = {**keys, "via": "tor"}
    text = yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=10_000)
    if more:
        text += yaml.safe_dump(more, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=None)
    return parse_source(text, f"{keys['name']}.yaml")


def _free_name(url: str, taken: Collection[str]) -> str:
    """A name made of the host and, if the address has one, of the last number in it."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        host = ""
    if not host:
        raise SourceError(f"{url} is no address", hint="write it completely, with https://")
    if host.endswith(".onion"):
        host = f"onion-{host[:10]}"
    number = re.findall(r"\d{1,6}", f"{parts.path}?{parts.query}")
    stem = re.sub(r"[^a-z0-9._-]", "-", host.lower())[:48].strip(".-_") or "source"
    name = f"{stem}-{number[-1]}" if number else stem
    free, at = name, 2
    while free in taken:
        free, at = f"{name}-{at}", at + 1
    return free
