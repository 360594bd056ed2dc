"""What the counts of a crawl say about its source: states that begin, last and end; pure.

Telling them, reminding of them and ending them is the store's and the runner's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crawler.tor import errors
from data.model import EventKind
from data.sources.definition_sections import HealthSection

# These say by themselves that we are blind; anything else may be a bad minute of the site.
CERTAIN = errors.PERMANENT_CODES | {"blocked", "robots", "refused", "config", "crash", "platform", "absent"}

# Tor itself is not there: the runner tells it once for all sources.
TOR_DOWN = "tor_down"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a crawl went.

    Attributes:
        state: `done` or `failed`; code and error say why it failed.
        rows: rows that the listing had. gap: the walk ended without meeting a known post.
        failures: crawls that failed in a row, this one included. last_new: when a post was last new, None if never.
        failed: code -> posts that were not examined and stay due. problems: code -> what the listing's reader said.
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
class Judgement:
    """One lasting state of a source: whether it holds now, and with what facts."""

    kind: EventKind
    subject: str
    holds: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


def judge(health: HealthSection, outcome: Outcome, *, silent_after: int, now: datetime) -> Sequence[Judgement]:
    """The states that a crawl says something about; what is not named keeps as it is.

    Args:
        health: what a sound crawl of this source looks like.
        outcome: of the crawl.
        silent_after: failures in a row after which a source is called silent, where they may be passing ones.
        now: aware UTC.
    """
    if outcome.code == TOR_DOWN:
        # one state of the whole installation, not one of each source
        return []
    if outcome.state != "done":
        blind = outcome.code in CERTAIN or outcome.failures >= silent_after
        facts = {"code": outcome.code, "reason": outcome.error, "failures": outcome.failures}
        return [Judgement(EventKind.SOURCE_SILENT, "listing", True, facts)] if blind else []
    judged = [
        Judgement(EventKind.SOURCE_SILENT, "listing", False),
        Judgement(EventKind.GAP, "listing", outcome.gap, {"rows": outcome.rows}),
        Judgement(
            EventKind.SOURCE_CHANGED,
            "rows",
            outcome.rows < health.min_rows,
            {"rows": outcome.rows, "min_rows": health.min_rows},
        ),
        Judgement(
            EventKind.UNEXAMINED,
            "posts",
            bool(outcome.failed),
            {"posts": sum(outcome.failed.values()), "codes": dict(outcome.failed)},
        ),
    ]
    judged += [
        Judgement(EventKind.SOURCE_CHANGED, f"reading {code}", True, {"reason": said})
        for code, said in outcome.problems.items()
    ]
    if health.max_age is not None and outcome.last_new is not None:
        judged.append(_stale(health.max_age, outcome.last_new, now))
    return judged


def _stale(max_age: timedelta, last_new: datetime, now: datetime) -> Judgement:
    age = now - last_new
    facts = {"code": "stale", "age_seconds": int(age.total_seconds()), "max_age_seconds": int(max_age.total_seconds())}
    return Judgement(EventKind.SOURCE_SILENT, "new posts", age > max_age, facts)
