"""When the next crawl of a source is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scheduler.daemon.cadence import FIRST_RETRY, next_crawl_at

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def due(**keys) -> datetime:
    given = {"last_start": NOW, "last_success": NOW, "failures": 0, "now": NOW, **keys}
    return next_crawl_at(given.pop("name", "s"), given.pop("every", HOUR), **given)


def test_a_source_never_crawled_is_due_now():
    assert due(last_start=None, last_success=None) == NOW


def test_sources_are_spread_around_their_interval_and_each_keeps_its_place():
    times = [due(name=f"s{number}") for number in range(200)]
    assert len(set(times)) == 200
    assert all(abs(at - NOW - HOUR) <= HOUR * 0.05 for at in times)
    assert times == [due(name=f"s{number}") for number in range(200)]


def test_after_failures_the_delay_doubles_but_never_exceeds_the_interval():
    pauses = [due(failures=failures) - NOW for failures in range(1, 30)]
    assert pauses[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert pauses == sorted(pauses)
    assert max(pauses) == HOUR


def test_a_source_with_a_handed_link_is_crawled_soon_but_only_once():
    assert due(handed=NOW + timedelta(minutes=5)) == NOW + FIRST_RETRY
    assert due(handed=NOW - timedelta(minutes=5)) > NOW + HOUR / 2, "the link was tried since"
    assert due(handed=NOW, every=timedelta(seconds=10)) == NOW + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("hours", "exact", "minutes"),
    [
        (1000, 10, 60),
        (5, 10, 30),
        (1, 10, 6),
        (0.01, 10, 1),
        (-1, 10, 5),
        (-100, 10, 60),
        (0, 1440, 7.2),
        (5, 1440, 30),
    ],
)
def test_a_source_is_crawled_more_often_around_an_announced_time(hours, exact, minutes):
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    due = next_crawl_at(
        "s", timedelta(hours=1), last_start=now, last_success=now, failures=0, now=now,
        deadline=(now + timedelta(hours=hours), exact),
    )  # fmt: skip
    assert (due - now).total_seconds() / 60 == pytest.approx(minutes, rel=0.06)
