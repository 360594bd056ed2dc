"""Which canaries of each bundle were sighted at each source, with the posts that first and last held one of them.

Sightings belong to a source, not to an incident, because the incident may be declared after its data was seen. They are
stored in the transaction of their finding. `data.case.incidents` gives the sources of an incident.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from data.case import canary_bitmaps
from data.model import Finding
from data.store.database import Database, stamp


@dataclass(frozen=True, slots=True)
class SightedPost:
    """The post in which canaries were sighted, and when.

    Attributes:
        at: aware UTC. source: name of the source. post: keyed id. address: masked address, '' for a local file.
    """

    at: datetime
    source: str
    post: str
    address: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """The canaries of one bundle that were sighted at one source.

    Attributes:
        bundle: id of the bundle. canaries: a bitmap (`data.case.canary_bitmaps`).
        first, last: the posts that first and last held one of them.
    """

    bundle: str
    canaries: bytes
    first: SightedPost
    last: SightedPost


class Sightings:
    """The sightings in table `sighting`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, source: str, post: str, address: str, findings: Sequence[Finding], now: datetime) -> None:
        """Add the canaries of a post's findings; call it in the transaction that stores the findings."""
        sets = (canary_bitmaps.decode_bitmaps(each.sighted) for each in findings)
        for bundle, bitmap in canary_bitmaps.merge_bitmap_sets(sets).items():
            old = self._database.first_row(
                "select canaries from sighting where source = ? and bundle = ?", source, bundle
            )
            union = bitmap if old is None else canary_bitmaps.merge_bitmaps(zlib.decompress(old["canaries"]), bitmap)
            place = (stamp(now), post, address)
            self._database.execute(
                "insert into sighting values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (source, bundle) do update set"
                " canaries = excluded.canaries, last_seen = excluded.last_seen, last_post = excluded.last_post,"
                " last_address = excluded.last_address",
                (source, bundle, zlib.compress(union), *place, *place),
            )

    def of_sources(self, sources: Collection[str] | None = None) -> list[Sighting]:
        """The sightings at some sources, or at all sources for None; the bundle that was sighted first comes first."""
        rows = self._database.rows("select * from sighting order by first_seen")
        return [
            Sighting(
                row["bundle"],
                zlib.decompress(row["canaries"]),
                *(
                    SightedPost(
                        datetime.fromisoformat(row[f"{when}_seen"]),
                        row["source"],
                        row[f"{when}_post"],
                        row[f"{when}_address"],
                    )
                    for when in ("first", "last")
                ),
            )
            for row in rows
            if sources is None or row["source"] in sources
        ]
