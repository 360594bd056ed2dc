"""Gathers what a home knows of one incident from its store, watch-list and releases; the command displays it."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

from crawler.lineage.probability import CONFIDENCE
from data.case.incidents import find_incident, read_incidents
from data.case.watchlist import imported_bundles
from data.releases.folder import read_manifests
from data.settings.home import Home
from data.store.sightings import SightedPost, Sighting
from data.store.store import Store
from scheduler.reports.blast_radius import ASSUMPTION, BlastRadius, blast_radius


def incident_report(home: Home, name: str) -> dict[str, Any]:
    """The incident with this id or name, as the object that `incident show --json` prints.

    Counts the sightings at the incident's sources, or at all sources if it is the only incident.

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
    if home.db_path.exists():
        with contextlib.closing(Store.open(home.db_path)) as store:
            sightings = store.sightings.of_sources(None if len(every) == 1 else incident.sources)
            events = store.events.count_by_kind(incident.id)
    radii = blast_radius(imported_bundles(home.watchlist_dir), sightings, incident.clients)
    return {
        **asdict(incident),
        "releases": [each["id"] for each in baselines],
        "baselines": baselines,
        "events": [{"kind": kind, "number": number} for kind, number in events.items()],
        "blast_radius": [_radius_to_json(radius) for radius in radii],
        "confidence": CONFIDENCE,
        "assumption": ASSUMPTION,
    }


def _radius_to_json(radius: BlastRadius) -> dict[str, Any]:
    return {**asdict(radius), "first": _place_to_json(radius.first), "last": _place_to_json(radius.last)}


def _place_to_json(place: SightedPost | None) -> dict[str, str] | None:
    return None if place is None else {**asdict(place), "at": place.at.isoformat(timespec="seconds")}
