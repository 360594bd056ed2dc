"""The estimate of a client's published data from its sighted canaries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from crawler.lineage.probability import share_bounds
from data.case.canary_bitmaps import bitmaps_of_codes
from data.store.sightings import SightedPost, Sighting
from scheduler.reports.blast_radius import blast_radius

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def bundle(id_: str, client: str, canaries: int, retired: str | None = None) -> dict:
    return {"id": id_, "client": client, "name": f"Cabinet {client}", "canaries": canaries, "retired": retired}


def sighting(bundle: str, numbers: list[int], hours: int, source: str = "board") -> Sighting:
    codes = np.array(numbers, np.uint64)
    first = SightedPost(NOW + timedelta(hours=hours), source, f"post {hours}", "http://x/[1]")
    last = SightedPost(NOW + timedelta(hours=hours + 1), source, f"post {hours + 1}", "http://x/[2]")
    return Sighting(bundle, bitmaps_of_codes(codes, lambda _: bundle)[bundle], first, last)


def test_a_canary_counts_once_however_often_and_wherever_it_is_sighted():
    seen = [sighting("a", [0, 1, 2], 5), sighting("a", [2, 3], 1, "paste")]
    [radius] = blast_radius([bundle("a", "p1", 40)], seen, ["p1"])
    assert (radius.name, radius.tagged, radius.sighted) == ("Cabinet p1", 40, 4)
    assert radius.share == share_bounds(4, 40)
    assert (radius.first.source, radius.first.post) == ("paste", "post 1")
    assert (radius.last.source, radius.last.post) == ("board", "post 6")


def test_a_client_without_tags_has_no_estimate():
    [radius] = blast_radius([], [], ["p1"])
    assert (radius.tagged, radius.sighted, radius.share, radius.first) == (0, 0, None, None)


def test_retired_canaries_are_reported_separately():
    bundles = [bundle("old", "p1", 10, "2026-01-01"), bundle("new", "p1", 20)]
    [radius] = blast_radius(bundles, [sighting("old", [1, 2], 0), sighting("new", [5], 0)], [])
    assert (radius.tagged, radius.sighted, radius.sighted_retired) == (20, 1, 2)


def test_sighted_clients_that_were_not_asked_for_and_unknown_bundles_are_reported():
    bundles = [bundle("a", "p1", 10)]
    radii = blast_radius(bundles, [sighting("a", [1], 0), sighting("gone", [1, 2], 0)], ["p2"])
    assert [(each.client, each.sighted, each.sighted_retired) for each in radii] == [
        ("p1", 1, 0),
        ("gone", 0, 2),
        ("p2", 0, 0),
    ]
