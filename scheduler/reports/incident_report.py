"""Gathers what a home knows of one incident from its store, watch-list and releases; the command displays it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from crawler.alerts.plain_text import defang
from crawler.lineage.probability import CONFIDENCE
from data.case.incidents import find_incident, read_incidents
from data.releases.folder import read_manifests
from data.settings.home import Home
from data.store.sightings import SightedPost, Sighting
from data.store.store import Store
from data.watchlist.manifest import imported_bundles
from scheduler.reports.blast_radius import ASSUMPTION, BlastRadius, blast_radius

CSV_COLUMNS = (
    "client", "name", "tagged", "sighted", "sighted_retired", "share_low", "share_high",
    "first_at", "first_source", "first_address", "last_at", "last_source", "last_address",
)  # fmt: skip


def csv_row(each: Mapping[str, Any]) -> list[str | int]:
    """The line of one client in a CSV file, with the columns `CSV_COLUMNS`."""
    share = [""] * 2 if each["share"] is None else [f"{bound:.6f}" for bound in each["share"]]
    places = [each[when] or {"at": "", "source": "", "address": ""} for when in ("first", "last")]
    return [
        *(each[field] for field in ("client", "name", "tagged", "sighted", "sighted_retired")),
        *share,
        *(value for place in places for value in (place["at"], place["source"], defang(place["address"]))),
    ]


def incident_report(home: Home, name: str, store: Store | None = None) -> dict[str, Any]:
    """The incident with this id or name, as the object that `incident show --json` prints.

    Counts the sightings at the incident's sources, or at all sources if it is the only incident. Those of its clients at
    other sources are `outside`. The store of the home is opened unless it is given.

    Raises:
        InputError: there is no such incident.
    """
    every = read_incidents(home.path)
    incident = find_incident(every, name)
    baselines = [
        {
            "id": each["id"],
            "name": str(each.get("name", "")),
            "people": int(each["people"]),
            "created": str(each.get("created", "")),
            "retired": each["retired"],
        }
        for each in read_manifests(home.releases_dir)
        if each.get("incident") == incident.id
    ]
    sightings: list[Sighting] = []
    events: dict[str, int] = {}
    if store is not None or home.db_path.exists():
        with (
            contextlib.nullcontext(store)
            if store is not None
            else contextlib.closing(Store.open(home.db_path)) as opened
        ):
            sightings = opened.sightings.of_sources()
            events = opened.events.count_by_kind(incident.id)
    bundles = imported_bundles(home.watchlist_dir)
    inside = [each for each in sightings if len(every) == 1 or each.first.source in incident.sources]
    radii = blast_radius(bundles, inside, incident.clients)
    owners = {each["id"]: each["client"] for each in bundles}
    outside: dict[str, set[str]] = {}
    for each in sightings:
        if len(every) > 1 and each.first.source not in incident.sources and owners.get(each.bundle) in incident.clients:
            outside.setdefault(owners[each.bundle], set()).add(each.first.source)
    return {
        **asdict(incident),
        "releases": [each["id"] for each in baselines],
        "baselines": baselines,
        "events": [{"kind": kind, "number": number} for kind, number in events.items()],
        "blast_radius": [_radius_to_json(radius) for radius in radii],
        "outside": [{"client": client, "sources": sorted(outside[client])} for client in sorted(outside)],
        "confidence": CONFIDENCE,
        "assumption": ASSUMPTION,
    }


def _radius_to_json(radius: BlastRadius) -> dict[str, Any]:
    # not by `asdict`, which copies each value and takes most of the time of a page
    value = {name: getattr(radius, name) for name in BlastRadius.__slots__}
    return {**value, "first": _place_to_json(radius.first), "last": _place_to_json(radius.last)}


def _place_to_json(place: SightedPost | None) -> dict[str, str] | None:
    if place is None:
        return None
    value = {name: getattr(place, name) for name in SightedPost.__slots__}
    return {**value, "at": place.at.isoformat(timespec="seconds")}
