"""Decides from the counts of a crawl which states of its source begin, last or end; pure functions.

Reporting these states, and reminding of them, is left to the store and the runner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crawler.tor import errors
from data.model import EventKind, Severity
from data.sources.definition_sections import HealthSection

# One failure with such a code is enough to call a source silent; any other failure may pass by itself.
SILENT_AT_ONCE = errors.PERMANENT_CODES | {
    "blocked",
    "robots",
    "refused",
    "config",
    "crash",
    "memory",
    "hang",
    "platform",
    "absent",
    "no_preview",
    "certificate",
    "seized",
    "walled",
    "session_ended",
    "placeholder",
    "parked",
    "challenge",
}

# Subject of a gap whose posts can no longer be read, because the listing has no further pages.
LOST_POSTS = "lost posts"
# Subject of the state that the pages of posts no longer look as they did.
POST_PAGES = "post pages"
# Tor itself cannot be used: the runner reports that once for all sources.
TOR_DOWN = "tor_down"


@dataclass(frozen=True, slots=True)
class CrawlOutcome:
    """How a crawl went.

    Attributes:
        state: `done` or `failed`.
        code, error: why it failed.
        rows: number of rows that the listing had.
        gap: the walk of the listing ended without meeting a known post. gap_lost: there are no further pages to read.
        may_be_empty: the listing never had a post, and its rules are those of a platform, which fit its other boards.
        failures: number of failed crawls in a row, this one included.
        last_new: when a post was last new; None if never.
        failed: code -> posts that were not examined and stay due.
        problems: code -> message about the reading of the listing.
        last_success: start of the last crawl before this one that ended well; None for none.
        shape: field -> what no longer looks as in earlier crawls. page_shape: the same of pages of posts; None if too few
            were read.
    """

    state: str
    code: str = ""
    error: str = ""
    rows: int = 0
    gap: bool = False
    gap_lost: bool = False
    may_be_empty: bool = False
    failures: int = 0
    last_new: datetime | None = None
    failed: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    shape: Mapping[str, str] = field(default_factory=dict)
    page_shape: Mapping[str, str] | None = None
    last_success: datetime | None = None


@dataclass(frozen=True, slots=True)
class StateAssessment:
    """One lasting state of a source: whether it holds now, the facts for its event, and its severity if not the usual."""

    kind: EventKind
    subject: str
    holds: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None


def assess_crawl(
    health: HealthSection, outcome: CrawlOutcome, *, silent_after: int, now: datetime
) -> Sequence[StateAssessment]:
    """The states that can be decided from this crawl; all other states stay as they are.

    Args:
        health: what a healthy crawl of this source looks like.
        outcome: of the crawl.
        silent_after: number of failures in a row after which a source counts as silent, if they may be temporary.
        now: aware UTC.
    """
    if outcome.code == TOR_DOWN:
        # This is one state of the whole installation, not one of each source.
        return []
    if outcome.state != "done":
        silent = outcome.code in SILENT_AT_ONCE or outcome.failures >= silent_after
        facts = {"code": outcome.code, "reason": outcome.error, "failures": outcome.failures}
        return [StateAssessment(EventKind.SOURCE_SILENT, "listing", True, facts)] if silent else []
    gap = facts_of_gap(outcome.rows, outcome.last_success, now)
    states = [
        StateAssessment(EventKind.SOURCE_SILENT, "listing", False),
        StateAssessment(EventKind.GAP, "listing", outcome.gap and not outcome.gap_lost, gap),
        StateAssessment(EventKind.GAP, LOST_POSTS, outcome.gap and outcome.gap_lost, gap),
        StateAssessment(
            EventKind.SOURCE_CHANGED,
            "rows",
            outcome.rows < health.min_rows,
            {"rows": outcome.rows, "min_rows": health.min_rows},
            # A new board is empty, which rings nobody; that the rules do not fit is shown by `source check`, by `status`
            # and by the reminder of this state. Rules that an operator wrote for one page are more likely to be wrong.
            severity=Severity.NOTICE if outcome.may_be_empty else None,
        ),
        StateAssessment(
            EventKind.SOURCE_CHANGED,
            "look",
            bool(outcome.shape),
            {"reason": "; ".join(outcome.shape.values()), "fields": sorted(outcome.shape)},
        ),
        StateAssessment(
            EventKind.UNEXAMINED,
            "posts",
            bool(outcome.failed),
            {"posts": sum(outcome.failed.values()), "codes": dict(outcome.failed)},
        ),
    ]
    states += [
        StateAssessment(EventKind.SOURCE_CHANGED, f"reading {code}", True, {"reason": message})
        for code, message in outcome.problems.items()
    ]
    if outcome.page_shape is not None:
        facts = {"reason": "; ".join(outcome.page_shape.values()), "fields": sorted(outcome.page_shape)}
        states.append(StateAssessment(EventKind.SOURCE_CHANGED, POST_PAGES, bool(outcome.page_shape), facts))
    if health.max_age is not None and outcome.last_new is not None:
        states.append(_assess_age(health.max_age, outcome.last_new, now))
    return states


def facts_of_gap(rows: int, since: datetime | None, now: datetime) -> dict[str, Any]:
    """The facts of a gap: how many rows were read, and between which times the missing posts were published."""
    facts: dict[str, Any] = {"rows": rows}
    if since is not None:
        facts["reason"] = f"what may be missing was posted between {since:%F %R} and {now:%F %R} UTC"
    return facts


def _assess_age(max_age: timedelta, last_new: datetime, now: datetime) -> StateAssessment:
    age = now - last_new
    facts = {"code": "stale", "age_seconds": int(age.total_seconds()), "max_age_seconds": int(max_age.total_seconds())}
    return StateAssessment(EventKind.SOURCE_SILENT, "new posts", age > max_age, facts)
