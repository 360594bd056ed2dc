"""Stores the end of a crawl: which states of its source begin or end, and which parts of posts were left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crawler.alerts.events import build_event
from data.model import Event, EventKind, Severity
from data.store.store import Store
from scheduler.crawls.crawl_health import (
    LOST_POSTS,
    POST_PAGES,
    TOR_DOWN,
    CrawlOutcome,
    StateAssessment,
    assess_crawl,
    facts_of_gap,
)
from scheduler.crawls.crawl_tally import CrawlTally
from scheduler.crawls.definitions import platforms
from scheduler.crawls.leased_crawl import LeasedCrawl
from scheduler.delivery.lasting_states import recovery_event, update_tor_state
from scheduler.delivery.shared_trouble import begin_state, review_shared_trouble

# States whose first event names the page that shows why they began.
_WITH_PAGE = frozenset([EventKind.SOURCE_CHANGED, EventKind.SOURCE_SILENT])
# Code of posts that stay due because the job of the crawl had no room for them.
TOO_LARGE = "limit"


def failures_in_a_row(store: Store, source: str) -> int:
    """Number of crawls of a source that failed in a row before this one."""
    state = store.sources.state(source)
    return state.failures if state is not None else 0


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

    def tell_lost_posts(self, now: datetime) -> None:
        """Begin the state that posts are lost, in the transaction that settles those that were listed.

        No later walk finds them missing, so that it must not wait for the end of the crawl, which may be killed before.
        """
        before = self._store.sources.state(self._crawl.source)
        facts = facts_of_gap(self._tally.rows, before.last_success if before is not None else None, now)
        self._begin_or_end(StateAssessment(EventKind.GAP, LOST_POSTS, True, facts), now)

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
        before = self._store.sources.state(crawl.source)
        outcome = CrawlOutcome(
            state=tally.state,
            code=tally.code,
            error=tally.error,
            rows=tally.rows,
            gap=tally.gap,
            gap_lost=tally.gap_lost,
            may_be_empty=(last_new := self._store.posts.latest_new(crawl.source)) is None
            and crawl.definition.platform != "declared",
            failures=(before.failures if before is not None else 0) + 1,
            last_new=last_new,
            failed=tally.failed,
            problems=tally.problems,
            shape=tally.shape,
            page_shape=tally.page_shape,
            last_success=before.last_success if tally.gap and before is not None else None,
        )
        silent_after = crawl.settings.daemon.silent_after
        states = assess_crawl(crawl.definition.health, outcome, silent_after=silent_after, now=now)
        for state in states:
            if not (state.subject == LOST_POSTS and state.holds):
                # that was told when the walk ended
                self._begin_or_end(state, now)
        tally.changed_page = any(state.holds and state.subject in ("rows", "look", POST_PAGES) for state in states)
        tally.never_rows = tally.changed_page and last_new is None and not tally.shape
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
            events=[*self._events_of_parts_left_out(now), *self._event_of_linked_files(now)],
        )
        limits = crawl.settings.examine
        self._store.seen.expire(now - limits.keep_seen, limits.keep_seen_bytes)
        if tally.state == "done":
            tally.events += review_shared_trouble(self._store, crawl.route, now)

    def _events_of_parts_left_out(self, now: datetime) -> list[Event]:
        """Events about parts of posts that were not read and are not requested again, once for the whole crawl."""
        events = []
        # of what is gone, or for members only, nothing more can be read: it is told, and rings nobody
        rest = dict(self._tally.left)
        quiet = {code: rest.pop(code, 0) for code in ("absent", "walled")}
        for codes, severity in ((quiet, Severity.NOTICE), (rest, Severity.WARNING)):
            if number := sum(codes.values()):
                listed = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if count)
                facts = {
                    "problems": sorted(code for code, count in codes.items() if count),
                    "codes": {code: count for code, count in codes.items() if count},
                    "samples": number,
                    "reason": f"{number} parts of posts were not read ({listed})",
                    "hosts": self._tally.hosts if severity is Severity.WARNING else {},
                }
                event = build_event(
                    EventKind.UNEXAMINED,
                    now,
                    self._crawl.id,
                    severity.value,
                    severity=severity,
                    source=self._crawl.source,
                    incident=self._crawl.incident_id,
                    facts=facts,
                )
                rings = severity is Severity.WARNING
                events.append(self._crawl.with_addresses(event, self._tally.unread, now) if rings else event)
        return events

    def _event_of_linked_files(self, now: datetime) -> list[Event]:
        """The event about links to data files that no rule of the source reads: once for each definition of it."""
        crawl, tally = self._crawl, self._tally
        if not tally.linked_files:
            return []
        facts = {"subject": "linked files", "posts": tally.linked_posts, "files": tally.linked_files, "once": True}
        return [
            build_event(
                EventKind.UNEXAMINED,
                now,
                crawl.source,
                "linked files",
                crawl.definition.digest(),
                source=crawl.source,
                incident=crawl.incident_id,
                facts=facts,
            )
        ]

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
            severity=state.severity,
            source=crawl.source,
            incident=crawl.incident_id,
            facts={"subject": state.subject, **state.facts},
        )
        lasting = {(each.kind, each.subject) for each in self._store.states.lasting(crawl.source)}
        if (state.kind, state.subject) not in lasting:
            if state.kind in _WITH_PAGE and self._tally.page:
                event = crawl.with_evidence(event, self._tally.page, now)
            elif state.kind is EventKind.UNEXAMINED:
                event = crawl.with_addresses(event, self._tally.unread, now)
        self._tally.events += begin_state(self._store, event, state.subject, crawl.route, now)

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
