"""When each source of an incident was looked at, and when nobody looked. Plain functions over the store."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from data.store.crawls import KEPT
from data.store.database import stamp
from data.store.store import Store
from scheduler.reports.incident_scope import IncidentScope, of_sources

MIN_GAP = timedelta(minutes=5)
"""A shorter time without a look is no gap, however often a source is meant to be crawled."""
# Without a source file the interval is not known: a time without a look that is so many times the usual one is a gap.
_UNUSUAL = 3
# A source is crawled for the first time within this time of being added, unless it was disabled.
_FIRST_CRAWL = timedelta(hours=1)
MAX_GAPS = 20
"""The longest gaps of each source that are told one by one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a source was not read successfully. `end` is None if it lasts. `failed`: crawls that failed in it."""

    begin: datetime
    end: datetime | None
    failed: int

    def length(self, now: datetime) -> timedelta:
        """How long it was, or has been."""
        return (self.end or now) - self.begin


@dataclass(frozen=True, slots=True)
class SourceCoverage:
    """How well one source was watched.

    Attributes:
        every: how often it is meant to be crawled; None if there is no source file that is enabled.
        enabled: whether it is crawled at all. state: `ok`, `failing`, `running` or `new`. error: of the last crawl.
        first, last: the first and the last crawl that ended well; None for none.
        done, failed: numbers of crawls. posts: known ones. due: posts that still have to be examined.
        gaps: when nobody looked, the longest first, at most `MAX_GAPS`. gap_count: how many there are.
        unwatched: the sum of all gaps.
        lost: whether the listing was at some time not read back to a known post.
        kept_since: crawls from before this are no longer kept (`daemon.keep_crawls`), so that nothing is known of gaps then;
            None if all are.
    """

    source: str
    every: timedelta | None
    enabled: bool
    state: str
    error: str
    first: datetime | None
    last: datetime | None
    done: int
    failed: int
    posts: int
    due: int
    gaps: tuple[Gap, ...]
    gap_count: int
    unwatched: timedelta
    lost: int
    kept_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Looks:
    """When a source was crawled, in order of time: crawls that ended well, and those that failed.

    Attributes:
        mark: number of crawls, of those that ended well, and start of the last one; while it is the same, so are they.
        gaps: longest time between two looks that is no gap -> the gaps that are over, once they were looked for.
    """

    mark: tuple[int, int, str]
    done: list[datetime]
    failed: list[datetime]
    gaps: dict[timedelta, list[Gap]] = field(default_factory=dict)


_NONE = Looks((0, 0, ""), [], [])


def _looks(store: Store, scope: IncidentScope, known: dict[str, Looks]) -> None:
    """Bring what is known of the crawls of an incident's sources up to date; those of other sources are forgotten."""
    crawled = f"started is not null and state <> 'leased' and source <> 'scan' and {of_sources('source', ':sources')}"
    marks = {
        source: (number, done, last)
        for source, number, done, last in store.database.each_row(
            f"select source, count(*), sum(state = 'done'), max(started) from crawl where {crawled} group by source",  # noqa: S608 - fixed text
            {"sources": scope.sources_json},
        )
    }
    for source in [source for source, looks in known.items() if looks.mark != marks.get(source)]:
        del known[source]
    found = {source: Looks(mark, [], []) for source, mark in marks.items() if source not in known}
    rows = store.database.each_row(
        f"select source, started, state = 'done' from crawl where {crawled}"  # noqa: S608 - fixed text
        " and source in (select value from json_each(:wanted)) order by source, started",
        {"sources": scope.sources_json, "wanted": json.dumps(list(found))},
    )
    for source, started, is_done in rows:
        looks = found[source]
        (looks.done if is_done else looks.failed).append(datetime.fromisoformat(started))
    known |= found


