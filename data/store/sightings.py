"""Which canaries of each bundle were sighted at each source, and what was seen that later canaries are compared with.

Sightings belong to a source, not to an incident, because the incident may be declared after its data was seen. They are
stored in the transaction of their finding. `data.case.incidents` gives the sources of an incident.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
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


# What is found later in a post that was seen earlier may be the first sighting, and is not the last one.
_FIRST_OR_LAST = ", ".join(
    f"{when}_{what} = case when excluded.{when}_seen {is_so} {when}_seen then excluded.{when}_{what} else {when}_{what} end"
    for when, is_so in (("first", "<"), ("last", ">="))
    for what in ("seen", "post", "address")
)


class Sightings:
    """The sightings in table `sighting`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, source: str, post: str, address: str, findings: Sequence[Finding], now: datetime) -> None:
        """Add the canaries of a post's findings; call it in the transaction that stores the findings."""
        sets = (canary_bitmaps.decode_bitmaps(each.sighted) for each in findings)
        for bundle, bitmap in canary_bitmaps.merge_bitmap_sets(sets).items():
            self._add(bundle, bitmap, source, (stamp(now), post, address))

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

    def add_bitmaps(self, place: SightedPost, bitmaps: Mapping[str, bytes]) -> None:
        """Add canaries, by bundle, that are known to stand in a post that was examined before they were enrolled."""
        for bundle, bitmap in bitmaps.items():
            self._add(bundle, bitmap, place.source, (stamp(place.at), place.post, place.address))

    def _add(self, bundle: str, bitmap: bytes, source: str, place: tuple[str, str, str]) -> None:
        old = self._database.first_row("select canaries from sighting where source = ? and bundle = ?", source, bundle)
        union = bitmap if old is None else canary_bitmaps.merge_bitmaps(zlib.decompress(old["canaries"]), bitmap)
        self._database.execute(
            "insert into sighting values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (source, bundle) do update set"  # noqa: S608 - fixed text
            f" canaries = excluded.canaries, {_FIRST_OR_LAST}",
            (source, bundle, zlib.compress(union), *place, *place),
        )


@dataclass(frozen=True, slots=True)
class SeenSample:
    """The sealed tags of one sample, and where and when it was seen."""

    place: SightedPost
    sealed: bytes


class SeenSamples:
    """The samples in table `seen`: what they held is compared with canaries that are enrolled later."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, source: str, post: str, address: str, sealed: Sequence[bytes], now: datetime, *, partial: bool = False
    ) -> None:
        """Keep the sealed tags of the samples of a post; call it in its transaction.

        They take the place of earlier ones, unless the reading was `partial`: then the other parts of the post, such as
        earlier pages of a thread, were not read again.
        """
        if not sealed:
            return
        if not partial:
            self._database.execute("delete from seen where post = ?", (post,))
        [last] = self._database.rows("select coalesce(max(number), -1) as number from seen where post = ?", post)
        self._database.execute_many(
            "insert into seen values (?, ?, ?, ?, ?, ?)",
            [
                (post, number, source, address, stamp(now), each)
                for number, each in enumerate(sealed, last["number"] + 1)
            ],
        )

    def expire(self, before: datetime, max_bytes: int) -> int:
        """Delete samples that were seen before a time, and the oldest ones beyond a total size; returns how many."""
        with self._database.transaction():
            gone = self._database.execute("delete from seen where at < ?", (stamp(before),)).rowcount
            return (
                gone
                + self._database.execute(
                    "delete from seen where rowid in (select rowid from (select rowid, sum(length(sealed)) over"
                    " (order by at desc, rowid desc) as total from seen) where total > ?)",
                    (max_bytes,),
                ).rowcount
            )

    def all(self) -> Iterator[SeenSample]:
        """All samples, one by one, oldest first."""
        rows = self._database.rows("select rowid from seen order by at, rowid")
        for row in rows:
            found = self._database.first_row("select * from seen where rowid = ?", row["rowid"])
            if found is not None:
                at = datetime.fromisoformat(found["at"])
                yield SeenSample(SightedPost(at, found["source"], found["post"], found["address"]), found["sealed"])

    def since(self) -> datetime | None:
        """When the oldest sample that is kept was seen; None if there is none."""
        row = self._database.first_row("select min(at) as at from seen")
        return datetime.fromisoformat(row["at"]) if row and row["at"] else None
