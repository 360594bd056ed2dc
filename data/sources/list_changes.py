"""What changed in a list of sites since it was read last: new, gone and returned sites, and sites that moved. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from data.sources.discovery_lists import ListedSite

Change = Literal["new", "gone", "back", "moved"]
# Titles that many sites share prove no relation.
_SHARED = 3


@dataclass(frozen=True, slots=True)
class KnownSite:
    """An address as the list had it when it was last seen there.

    Attributes:
        site: what the list said. first, last: days on which an import first and last saw it. gone: the list no longer
            names it, or says that it is offline.
    """

    site: ListedSite
    first: str
    last: str
    gone: bool

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        site = self.site
        keys = {"name": site.name, "address": site.address, "online": site.online}
        return {
            **keys, "title": site.title, "favicon": site.favicon, "first": self.first, "last": self.last,
            "gone": self.gone,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> KnownSite:
        """The inverse of `to_json`; raises KeyError."""
        site = ListedSite(value["name"], value["address"], value["online"], value["title"], value["favicon"])
        return cls(site, value["first"], value["last"], value["gone"])


@dataclass(frozen=True, slots=True)
class SiteChange:
    """One change of a list.

    Attributes:
        kind: what happened. site: the address, for `moved` the one that is gone.
        to: for `moved`, the new address. why: for `moved`, what both have in common.
    """

    kind: Change
    site: ListedSite
    to: str = ""
    why: str = ""

    def sentence(self) -> str:
        """The change in words for people."""
        site = self.site
        if self.kind == "moved":
            return f"{site.name} moved from {site.address} to {self.to}: {self.why}"
        if self.kind == "new":
            return f"{site.name} is new: {site.address}" + (" (offline)" if site.online is False else "")
        if self.kind == "back":
            return f"{site.name} came back: {site.address}"
        return f"{site.name} is gone: {site.address}" + (
            " (offline)" if site.online is False else " (no longer listed)"
        )


def compare(
    known: Sequence[KnownSite], listed: Iterable[ListedSite], day: str
) -> tuple[list[SiteChange], list[KnownSite]]:
    """The changes, and what is known after this reading of the list.

    An address that is gone and a new one of the same site are one move, if the list gives both the same icon or the same
    title, or if it names each site only once. A list that gives neither tells only that one is gone and one is new.

    Args:
        known: from the last reading; empty for the first one.
        listed: now.
        day: of this reading, ISO 8601.
    """
    before = {(each.site.name.casefold(), each.site.address): each for each in known}
    now = {(site.name.casefold(), site.address): site for site in listed}
    after: list[KnownSite] = []
    new: list[ListedSite] = []
    gone: list[ListedSite] = []
    changes: list[SiteChange] = []
    for key, site in now.items():
        old = before.get(key)
        is_gone = site.online is False
        if old is None:
            new.append(site)
        elif old.gone and not is_gone:
            changes.append(SiteChange("back", site))
        elif is_gone and not old.gone:
            gone.append(_with_marks(site, old.site))
        kept = site if old is None else _with_marks(site, old.site)
        after.append(KnownSite(kept, old.first if old else day, day, is_gone))
    for key, old in before.items():
        if key not in now:
            if not old.gone:
                gone.append(replace(old.site, online=None))
            after.append(KnownSite(old.site, old.first, old.last, gone=True))
    moved, new, gone = _moves(new, gone, now.values())
    order = [*moved, *changes, *(SiteChange("new", each) for each in new), *(SiteChange("gone", each) for each in gone)]
    return order, after


def _with_marks(site: ListedSite, old: ListedSite) -> ListedSite:
    """A site that is offline shows no title of its own any more: the marks that it had are kept."""
    if site.online is False or not site.title:
        return replace(site, title=old.title or site.title, favicon=old.favicon or site.favicon)
    return replace(site, favicon=site.favicon or old.favicon)


def _moves(
    new: Sequence[ListedSite], gone: Sequence[ListedSite], listed: Iterable[ListedSite]
) -> tuple[list[SiteChange], list[ListedSite], list[ListedSite]]:
    """The moves among new and gone addresses, and those that are none."""
    names_of: defaultdict[str, set[str]] = defaultdict(set)
    for site in (*listed, *gone):
        for mark in (site.title, site.favicon):
            names_of[mark].add(site.name.casefold())
    moves: list[SiteChange] = []
    free = [site for site in new if site.online is not False]
    left: list[ListedSite] = []
    for old in gone:
        best = max(free, key=lambda site: _likeness(old, site, names_of), default=None)
        if best is None or not (likeness := _likeness(old, best, names_of)):
            left.append(old)
            continue
        free.remove(best)
        moves.append(SiteChange("moved", old, best.address, _REASONS[likeness]))
    to = {move.to for move in moves}
    return moves, [site for site in new if site.address not in to], left


_REASONS = {4: "same favicon and title", 3: "same favicon", 2: "same name and title", 1: "same name"}


def _likeness(old: ListedSite, new: ListedSite, names_of: Mapping[str, set[str]]) -> int:
    """How much an address that is gone and a new one have in common, 0 for nothing that proves anything."""
    same_name = old.name.casefold() == new.name.casefold()
    title = bool(old.title) and old.title == new.title and (same_name or len(names_of[old.title]) <= _SHARED)
    icon = bool(old.favicon) and old.favicon == new.favicon and (same_name or len(names_of[old.favicon]) <= _SHARED)
    if icon:
        return 4 if title else 3
    if not same_name:
        return 0
    return 2 if title else 1
