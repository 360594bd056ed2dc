"""What sighted canaries say of a client's data."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from crawler.blast_radius import blast_radius, share_out
from data.sighting_log import Place, Sighting
from data.sightings import of_codes

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def above(share: float, least: int, tried: int) -> float:
    return sum(math.comb(tried, k) * share**k * (1 - share) ** (tried - k) for k in range(least, tried + 1))


@pytest.mark.parametrize(("sighted", "tagged"), [(1, 1), (3, 10), (0, 40), (40, 40), (29, 40), (1, 200), (150, 200)])
def test_bounds_are_where_the_tails_of_the_binomial_are(sighted, tagged):
    low, high = share_out(sighted, tagged)
    assert low == 0 if not sighted else above(low, sighted, tagged) == pytest.approx(0.025, rel=1e-9)
    assert high == 1 if sighted == tagged else 1 - above(high, sighted + 1, tagged) == pytest.approx(0.025, rel=1e-9)


def test_bounds_of_fifteen_million_canaries_are_narrow_and_hold_the_share():
    low, high = share_out(7_000_000, 15_000_000)
    assert low < 7 / 15 < high
    assert high - low < 0.001


@pytest.mark.parametrize("out", [5, 300, 1990])
def test_the_truth_is_inside_for_clients_of_few_records(out):
    drawn = np.random.default_rng(7).hypergeometric(out, 2000 - out, 100, size=2000)
    inside = [low <= out / 2000 <= high for low, high in (share_out(int(k), 100) for k in drawn)]
    assert sum(inside) / len(inside) >= 0.95


def bundle(id_: str, client: str, canaries: int, retired: str | None = None) -> dict:
    return {"id": id_, "client": client, "name": f"Cabinet {client}", "canaries": canaries, "retired": retired}


def sighting(bundle: str, numbers: list[int], hours: int, source: str = "board") -> Sighting:
    codes = np.array(numbers, np.uint64)
    first = Place(NOW + timedelta(hours=hours), source, f"post {hours}", "http://x/[1]")
    last = Place(NOW + timedelta(hours=hours + 1), source, f"post {hours + 1}", "http://x/[2]")
    return Sighting(bundle, of_codes(codes, lambda _: bundle)[bundle], first, last)


def test_a_canary_counts_once_however_often_and_wherever_it_is_sighted():
    seen = [sighting("a", [0, 1, 2], 5), sighting("a", [2, 3], 1, "paste")]
    [radius] = blast_radius([bundle("a", "p1", 40)], seen, ["p1"])
    assert (radius.name, radius.tagged, radius.sighted) == ("Cabinet p1", 40, 4)
    assert radius.share == share_out(4, 40)
    assert (radius.first.source, radius.first.post) == ("paste", "post 1")
    assert (radius.last.source, radius.last.post) == ("board", "post 6")


def test_nothing_is_claimed_of_a_client_without_tags():
    [radius] = blast_radius([], [], ["p1"])
    assert (radius.tagged, radius.sighted, radius.share, radius.first) == (0, 0, None, None)


def test_retired_canaries_are_told_and_do_not_count():
    bundles = [bundle("old", "p1", 10, "2026-01-01"), bundle("new", "p1", 20)]
    [radius] = blast_radius(bundles, [sighting("old", [1, 2], 0), sighting("new", [5], 0)], [])
    assert (radius.tagged, radius.sighted, radius.sighted_retired) == (20, 1, 2)


def test_a_client_that_nobody_named_and_a_bundle_that_nobody_knows_are_told():
    bundles = [bundle("a", "p1", 10)]
    radii = blast_radius(bundles, [sighting("a", [1], 0), sighting("gone", [1, 2], 0)], ["p2"])
    assert [(each.client, each.sighted, each.sighted_retired) for each in radii] == [
        ("p1", 1, 0),
        ("gone", 0, 2),
        ("p2", 0, 0),
    ]
