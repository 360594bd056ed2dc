"""The figures of one client in an incident, without a word of the others: people, records, what was in the rows, minors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scheduler.reports.leak_posts import LeakGraph, LeakPost

Bounds = tuple[int, int]
SIZE_CLASSES = ((0, 5), (6, 50), (51, 300), (301, 5000), (5001, None))
"""The classes of the number of people in the open data of the CNIL; the last one has no end."""


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """What is known of one client.

    Attributes:
        client: its id. name: its display name.
        tagged, sighted: canaries on the watch-list, and those that were seen; retired ones are not among them.
        retired: canaries that were seen and are no longer on the watch-list.
        invented: planted canaries among all, active and retired; so many of the people recognised may be invented.
        share: bounds of the share of its data that is published; None if no canary is tagged.
        planted: whether its canaries are invented people, which are counted, but are not its patients.
        people: bounds for the number of its people whose data is out; None if that cannot be said (planted canaries, none).
        records: bounds for the records that were recognised: the most in one post, and the sum over all that are no copies.
        posts: that hold data of it. copies: how many of them repeat what was known.
        first, last: when its data was first and last seen, aware UTC; None if never.
        data: kind of value -> bounds for the number of recognised people in whose rows it stands (`minor`: a birth date
            of somebody under 18); None if no finding counted that.
        uncounted: posts that were examined before this was counted, or some of whose people were only found in unread bytes.
    """

    client: str
    name: str
    tagged: int
    sighted: int
    retired: int
    invented: int
    share: tuple[float, float] | None
    planted: bool
    people: Bounds | None
    records: Bounds
    posts: tuple[LeakPost, ...]
    copies: int
    first: datetime | None
    last: datetime | None
    data: Mapping[str, Bounds] | None
    uncounted: int

    @property
    def size_classes(self) -> tuple[tuple[int, int | None], ...]:
        """The classes in which the number of people may lie; none if it is not known."""
        if self.people is None:
            return ()
        low, high = self.people
        return tuple((begin, end) for begin, end in SIZE_CLASSES if begin <= high and (end is None or low <= end))

    def count(self, kind: str) -> int:
        """The least number of the client's people of a kind of value; 0 if none, not counted, or they may be invented."""
        return max(0, (self.data or {}).get(kind, (0, 0))[0] - self.invented)

    @property
    def is_cut(self) -> bool:
        """Whether a post with data of the client was not examined to its end, so that all numbers may be higher."""
        return any(not post.complete for post in self.posts)

    @property
    def has_notes(self) -> bool:
        """Whether free text stands in a row of somebody who was recognised, an invented person among them."""
        return (self.data or {}).get("note", (0, 0))[0] > 0

    def to_report(self) -> dict[str, int]:
        """The numbers that are recorded when the report is handed over; none about people if the canaries are invented."""
        found = {"canaries": self.sighted, "posts": len({post.post for post in self.posts})}
        if self.people is None:
            return found
        return found | {
            "people_low": self.people[0], "people_high": self.people[1],
            "records_low": self.records[0], "records_high": self.records[1],
            "minors": self.count("minor"), "notes": self.count("note"),
        }  # fmt: skip


def client_figures(radius: Mapping[str, Any], graph: LeakGraph, bundles: Sequence[Mapping[str, Any]]) -> ClientFigures:
    """The figures of one client.

    Args:
        radius: its entry of `blast_radius` in `incident show --json`.
        graph: the posts of the incident.
        bundles: as `data.watchlist.manifest.imported_bundles` returns them.
    """
    client, tagged, sighted = radius["client"], radius["tagged"], radius["sighted"]
    posts = tuple(post for post in graph.posts if client in post.hits)
    own = [each for each in bundles if each["client"] == client]
    retired, invented = radius["sighted_retired"], sum(int(each["canaries"]) for each in own if each.get("planted"))
    real = sum(int(each["canaries"]) for each in own if not each.get("planted") and not each["retired"])
    planted = bool(own) and all(each.get("planted") for each in own if not each["retired"] or not tagged)
    people = None
    if real:
        # a retired canary is a person as well, perhaps one who is tagged anew; planted ones are nobody
        least = max(0, max(sighted, retired) - invented)
        people = (least, max(least, math.ceil(radius["share"][1] * real)) + retired)
    hits = [(post, post.hits[client]) for post in posts]
    # the same person may stand in several posts: the most in one is certain, the sum of all but copies is the most possible
    records = max((hit.records for _, hit in hits), default=0)
    most = sum(hit.records for post, hit in hits if not post.is_known)
    counted = [(post, hit.data) for post, hit in hits if hit.data is not None]
    data: dict[str, Bounds] = {}
    for kind in sorted({kind for _, each in counted for kind in each}):
        high = sum(each.get(kind, 0) for post, each in counted if not post.is_known)
        low = max(each.get(kind, 0) for _, each in counted)
        data[kind] = (low, max(low, high))
    return ClientFigures(
        client=client,
        name=radius["name"] or client,
        tagged=tagged,
        sighted=sighted,
        retired=retired,
        invented=invented,
        share=radius["share"],
        planted=planted,
        people=people,
        records=(max(0, records - invented), max(records, most)),
        posts=posts,
        copies=sum(post.is_known for post in posts),
        first=datetime.fromisoformat(radius["first"]["at"]) if radius["first"] else None,
        last=datetime.fromisoformat(radius["last"]["at"]) if radius["last"] else None,
        data=data if counted else None,
        uncounted=sum(hit.data is None or hit.records > max(hit.data.values(), default=0) for _, hit in hits),
    )