def source_coverage(
    store: Store,
    scope: IncidentScope,
    intervals: Mapping[str, timedelta],
    now: datetime,
    known: dict[str, Looks] | None = None,
) -> list[SourceCoverage]:
    """The coverage of each source of an incident, by name; of local files (`scan --record`) there is none.

    Args:
        store: of the home.
        scope: of the incident.
        intervals: how often each enabled source is meant to be crawled, of its file; one that was never crawled is listed.
        now: aware UTC.
        known: crawls of this incident's sources that were read before, which are not read again; brought up to date.
    """
    of_source = {} if known is None else known
    _looks(store, scope, of_source)
    lost = dict(
        store.database.each_row(
            "select source, count(*) from crawl where instr(counts, '\"gap\": true') > 0 group by source", ()
        )
    )
    added = {row["name"]: row["added"] for row in store.database.rows("select name, added from source")}
    states = {each.name: each for each in store.sources.states()}
    names = {*of_source, *(scope.sources if scope.sources is not None else [*states, *intervals])} - {"scan"}
    found = []
    for name in sorted(names):
        looks = of_source.get(name, _NONE)
        done, failed = looks.done, looks.failed
        every = intervals.get(name)
        gaps = _gaps(looks, every, now)
        state = states.get(name)
        found.append(
            SourceCoverage(
                source=name,
                every=every,
                enabled=state.enabled if state else name in intervals,
                state=state.state if state else "new",
                error=state.error if state else "",
                first=done[0] if done else None,
                last=done[-1] if done else None,
                done=len(done),
                failed=len(failed),
                posts=state.posts if state else 0,
                due=state.due if state else 0,
                gaps=tuple(sorted(gaps, key=lambda gap: gap.length(now), reverse=True)[:MAX_GAPS]),
                gap_count=len(gaps),
                unwatched=sum((gap.length(now) for gap in gaps), timedelta()),
                lost=lost.get(name, 0),
                kept_since=_kept_since([*done, *failed], added.get(name)),
            )
        )
    return found


def _kept_since(crawls: Sequence[datetime], added: str | None) -> datetime | None:
    """When the oldest crawl that is kept began, if older ones were probably deleted; None if not.

    Fewer crawls than are always kept are all that there were.
    """
    if len(crawls) < KEPT or added is None:
        return None
    oldest = min(crawls)
    return oldest if oldest - datetime.fromisoformat(added) > _FIRST_CRAWL else None


def _gaps(looks: Looks, every: timedelta | None, now: datetime) -> list[Gap]:
    """The times between two successful crawls, or since the last one, that are longer than two intervals."""
    done, failed = looks.done, looks.failed
    if not done:
        return [Gap(failed[0], None, len(failed))] if failed else []
    allowed = max(MIN_GAP, 2 * (every or _usual(done)))
    if allowed not in looks.gaps:
        looks.gaps[allowed] = [
            Gap(begin, end, sum(begin < each < end for each in failed))
            for begin, end in itertools.pairwise(done)
            if end - begin > allowed
        ]
    if now - done[-1] <= allowed:
        return looks.gaps[allowed]
    return [*looks.gaps[allowed], Gap(done[-1], None, sum(done[-1] < each < now for each in failed))]


def _usual(done: Sequence[datetime]) -> timedelta:
    """What counts as the interval of a source without a file."""
    steps = sorted(later - earlier for earlier, later in itertools.pairwise(done))
    return steps[len(steps) // 2] * _UNUSUAL / 2 if steps else timedelta(days=1)


def posts_that_wait(store: Store, scope: IncidentScope) -> int:
    """How many posts of the incident's sources are known and not examined yet."""
    sources = scope.sources_json
    row = store.database.first_row(
        f"select count(*) as n from post where due is not null and {of_sources('source')}",  # noqa: S608 - fixed text
        sources,
        sources,
    )
    return int(row["n"]) if row else 0


def announced_times(store: Store, scope: IncidentScope, now: datetime) -> list[tuple[datetime, int, str]]:
    """The times still to come that posts announce: time, exactness in minutes, source; the nearest first."""
    sources = scope.sources_json
    rows = store.database.rows(
        f"select distinct at, exact, source from deadline where at > ? and {of_sources('source')} order by at",  # noqa: S608 - fixed text
        stamp(now),
        sources,
        sources,
    )
    return [(datetime.fromisoformat(row["at"]), int(row["exact"]), row["source"]) for row in rows]
