"""How much of each client's data is out, by its canaries: what was tagged, what was sighted, and what follows.

Pure; which canaries were sighted is `data.store.sightings`'s, which are enrolled `data.case.watchlist`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.lineage.probability import share_bounds
from data.case.canary_bitmaps import count_canaries, merge_bitmaps
from data.store.sightings import SightedPost, Sighting

ASSUMPTION = (
    "the canaries are a random draw of the client's records as they were when the data was taken;"
    " what was posted where nobody looked does not count as out"
)


@dataclass(frozen=True, slots=True)
class Radius:
    """The blast radius of one client.

    Attributes:
        tagged: canaries on the watch-list. sighted: distinct ones of them that were seen, however often.
        sighted_retired: distinct canaries that were seen and are on the watch-list no more; in no other number.
        share: bounds for the share of the client's data that is out, at `CONFIDENCE`; None where nothing is tagged.
        first, last: where one of its canaries was first and last seen; None where none was.
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
) -> list[Radius]:
    """The blast radius of each client, most of them sighted first, then by id.

    Args:
        bundles: as `Watchlist.bundles` gives them.
        sightings: of the sources in question.
        clients: ids of the clients that are asked for; one that was sighted is told all the same, under the
            id of its bundle where the watch-list knows that no more.
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
        every = sum(count_canaries(bitmap) for bundle, bitmap in seen.items() if owners[bundle] == client)
        here = places.get(client, [])
        found.append(
            Radius(
                client,
                next((str(bundle["name"]) for bundle in reversed(mine) if bundle["name"]), client),
                tagged,
                sighted,
                every - sighted,
                share_bounds(sighted, tagged) if tagged else None,
                min((each.first for each in here), key=lambda place: place.at, default=None),
                max((each.last for each in here), key=lambda place: place.at, default=None),
            )
        )
    return sorted(found, key=lambda radius: (-radius.sighted, -radius.sighted_retired, radius.client))
