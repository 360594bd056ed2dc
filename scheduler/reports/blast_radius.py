"""Estimates from the sighted canaries of each client how much of its data has been published.

Plain functions on values. `data.store.sightings` knows which canaries were sighted, `data.case.watchlist` which are
enrolled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.lineage.probability import share_bounds
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
    owners = {bundle["id"]: bundle["client"] for bundle in bundles}
    for each in sightings:
        seen[each.bundle] = merge_bitmaps(seen.get(each.bundle, b""), each.canaries)
        places.setdefault(owners.setdefault(each.bundle, each.bundle), []).append(each)
    found = []
    for client in sorted({*clients, *places}):
        mine = [bundle for bundle in bundles if bundle["client"] == client]
        active = [bundle for bundle in mine if not bundle["retired"]]
        tagged = sum(int(bundle["canaries"]) for bundle in active)
        sighted = sum(count_canaries(seen.get(bundle["id"], b"")) for bundle in active)
        sighted_ever = sum(count_canaries(bitmap) for bundle, bitmap in seen.items() if owners[bundle] == client)
        here = places.get(client, [])
        found.append(
            BlastRadius(
                client,
                next((str(bundle["name"]) for bundle in reversed(mine) if bundle["name"]), client),
                tagged,
                sighted,
                sighted_ever - sighted,
                share_bounds(sighted, tagged) if tagged else None,
                min((each.first for each in here), key=lambda place: place.at, default=None),
                max((each.last for each in here), key=lambda place: place.at, default=None),
            )
        )
    return sorted(found, key=lambda radius: (-radius.sighted, -radius.sighted_retired, radius.client))
