"""Stores the end of a crawl: which states of its source begin or end, and which parts of posts were left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crawler.alerts.events import build_event
from data.model import Event, EventKind, Severity
from data.store.store import Store
from scheduler.crawls.crawl_health import TOR_DOWN, CrawlOutcome, StateAssessment, assess_crawl
from scheduler.crawls.crawl_tally import CrawlTally
from scheduler.crawls.definitions import platforms
from scheduler.crawls.leased_crawl import LeasedCrawl
from scheduler.delivery.lasting_states import recovery_event, update_tor_state

# Code of posts that stay due because the job of the crawl had no room for them.
TOO_LARGE = "limit"


def failures_in_a_row(store: Store, source: str) -> int:
    """Number of crawls of a source that failed in a row before this one."""
    return next((state.failures for state in store.sources.states(counts=False) if state.name == source), 0)


class CrawlEnd:
    """Stores the end of one leased crawl, and reports problems that no single post shows."""

    def __init__(self, crawl: LeasedCrawl, tally: CrawlTally) -> None:
        self._crawl, self._store, self._tally = crawl, crawl.store, tally

    def report_broken_platforms(self, now: datetime) -> None:
        """Begin or end the states of platforms whose module is broken, of whichever source this crawl is."""
        broken = {f"platform {name}": kind for name, kind in platforms().broken.items()}
        for subject, kind in broken.items():
            facts = {"subject": subject, "reason": f"its module fails with {kind}; the other platforms work"}
            event = build_event(EventKind.SELFTEST_FAILED, now, subject, kind, self._crawl.id, facts=facts)
            self._tally.events += self._store.states.begin(event, subject, self._crawl.route, now)
        for state in self._store.states.lasting(""):
            if state.subject.startswith("platform ") and state.subject not in broken:
                self._tally.events += self._store.states.end(
                    "", state.kind, state.subject, recovery_event, self._crawl.route, now
                )

    def finish(self, now: datetime) -> None:
        """Store how the crawl ended, and alert about states of its source that begin or end."""
        crawl, tally = self._crawl, self._tally
        if TOO_LARGE in tally.failed:
            # The listing may have shown such a post again, so that it was examined all the same.
            tally.failed[TOO_LARGE] = min(tally.failed[TOO_LARGE], len(self._store.posts.due(crawl.source)))
            tally.failed = +tally.failed
        if crawl.over_tor and (tally.state == "done" or tally.code == TOR_DOWN):
            reason = "" if tally.state == "done" else tally.error
            tally.events += update_tor_state(self._store, crawl.route, reason, now, hint=tally.hint)
        outcome = CrawlOutcome(
            state=tally.state,
            code=tally.code,
            error=tally.error,
            rows=tally.rows,
            gap=tally.gap,
            failures=failures_in_a_row(self._store, crawl.source) + 1,
            last_new=self._store.posts.latest_new(crawl.source),
            failed=tally.failed,
            problems=tally.problems,
        )
        silent_after = crawl.settings.daemon.silent_after
        states = assess_crawl(crawl.definition.health, outcome, silent_after=silent_after, now=now)
        for state in states:
            self._begin_or_end(state, now)
        tally.changed_page = any(state.holds and state.subject == "rows" for state in states)
        if tally.state == "done":
            self._end_reading_problems(states, now)
        counts = {
            **tally.counts,
            "gap": tally.gap,
            "rows": tally.rows,
            "failed": dict(tally.failed),
            "code": tally.code,
        }
        tally.events += self._store.finish_crawl(
            crawl.id,
            crawl.fence,
            tally.state,
            crawl.route,
            now,
            counts=counts,
            error=tally.error,
            events=self._events_of_parts_left_out(now),
        )

    def _events_of_parts_left_out(self, now: datetime) -> list[Event]:
        """Events about parts of posts that were not read and are not requested again, once for the whole crawl."""
        events = []
        absent = self._tally.left.pop("absent", 0)
        for codes, severity in (({"absent": absent}, Severity.NOTICE), (dict(self._tally.left), Severity.WARNING)):
            if number := sum(codes.values()):
                listed = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if count)
                facts = {
                    "problems": sorted(codes),
                    "samples": number,
                    "reason": f"{number} parts of posts were not read ({listed})",
                    "hosts": self._tally.hosts if severity is Severity.WARNING else {},
                }
                events.append(
                    build_event(
                        EventKind.UNEXAMINED,
                        now,
                        self._crawl.id,
                        severity.value,
                        severity=severity,
                        source=self._crawl.source,
                        incident=self._crawl.incident_id,
                        facts=facts,
                    )
                )
        return events

    def _begin_or_end(self, state: StateAssessment, now: datetime) -> None:
        crawl = self._crawl
        if not state.holds:
            self._tally.events += self._store.states.end(
                crawl.source, state.kind, state.subject, recovery_event, crawl.route, now
            )
            return
        event = build_event(
            state.kind,
            now,
            crawl.source,
            state.subject,
            crawl.id,
            source=crawl.source,
            incident=crawl.incident_id,
            facts={"subject": state.subject, **state.facts},
        )
        self._tally.events += self._store.states.begin(event, state.subject, crawl.route, now)

    def _end_reading_problems(self, states: Sequence[StateAssessment], now: datetime) -> None:
        """End the states of earlier problems with reading the listing that did not occur in this crawl."""
        still = {state.subject for state in states if state.holds}
        for lasting in self._store.states.lasting(self._crawl.source):
            if (
                lasting.kind is EventKind.SOURCE_CHANGED
                and lasting.subject.startswith("reading ")
                and lasting.subject not in still
            ):
                self._begin_or_end(StateAssessment(lasting.kind, lasting.subject, holds=False), now)
