"""Which states of a source follow from the counts of a crawl."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from data.model import EventKind, Severity
from data.sources.definition_sections import HealthSection
from scheduler.crawls.crawl_health import CrawlOutcome, assess_crawl

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def states(outcome, health=None, silent_after=3):
    assessed = assess_crawl(health or HealthSection(), outcome, silent_after=silent_after, now=NOW)
    return {(state.kind, state.subject): state.holds for state in assessed}


def test_a_good_crawl_ends_every_state_that_it_can_decide():
    found = states(CrawlOutcome("done", rows=5))
    assert found[EventKind.SOURCE_SILENT, "listing"] is False
    assert found[EventKind.GAP, "listing"] is False
    assert found[EventKind.SOURCE_CHANGED, "rows"] is False
    assert found[EventKind.UNEXAMINED, "posts"] is False


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (CrawlOutcome("done", rows=0), (EventKind.SOURCE_CHANGED, "rows")),
        (CrawlOutcome("done", rows=5, gap=True), (EventKind.GAP, "listing")),
        (CrawlOutcome("done", rows=5, gap=True, gap_lost=True), (EventKind.GAP, "lost posts")),
        (CrawlOutcome("done", rows=5, failed={"cut": 2}), (EventKind.UNEXAMINED, "posts")),
        (CrawlOutcome("done", rows=5, problems={"title": "x"}), (EventKind.SOURCE_CHANGED, "reading title")),
        (CrawlOutcome("failed", code="blocked", failures=1), (EventKind.SOURCE_SILENT, "listing")),
        (CrawlOutcome("failed", code="timeout", failures=3), (EventKind.SOURCE_SILENT, "listing")),
    ],
)
def test_each_problem_is_a_state_that_holds(outcome, state):
    assert states(outcome)[state] is True


def test_a_board_that_may_be_empty_rings_nobody_and_another_one_does():
    for empty, severity in ((True, Severity.NOTICE), (False, None)):
        assessed = assess_crawl(
            HealthSection(), CrawlOutcome("done", rows=0, may_be_empty=empty), silent_after=3, now=NOW
        )
        assert [state.severity for state in assessed if state.subject == "rows" and state.holds] == [severity]


def test_a_temporary_failure_begins_no_state_yet_and_ends_none():
    assert states(CrawlOutcome("failed", code="timeout", failures=2)) == {}


def test_a_source_without_new_posts_is_stale_after_its_own_time():
    health = HealthSection(max_age=timedelta(days=1))
    fresh, old = (CrawlOutcome("done", rows=5, last_new=NOW - timedelta(hours=hours)) for hours in (23, 25))
    assert states(fresh, health)[EventKind.SOURCE_SILENT, "new posts"] is False
    assert states(old, health)[EventKind.SOURCE_SILENT, "new posts"] is True
    assert (EventKind.SOURCE_SILENT, "new posts") not in states(CrawlOutcome("done", rows=5), health)
