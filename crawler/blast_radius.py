"""How much of each client's data is out, by its canaries: what was tagged, what was sighted, and what follows.

Pure; which canaries were sighted is `data.sighting_log`'s, which are enrolled `data.watchlist`'s.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.sighting_log import Place, Sighting
from data.sightings import count, union

CONFIDENCE = 0.95
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
    first: Place | None
    last: Place | None


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
        seen[each.bundle] = union(seen.get(each.bundle, b""), each.canaries)
        places.setdefault(owners.setdefault(each.bundle, each.bundle), []).append(each)
    found = []
    for client in sorted({*clients, *places}):
        mine = [bundle for bundle in bundles if bundle["client"] == client]
        active = [bundle for bundle in mine if not bundle["retired"]]
        tagged = sum(int(bundle["canaries"]) for bundle in active)
        sighted = sum(count(seen.get(bundle["id"], b"")) for bundle in active)
        every = sum(count(bitmap) for bundle, bitmap in seen.items() if owners[bundle] == client)
        here = places.get(client, [])
        found.append(
            Radius(
                client,
                next((str(bundle["name"]) for bundle in reversed(mine) if bundle["name"]), client),
                tagged,
                sighted,
                every - sighted,
                share_out(sighted, tagged) if tagged else None,
                min((each.first for each in here), key=lambda place: place.at, default=None),
                max((each.last for each in here), key=lambda place: place.at, default=None),
            )
        )
    return sorted(found, key=lambda radius: (-radius.sighted, -radius.sighted_retired, radius.client))


def share_out(sighted: int, tagged: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided bounds for the share of records that are out, when `sighted` of `tagged` canaries are.

    How many records the client has is not known, so the draw counts as one from a large whole. From a small one it
    says more (its tails are lighter), so the bounds hold there as well: they are too wide, never too narrow.

    Args:
        sighted: 0 to `tagged`. tagged: at least 1.
        tagged: likewise.
        confidence: that the truth lies between the bounds, at least.

    Source: Clopper and Pearson 1934; Hoeffding 1963, section 6, on draws without replacement.
    """
    if not 0 <= sighted <= tagged or tagged < 1:
        raise ValueError("of the tagged canaries, at least one, some or all or none are sighted")
    risk = (1 - confidence) / 2
    low = _quantile(risk, sighted, tagged - sighted + 1) if sighted else 0.0
    high = _quantile(1 - risk, sighted + 1, tagged - sighted) if sighted < tagged else 1.0
    return low, high


def _quantile(wanted: float, a: int, b: int) -> float:
    """Where the beta distribution reaches a probability."""
    low, high = 0.0, 1.0
    # 60 halvings: exact to the last digit that a float holds near any share that matters
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta(middle, a, b) < wanted else (low, middle)
    return (low + high) / 2


def _beta(x: float, a: int, b: int) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22), evaluated as Lentz does."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    # it takes about sqrt(max(a, b)) steps: 4,000 for 15 million canaries
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 + term * d, 1 + term / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1) < 1e-12:
            return front * value
    raise ArithmeticError("the bounds of a share could not be computed")
