"""Which canaries of each bundle were sighted at each source, first and last seen where and when.

A source and not an incident owns them: what an incident is about may be decided after its data was seen. They are kept
in the transaction of the finding that showed them; `data.case.incidents` says which sources an incident has.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from data.case import canary_bitmaps
from data.model import Finding
from data.store.connection import stamp
from data.store.crawl_log import CrawlLog


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when something was seen: source, keyed id of the post, its masked address ('' for a local file)."""

    at: datetime
    source: str
    post: str
    address: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """Canaries of one bundle at one source: a bitmap (`data.case.canary_bitmaps`), first and last seen."""

    bundle: str
    canaries: bytes
    first: Place
    last: Place


class SightingLog(CrawlLog):
    """What of the clients was seen."""

    def _note_sightings(self, source: str, post: str, address: str, findings: Sequence[Finding], now: datetime) -> None:
        """Add the canaries of a post's findings to those of its source; within the caller's transaction."""
        for bundle, bitmap in canary_bitmaps.unions(canary_bitmaps.unpacked(each.sighted) for each in findings).items():
            old = self._one("select canaries from sighting where source = ? and bundle = ?", source, bundle)
            whole = bitmap if old is None else canary_bitmaps.union(zlib.decompress(old["canaries"]), bitmap)
            place = (stamp(now), post, address)
            self.db.execute(
                "insert into sighting values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (source, bundle) do update set"
                " canaries = excluded.canaries, last_seen = excluded.last_seen, last_post = excluded.last_post,"
                " last_address = excluded.last_address",
                (source, bundle, zlib.compress(whole), *place, *place),
            )

    def sightings(self, sources: Collection[str] | None = None) -> list[Sighting]:
        """What was sighted at some sources, or at all of them, first seen first."""
        rows = self._rows("select * from sighting order by first_seen")
        return [
            Sighting(
                row["bundle"],
                zlib.decompress(row["canaries"]),
                *(
                    Place(
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
