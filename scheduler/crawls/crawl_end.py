"""What a crawl's end means: the states of its source that begin or are over, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crawler.alerts.events import build_event
from data.model import Event, EventKind, Severity
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.store.events import Route
from data.store.store import Store
from scheduler.crawls.crawl_health import TOR_DOWN, Judgement, Outcome, judge
from scheduler.crawls.crawl_tally import Tally
from scheduler.crawls.definitions import platforms
from scheduler.delivery.lasting_states import recovery_event, update_tor_state


def failures_of(store: Store, source: str) -> int:
    """Failed crawls of a source in a row, before this one."""
    return next((state.failures for state in store.sources.states() if state.name == source), 0)


class CrawlEnd:
    """Of one leased crawl."""

    def __init__(
        self,
        store: Store,
        definition: Definition,
        settings: Settings,
        tally: Tally,
        *,
        fence: int,
        route: Route,
        incident: str,
    ) -> None:
        self._store, self._definition, self._settings, self.tally = store, definition, settings, tally
        self._name, self._crawl, self._fence = definition.name, tally.crawl, fence
        self._route, self._incident = route, incident

    def tell_platforms(self, now: datetime) -> None:
        """Tell of platforms whose module is broken, whatever source this crawl is of."""
        broken = {f"platform {name}": kind for name, kind in platforms().broken.items()}
        for subject, kind in broken.items():
            facts = {"subject": subject, "reason": f"its module fails with {kind}; the other platforms run"}
            event = build_event(EventKind.SELFTEST_FAILED, now, subject, kind, self._crawl, facts=facts)
            self.tally.events += self._store.states.begin(event, subject, self._route, now)
        for state in self._store.states.lasting(""):
            if state.subject.startswith("platform ") and state.subject not in broken:
                self.tally.events += self._store.states.end(
                    "", state.kind, state.subject, recovery_event, self._route, now
                )

    def finish(self, now: datetime) -> None:
        """Keep how the crawl ended, and ring for what is wrong with its source or well again."""
        if self._definition.via == "tor" and (self.tally.state == "done" or self.tally.code == TOR_DOWN):
            reason = "" if self.tally.state == "done" else self.tally.error
            self.tally.events += update_tor_state(self._store, self._route, reason, now, hint=self.tally.hint)
        outcome = Outcome(
            state=self.tally.state,
            code=self.tally.code,
            error=self.tally.error,
            rows=self.tally.rows,
            gap=self.tally.gap,
            failures=failures_of(self._store, self._name) + 1,
            last_new=self._store.posts.latest_new(self._name),
            failed=self.tally.failed,
            problems=self.tally.problems,
        )
        judged = judge(self._definition.health, outcome, silent_after=self._settings.daemon.silent_after, now=now)
        for judgement in judged:
            self._state(judgement, now)
        self.tally.changed_page = any(each.holds and each.subject == "rows" for each in judged)
        if self.tally.state == "done":
            self._close_readings(judged, now)
        counts = {
            **self.tally.counts,
            "gap": self.tally.gap,
            "rows": self.tally.rows,
            "failed": dict(self.tally.failed),
            "code": self.tally.code,
        }
        self.tally.events += self._store.finish_crawl(
            self._crawl,
            self._fence,
            self.tally.state,
            self._route,
            now,
            counts=counts,
            error=self.tally.error,
            events=self._left_out(now),
        )

    def _left_out(self, now: datetime) -> list[Event]:
        """Parts of posts that were not read and are not asked for again: told once for the whole crawl."""
        events = []
        gone = self.tally.left.pop("absent", 0)
        for codes, severity in (({"absent": gone}, Severity.NOTICE), (dict(self.tally.left), Severity.WARNING)):
            if number := sum(codes.values()):
                said = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if count)
                facts = {
                    "problems": sorted(codes),
                    "samples": number,
                    "reason": f"{number} parts of posts were not read ({said})",
                    "hosts": self.tally.hosts if severity is Severity.WARNING else {},
                }
                events.append(
                    build_event(
                        EventKind.UNEXAMINED,
                        now,
                        self._crawl,
                        severity.value,
                        severity=severity,
                        source=self._name,
                        incident=self._incident,
                        facts=facts,
                    )
                )
        return events

    def _state(self, judgement: Judgement, now: datetime) -> None:
        if not judgement.holds:
            self.tally.events += self._store.states.end(
                self._name, judgement.kind, judgement.subject, recovery_event, self._route, now
            )
            return
        event = build_event(
            judgement.kind,
            now,
            self._name,
            judgement.subject,
            self._crawl,
            source=self._name,
            incident=self._incident,
            facts={"subject": judgement.subject, **judgement.facts},
        )
        self.tally.events += self._store.states.begin(event, judgement.subject, self._route, now)

    def _close_readings(self, judged: Sequence[Judgement], now: datetime) -> None:
        """End what the listing's reader complained of before and does not any more."""
        still = {judgement.subject for judgement in judged if judgement.holds}
        for state in self._store.states.lasting(self._name):
            if (
                state.kind is EventKind.SOURCE_CHANGED
                and state.subject.startswith("reading ")
                and state.subject not in still
            ):
                self._state(Judgement(state.kind, state.subject, holds=False), now)
