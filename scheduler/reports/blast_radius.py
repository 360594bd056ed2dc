"""Estimates from the sighted canaries of each client how much of its data has been published.

Plain functions on values. `data.store.sightings` knows which canaries were sighted, `data.case.watchlist` which are
enrolled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crawler.lineage.probability import shares_bounds
from data.case.canary_bitmaps import count_canaries, merge_bitmaps
from data.store.sightings import SightedPost, Sighting

ASSUMPTION = (
    "the canaries are a random draw of the client's records as they were when the data was stolen;"
    " data that was posted where Tocsin does not watch is not counted"
)


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """The blast radius of one client.

    Attributes:
        tagged: number of canaries on the watch-list.
        sighted: number of distinct ones among them that were seen; a canary seen several times counts once.
        sighted_retired: number of distinct canaries that were seen and are no longer on the watch-list; they are in no
            other number.
        share: bounds at `CONFIDENCE` of the share of the client's data that is published; None if no canary is tagged.
        first, last: the posts in which a canary of the client was first and last seen; None if none was seen.
    """

    client: str
    name: str
    tagged: int
    sighted: int
    sighted_retired: int
    share: tuple[float, float] | None
    first: SightedPost | None
    last: SightedPost | None


def blast_radius(
    bundles: Sequence[Mapping[str, Any]], sightings: Sequence[Sighting], clients: Collection[str]
) -> list[BlastRadius]:
    """The blast radius of each client, in descending order of sighted canaries, then by id.

    Args:
        bundles: as `Watchlist.bundles` returns them.
        sightings: of the sources in question.
        clients: ids of the clients to report. A client whose canaries were sighted is reported even if it is not among
            them; if the watch-list no longer knows its bundle, the id of the bundle stands for the client.
    """
    seen: dict[str, bytes] = {}
    places: dict[str, list[Sighting]] = {}
    own: dict[str, list[Mapping[str, Any]]] = {}
    for bundle in bundles:
        own.setdefault(bundle["client"], []).append(bundle)
    owners = {bundle["id"]: bundle["client"] for bundle in bundles}
    for each in sightings:
        seen[each.bundle] = merge_bitmaps(seen.get(each.bundle, b""), each.canaries)
        places.setdefault(owners.setdefault(each.bundle, each.bundle), []).append(each)
    sighted_in = {bundle: count_canaries(bitmap) for bundle, bitmap in seen.items()}
    ever: Counter[str] = Counter()
    for identity, count in sighted_in.items():
        ever[owners[identity]] += count
    order = sorted({*clients, *places})
    active = {client: [each for each in own.get(client, ()) if not each["retired"]] for client in order}
    tagged = [sum(int(each["canaries"]) for each in active[client]) for client in order]
    sighted = [sum(sighted_in.get(each["id"], 0) for each in active[client]) for client in order]
    # the bounds of all clients at once: one after another they take seconds
    some = [number for number, canaries in enumerate(tagged) if canaries]
    low, high = shares_bounds(
        np.array([sighted[number] for number in some], np.int64),
        np.array([tagged[number] for number in some], np.int64),
    )
    shares = dict(zip(some, zip(low.tolist(), high.tolist(), strict=True), strict=True))
    found = [
        BlastRadius(
            client,
            next((str(each["name"]) for each in reversed(own.get(client, ())) if each["name"]), client),
            tagged[number],
            sighted[number],
            ever[client] - sighted[number],
            shares.get(number),
            min((each.first for each in places.get(client, ())), key=lambda place: place.at, default=None),
            max((each.last for each in places.get(client, ())), key=lambda place: place.at, default=None),
        )
        for number, client in enumerate(order)
    ]
    return sorted(found, key=lambda radius: (-radius.sighted, -radius.sighted_retired, radius.client))
