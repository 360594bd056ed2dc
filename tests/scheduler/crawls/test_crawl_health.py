"""What the counts of a crawl say about its source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from data.model import EventKind
from data.sources.definition_sections import HealthSection
from scheduler.crawls.crawl_health import Outcome, judge

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def states(outcome, health=None, silent_after=3):
    judged = judge(health or HealthSection(), outcome, silent_after=silent_after, now=NOW)
    return {(each.kind, each.subject): each.holds for each in judged}


def test_a_good_crawl_ends_every_state_that_it_says_something_about():
    found = states(Outcome("done", rows=5))
    assert found[EventKind.SOURCE_SILENT, "listing"] is False
    assert found[EventKind.GAP, "listing"] is False
    assert found[EventKind.SOURCE_CHANGED, "rows"] is False
    assert found[EventKind.UNEXAMINED, "posts"] is False


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome("done", rows=0), (EventKind.SOURCE_CHANGED, "rows")),
        (Outcome("done", rows=5, gap=True), (EventKind.GAP, "listing")),
        (Outcome("done", rows=5, failed={"cut": 2}), (EventKind.UNEXAMINED, "posts")),
        (Outcome("done", rows=5, problems={"title": "x"}), (EventKind.SOURCE_CHANGED, "reading title")),
        (Outcome("failed", code="blocked", failures=1), (EventKind.SOURCE_SILENT, "listing")),
        (Outcome("failed", code="timeout", failures=3), (EventKind.SOURCE_SILENT, "listing")),
    ],
)
def test_what_is_wrong_is_a_state_that_holds(outcome, state):
    assert states(outcome)[state] is True


def test_a_bad_minute_of_the_site_says_nothing_yet_and_ends_nothing():
    assert states(Outcome("failed", code="timeout", failures=2)) == {}


def test_a_source_without_new_posts_is_stale_after_its_own_time():
    health = HealthSection(max_age=timedelta(days=1))
    fresh, old = (Outcome("done", rows=5, last_new=NOW - timedelta(hours=hours)) for hours in (23, 25))
    assert states(fresh, health)[EventKind.SOURCE_SILENT, "new posts"] is False
    assert states(old, health)[EventKind.SOURCE_SILENT, "new posts"] is True
    assert (EventKind.SOURCE_SILENT, "new posts") not in states(Outcome("done", rows=5), health)
