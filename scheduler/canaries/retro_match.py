"""Compares newly enrolled canaries with what was seen before: samples of the last weeks, and releases.

A match in a sample is exact to 64 bits. The sets of releases are truncated, so a client is reported only if chance cannot
explain the number of matches. No plaintext is at hand any more, so the second keyed digest cannot confirm a match.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crawler.alerts.events import build_event
from data.arrays.array_types import I64, U64, Bools
from data.case.bundle import BundleHeader, read_bundles
from data.case.canary_bitmaps import bitmaps_of_codes
from data.case.incidents import incident_of, read_incidents
from data.case.seen_tags import open_seen
from data.errors import WireError
from data.hashing.case_keys import Keys
from data.hashing.tags import Kind
from data.model import Event, EventKind, Severity
from data.plural import counted
from data.releases.known_releases import KnownReleases
from data.releases.stored_release import StoredRelease
from data.settings.home import Home
from data.store.sightings import SightedPost
from data.store.store import Store
from data.watchlist.manifest import read_manifest
from data.watchlist.segment import MAX_SHARING
from scheduler.delivery.routing import route_by

Bundles = Iterable[tuple[BundleHeader, NDArray[Any]]]

# Tags of a bundle that are compared at a time.
_CHUNK = 1_000_000
# A client is reported if chance would explain so many matches less often than this.
BY_CHANCE = 1e-6


@dataclass(slots=True)
class _Matches:
    """Matches of one sample or release: number of the bundle, number of the canary, kind and tag of each."""

    bundle: list[I64] = field(default_factory=list)
    canary: list[I64] = field(default_factory=list)
    kind: list[I64] = field(default_factory=list)
    tag: list[U64] = field(default_factory=list)
    source: list[I64] = field(default_factory=list)

    def add(self, bundle: int, records: NDArray[Any], source: I64 | None = None) -> None:
        if len(records):
            self.bundle.append(np.full(len(records), bundle, np.int64))
            self.canary.append(records["canary"].astype(np.int64))
            self.kind.append(records["kind"].astype(np.int64))
            self.tag.append(records["tag"].astype(np.uint64))
            self.source.append(np.zeros(len(records), np.int64) if source is None else source)

    def columns(self) -> tuple[I64, I64, I64, U64, I64]:
        """The columns without the tags that so many canaries share that they recognise nobody."""
        if not self.tag:
            none = np.zeros(0, np.int64)
            return none, none, none, np.zeros(0, np.uint64), none
        bundle, canary = np.concatenate(self.bundle), np.concatenate(self.canary)
        kind, tag, source = np.concatenate(self.kind), np.concatenate(self.tag), np.concatenate(self.source)
        owners = np.unique(np.stack([tag, (bundle << 32 | canary).astype(np.uint64)]), axis=1)[0]
        tags, sharing = np.unique(owners, return_counts=True)
        kept = ~np.isin(tag, tags[sharing > MAX_SHARING])
        return bundle[kept], canary[kept], kind[kept], tag[kept], source[kept]


@dataclass(frozen=True, slots=True)
class RetroMatch:
    """What newly enrolled canaries were found in.

    Attributes:
        events: one for each post or release. bitmaps: post -> the canaries in it by bundle (`data.case.canary_bitmaps`).
        bundles, samples, releases: how many were compared. since: when the oldest of the samples was seen, None for none.
        unreadable: samples that could not be opened, and so were not compared.
        notes: what could not be compared, as sentences.
    """

    events: tuple[Event, ...]
    bitmaps: Mapping[SightedPost, Mapping[str, bytes]]
    bundles: int
    samples: int
    releases: int
    since: datetime | None
    unreadable: int
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Samples:
    """The earlier samples.

    Attributes:
        places: the post of each, one for all samples of a post. matches: by the number of the place.
        tags, owners: of all samples, sorted by tag, each with the number of its place.
        compared, partial, unreadable: how many samples were compared, are kept in part only, and could not be opened.
    """

    places: list[SightedPost] = field(default_factory=list)
    matches: _Matches = field(default_factory=_Matches)
    tags: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    owners: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    compared: int = 0
    partial: int = 0
    unreadable: int = 0

    def match(self, number: int, records: NDArray[Any]) -> None:
        """Add what the samples hold of a bundle."""
        tags = self.tags
        for chunk in _chunks(records) if len(tags) else ():
            left = np.searchsorted(tags, chunk["tag"], "left")
            there: Bools = tags[np.minimum(left, len(tags) - 1)] == chunk["tag"]
            found, left = chunk[there], left[there]
            # one value may stand in several samples
            times = np.searchsorted(tags, found["tag"], "right") - left
            ends = np.cumsum(times)
            at = np.arange(times.sum()) - np.repeat(ends - times, times) + np.repeat(left, times)
            self.matches.add(number, np.repeat(found, times), self.owners[at])


@dataclass(slots=True)
class _InRelease:
    """The record keys of canaries that a release holds, and how many of each bundle chance would give.

    Its single values are not compared: too few bits of them are kept.
    """

    matches: _Matches = field(default_factory=_Matches)
    expected: dict[int, float] = field(default_factory=dict)

    def match(self, release: StoredRelease, number: int, records: NDArray[Any]) -> None:
        """Add what the release holds of a bundle."""
        self.expected[number] = 0.0
        for chunk in _chunks(records):
            for kind, tags in release.sets.items():
                of_kind = chunk[chunk["kind"] == int(kind)]
                self.expected[number] += len(of_kind) * release.false_positive_rate(kind)
                self.matches.add(number, of_kind[tags.lookup(of_kind["tag"].astype(np.uint64))])


def active_bundles(home: Home, keys: Keys, paths: Iterable[Path]) -> Iterator[tuple[BundleHeader, NDArray[Any]]]:
    """The bundles of some files that were imported and are not retired, each once; one at a time is in memory."""
    passed_over = {each["id"] for each in read_manifest(home.watchlist_dir, keys.case).bundles if each["retired"]}
    for path in paths:
        for header, records in read_bundles(path, keys.case, keys.bundle):
            if header.bundle not in passed_over:
                passed_over.add(header.bundle)
                yield header, records


def match_back(
    home: Home, store: Store, keys: Keys, bundles: Bundles, now: datetime, *, enrolled_before: Collection[str] = ()
) -> RetroMatch:
    """Compare canaries with all samples and releases of a home.

    Args:
        home: whose releases are compared.
        store: of the home.
        keys: of its case.
        bundles: header and records of each bundle; read once.
        now: aware UTC.
        enrolled_before: ids of those of them that were on the watch-list before. Their canaries that were sighted at a
            source already are not told about that source again.

    Raises:
        StoreError: a release is damaged.
    """
    notes: list[str] = []
    events: list[Event] = []
    bitmaps: dict[SightedPost, Mapping[str, bytes]] = {}
    incidents = read_incidents(home.path)
    releases = KnownReleases.open(home.releases_dir, keys.case)
    samples = _open_samples(store, keys.post)
    of_release = {name: _InRelease() for name in releases.active}
    headers: list[BundleHeader] = []
    for number, (header, records) in enumerate(bundles):
        headers.append(header)
        samples.match(number, records)
        for name, release in releases.active.items():
            of_release[name].match(release, number, records)
    untold = _untold(store, headers, enrolled_before)

    def event(
        place: SightedPost, bundle: I64, canary: I64, kind: I64, *, severity: Severity | None, **more: Any
    ) -> Event:
        incident = incident_of(incidents, place.source)
        return build_event(
            EventKind.CANARY_HIT,
            now,
            "retro",
            place.post,
            more.get("release", ""),
            # those that are found in it: the same find is the same event, whatever else is imported with them
            *sorted(headers[number].bundle for number in np.unique(bundle).tolist()),
            severity=severity,
            source=place.source,
            post=place.post,
            address=place.address,
            incident=incident.id if incident is not None and place.source else "",
            thread=more.pop("thread", ""),
            facts={
                "clients": _hits(headers, bundle, canary, kind),
                "retro": {"seen": _time(place.at), "enrolled": _time(now), **more},
            },
        )

    bundle, canary, kind, _, source = samples.matches.columns()
    for number in np.unique(source).tolist():
        place = samples.places[number]
        chosen = (source == number) & untold(place.source, bundle, canary)
        if not chosen.any():
            continue
        events.append(event(place, bundle[chosen], canary[chosen], kind[chosen], severity=None))
        codes = (bundle[chosen] << 32 | canary[chosen]).astype(np.uint64)
        bitmaps[place] = bitmaps_of_codes(codes, lambda at: headers[at].bundle)
    if samples.partial:
        notes.append(
            f"{counted(samples.partial, 'sample')} held more values than are kept: a client with few canaries there may be missed"
        )
    if samples.unreadable:
        notes.append(f"{counted(samples.unreadable, 'earlier sample')} cannot be opened: what is in them is not known")
    for name, release in releases.active.items():
        bundle, canary, kind, tag, _ = of_release[name].matches.columns()
        certain, doubtful = _certain(bundle, tag, of_release[name].expected)
        notes += [
            f"release {release.id} may hold a canary of {headers[number].client}, which chance explains too"
            for number in doubtful
        ]
        first = store.events.of_release(release.id)
        origin = release.manifest.get("origin") or {}
        post = str(origin.get("post", "")) if isinstance(origin, dict) else ""
        place = SightedPost(
            datetime.fromisoformat(str(release.manifest["created"])),
            str(origin.get("source", "")) if isinstance(origin, dict) else "",
            post,
            first.address if first is not None else "",
        )
        chosen = np.isin(bundle, certain) & untold(place.source, bundle, canary)
        if not chosen.any():
            continue
        # what the team registered itself is known to be out; that it holds this client's data is news to the client
        severity = None if release.manifest.get("kind") == "sighted" else Severity.NOTICE
        thread = first.id if first is not None else ""
        found_there = bundle[chosen], canary[chosen], kind[chosen]
        events.append(event(place, *found_there, severity=severity, release=release.id, thread=thread))
    notes += [f"release {name} was made by another version and cannot be compared" for name in releases.stale]
    since = store.seen.since()
    return RetroMatch(
        tuple(events), bitmaps, len(headers), samples.compared, len(releases), since, samples.unreadable, tuple(notes)
    )


def store_matches(home: Home, store: Store, found: RetroMatch, now: datetime) -> int:
    """Store the events of matches with their alerts, and the sighted canaries; returns how many events were new."""
    with store.database.transaction():
        for place, bitmaps in found.bitmaps.items():
            store.sightings.add_bitmaps(place, bitmaps)
        return store.events.add(found.events, route_by(home.settings()), now)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _chunks(records: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(records), _CHUNK):
        yield records[start : start + _CHUNK]


def _untold(
    store: Store, headers: Sequence[BundleHeader], enrolled_before: Collection[str]
) -> Callable[[str, I64, I64], Bools]:
    """Says of canaries, by number of the bundle and of the canary, which were not sighted at a source before."""
    chosen = [number for number, header in enumerate(headers) if header.bundle in enrolled_before]
    sighted = (
        {(each.first.source, each.bundle): each.canaries for each in store.sightings.of_sources()} if chosen else {}
    )

    def untold(source: str, bundle: I64, canary: I64) -> Bools:
        new = np.ones(len(bundle), np.bool_)
        for number in chosen:
            bitmap = sighted.get((source, headers[number].bundle))
            if bitmap is not None:
                known = np.flatnonzero(np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little"))
                new &= ~((bundle == number) & np.isin(canary, known))
        return new

    return untold


def _open_samples(store: Store, post_key: bytes) -> _Samples:
    """All samples that are kept."""
    found = _Samples()
    numbers: dict[tuple[str, str], int] = {}
    parts: list[U64] = []
    owned: list[int] = []
    for sample in store.seen.all():
        try:
            total, tags = open_seen(post_key, sample.sealed)
        except WireError:
            # the others are compared all the same, and how many there are is told
            found.unreadable += 1
            continue
        found.compared += 1
        found.partial += total > len(tags)
        # what several samples of a post hold is one event
        number = numbers.setdefault((sample.place.source, sample.place.post), len(found.places))
        if number == len(found.places):
            found.places.append(sample.place)
        parts.append(tags)
        owned.append(number)
    if parts:
        tags, owners = np.concatenate(parts), np.repeat(np.array(owned, np.int64), [len(part) for part in parts])
        order = np.argsort(tags, kind="stable")
        found.tags, found.owners = tags[order], owners[order]
    return found


def _certain(bundle: I64, tag: U64, expected: Mapping[int, float]) -> tuple[list[int], list[int]]:
    """The bundles whose matches chance does not explain, and those of which it may."""
    certain: list[int] = []
    doubtful: list[int] = []
    for number in np.unique(bundle).tolist():
        keys = len(np.unique(tag[bundle == number]))
        (certain if _chance(keys, expected[number]) <= BY_CHANCE else doubtful).append(number)
    return certain, doubtful


def _chance(count: int, expected: float) -> float:
    """A bound of the probability of `count` matches or more, if `expected` come by chance (Chernoff, of a Poisson number)."""
    if count <= expected:
        return 1.0
    if expected <= 0:
        return 0.0
    return math.exp(count - expected + count * math.log(expected / count))


def _hits(headers: Sequence[BundleHeader], bundle: I64, canary: I64, kind: I64) -> list[dict[str, Any]]:
    """The hits by client, as the facts of an event have them."""
    clients: dict[str, dict[str, Any]] = {}
    for number in np.unique(bundle).tolist():
        chosen = bundle == number
        row = clients.setdefault(
            headers[number].client, {"client": headers[number].client, "canaries": 0, "records": 0, "kinds": []}
        )
        canaries = len(np.unique(canary[chosen]))
        row["canaries"] += canaries
        # each canary is a person, so that many records there are at least
        row["records"] += canaries
        row["kinds"] = sorted({*row["kinds"], *(Kind(each).word for each in np.unique(kind[chosen]).tolist())})
    return [clients[client] for client in sorted(clients)]


def describe(found: RetroMatch) -> Iterable[str]:
    """What was compared and what could not be, as lines for a person."""
    hit = {hit["client"] for event in found.events for hit in event.facts["clients"]}
    since = f" seen since {found.since:%Y-%m-%d}" if found.since is not None else ""
    compared = (
        f"compared with {counted(found.samples, 'earlier sample')}{since} and {counted(found.releases, 'release')}"
    )
    what = f"{counted(len(hit), 'client')} found in {len(found.events):,} of them" if hit else "no canary found"
    yield f"{compared}: {what}"
    yield from found.notes
    yield (
        "Not compared: what was seen before or deleted since, values outside of tables and of people in running text,"
        " and data that could not be read."
    )
