"""Decides from the counts of a crawl which states of its source begin, last or end; pure functions.

Reporting these states, and reminding of them, is left to the store and the runner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crawler.tor import errors
from data.model import EventKind
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
    "certificate",
}

# Tor itself cannot be used: the runner reports that once for all sources.
TOR_DOWN = "tor_down"


@dataclass(frozen=True, slots=True)
class CrawlOutcome:
    """How a crawl went.

    Attributes:
        state: `done` or `failed`.
        code, error: why it failed.
        rows: number of rows that the listing had.
        gap: the walk of the listing ended without meeting a known post.
        failures: number of failed crawls in a row, this one included.
        last_new: when a post was last new; None if never.
        failed: code -> posts that were not examined and stay due.
        problems: code -> message about the reading of the listing.
    """

    state: str
    code: str = ""
    error: str = ""
    rows: int = 0
    gap: bool = False
    failures: int = 0
    last_new: datetime | None = None
    failed: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StateAssessment:
    """One lasting state of a source: whether it holds now, and the facts for its event."""

    kind: EventKind
    subject: str
    holds: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


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
    states = [
        StateAssessment(EventKind.SOURCE_SILENT, "listing", False),
        StateAssessment(EventKind.GAP, "listing", outcome.gap, {"rows": outcome.rows}),
        StateAssessment(
            EventKind.SOURCE_CHANGED,
            "rows",
            outcome.rows < health.min_rows,
            {"rows": outcome.rows, "min_rows": health.min_rows},
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
    if health.max_age is not None and outcome.last_new is not None:
        states.append(_assess_age(health.max_age, outcome.last_new, now))
    return states


def _assess_age(max_age: timedelta, last_new: datetime, now: datetime) -> StateAssessment:
    age = now - last_new
    facts = {"code": "stale", "age_seconds": int(age.total_seconds()), "max_age_seconds": int(max_age.total_seconds())}
    return StateAssessment(EventKind.SOURCE_SILENT, "new posts", age > max_age, facts)
