"""Tells people about failures of the daemon's own work, as lasting states of the installation.

If the database cannot be written, an alert cannot go through the outbox: then the channels are told directly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from crawler.alerts.events import build_event
from data.errors import StoreError
from data.model import EventKind, Severity
from data.settings.home import Home
from data.settings.settings import Settings
from data.store.states import LastingState
from data.store.store import Store
from scheduler.daemon.supervisor import WorkFailure
from scheduler.daemon.told_file import Told, digest_of, read_told, write_told
from scheduler.delivery.delivery import DisplayNames, send_at_once
from scheduler.delivery.lasting_states import recovery_event
from scheduler.delivery.routing import route_by

log = structlog.get_logger("daemon")

KIND = EventKind.SELFTEST_FAILED
# Subjects of failures that several pieces of work have in common, by code.
SHARED_SUBJECTS = {"store": "the database", "examiner": "the examiner process"}
# A failure with one of these codes may pass by itself; it is reported if it happens twice in a row.
MAY_PASS = frozenset({"store", "error", "crawl process", "cancelled"})


def report_fault(
    store: Store, settings: Settings, subject: str, reason: str, now: datetime, *, repeat: str | None = None
) -> None:
    """Store a warning about this installation; the same warning is an event only once a day.

    Args:
        store: of the home.
        settings: of the home.
        subject: what it is about.
        reason: a sentence.
        now: aware UTC.
        repeat: warnings that differ in it are different ones; the day if None.
    """
    event = build_event(
        KIND,
        now,
        subject,
        reason,
        now.date().isoformat() if repeat is None else repeat,
        facts={"subject": subject, "reason": reason, "once": True},
    )
    store.events.add([event], route_by(settings), now)


def repair_times(store: Store, settings: Settings, now: datetime, *, all_tables: bool = True) -> None:
    """Repair stored times that lie in the future, and report them; they come from a clock that was ahead."""
    repair = store.repair_future_times(now, all_tables=all_tables)
    if repair is None:
        return
    named = ", ".join(repair.sources[:10]) + (" and others" if len(repair.sources) > 10 else "")
    reason = (
        f"{repair.number} stored times were in the future, the latest {repair.latest:%F %R} UTC:"
        " the clock of this machine was ahead. They were set back"
        + (f", and these sources are crawled at once: {named}" if named else "")
    )
    log.error("stored times were in the future", number=repair.number, latest=repair.latest.isoformat())
    report_fault(store, settings, "clock", reason, now, repeat=now.isoformat())


class TroubleReports:
    """Begins a state when work fails, and ends it when all work that failed for this reason succeeds again."""

    def __init__(self, home: Home, settings: Callable[[], Settings], store: Callable[[], Store]) -> None:
        """For one home; settings and store are asked for at each report, because they may be opened anew."""
        self._home, self._settings, self._store = home, settings, store
        self._failing: dict[str, set[str]] = {}
        # subject -> state that was reported without the database, and the monotonic time of the last message
        self._unstored: dict[str, tuple[LastingState, float]] = {}

    def adopt(self) -> set[str]:
        """Take on the states that an earlier daemon began and did not live to end; returns the work that failed then.

        Raises:
            StoreError: the database cannot be read.
        """
        now = datetime.now(UTC)
        for subject, told in read_told(self._home).items():
            if told.work:
                self._failing.setdefault(subject, set()).add(told.work)
                state = LastingState("", KIND, subject, told.began, told.at, told.event)
                # as long ago as by the clock of the system, which may have been set back
                self._unstored[subject] = (state, time.monotonic() - max(0.0, (now - told.at).total_seconds()))
        store = self._store()
        for state in store.states.lasting(""):
            event = store.events.get(state.event) if state.kind is KIND else None
            if event is not None and "code" in event.facts:
                self._failing.setdefault(state.subject, set()).add(str(event.facts["reason"]).partition(": ")[0])
        return set().union(*self._failing.values())

    async def failed(self, failure: WorkFailure) -> None:
        """Begin the state of a failure, unless it may pass and happened for the first time."""
        if failure.count < 2 and failure.code in MAY_PASS:
            return
        subject = SHARED_SUBJECTS.get(failure.code, failure.work)
        self._failing.setdefault(subject, set()).add(failure.work)
        now = datetime.now(UTC)
        event = build_event(
            KIND,
            now,
            subject,
            now.isoformat(),
            severity=Severity.CRITICAL if subject in SHARED_SUBJECTS.values() else None,
            facts={"subject": subject, "reason": f"{failure.work}: {failure.reason}", "code": failure.code},
        )
        settings = self._settings()
        try:
            self._store().states.begin(event, subject, route_by(settings), now)
        except StoreError:
            told = self._unstored.get(subject)
            if told is not None and time.monotonic() - told[1] < settings.daemon.remind_every.total_seconds():
                return
            accepted = await send_at_once(settings, event, DisplayNames.of_home(self._home))
            log.error("the channels were told without the database", subject=subject, channels=list(accepted))
            if accepted:
                state = LastingState("", KIND, subject, now, now, event.id)
                state = told[0] if told else state
                self._unstored[subject] = (state, time.monotonic())
                note = Told(digest_of(failure.reason), failure.work, now, state.began, event.id)
                write_told(self._home, {**read_told(self._home), subject: note})

    async def recovered(self, work: str) -> None:
        """End the states that only this work still held."""
        for subject, works in list(self._failing.items()):
            works.discard(work)
            if works:
                continue
            now, route = datetime.now(UTC), route_by(self._settings())
            store = self._store()
            ended = store.states.end("", KIND, subject, recovery_event, route, now)
            if not ended and subject in self._unstored:
                store.events.add([recovery_event(self._unstored[subject][0])], route, now)
            if self._unstored.pop(subject, None) is not None:
                write_told(self._home, {name: each for name, each in read_told(self._home).items() if name != subject})
            del self._failing[subject]
