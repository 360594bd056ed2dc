"""Whether Tor is there, as a lasting state of the installation: told when it goes, reminded of, told when it is back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from crawler.alerts.events import event_id, make
from crawler.process.examiner_client import ExaminerProcess
from data.errors import ExaminerDied
from data.model import Event, EventKind, Severity
from data.settings.settings import Settings
from data.store.events import Route
from data.store.states import LastingState
from data.store.store import Store
from scheduler.delivery.routing import route_by

SUBJECT = "tor"
LOOK_EVERY = timedelta(seconds=10)


def tell_tor(store: Store, route: Route, reason: str, now: datetime, *, hint: str = "") -> int:
    """Begin the state with a reason, end it without one; returns how many events that made.

    Args:
        store: of the home.
        route: channels of an event.
        reason: why Tor is not there, one sentence; '' where it is.
        now: aware UTC.
        hint: what to do.
    """
    if not reason:
        return int(store.states.end("", EventKind.TOR_DOWN, SUBJECT, recovered, route, now))
    said = f"{reason} ({hint})" if hint else reason
    event = make(EventKind.TOR_DOWN, now, SUBJECT, now.isoformat(), facts={"subject": SUBJECT, "reason": said})
    return int(store.states.begin(event, SUBJECT, route, now))


# The self-test of the examiner, and after how long without one the last result says nothing any more.
EXAMINER_TEST = "examiner"
SELFTEST_EVERY = timedelta(hours=1)


def recovered(state: LastingState) -> Event:
    """The event that ends a lasting state."""
    return make(
        EventKind.RECOVERED,
        datetime.now(UTC),
        state.event,
        source=state.source,
        facts={"of": state.kind.value, "subject": state.subject, "began": state.began.isoformat(timespec="seconds")},
    )


def remind(settings: Settings, store: Store, now: datetime) -> int:
    """Tell every lasting state again whose last telling is older than the settings say; returns how many."""

    def again(state: LastingState) -> Event:
        facts: dict[str, Any] = {
            "subject": state.subject,
            "began": state.began.isoformat(timespec="seconds"),
            "reminder": True,
        }
        return make(state.kind, now, state.event, "reminder", now.isoformat(), source=state.source, facts=facts)

    return store.states.remind(now - settings.daemon.remind_every, again, route_by(settings), now)


def selftest(settings: Settings, store: Store, examiner: ExaminerProcess, now: datetime) -> list[str]:
    """Try the road from bytes to a hit, and begin or end the state that says it is broken; what is wrong with it."""
    try:
        wrong = examiner.selftest()
    except ExaminerDied as error:
        wrong = [str(error)]
    store.selftests.record(EXAMINER_TEST, now, passed=not wrong)
    if wrong:
        event = make(
            EventKind.SELFTEST_FAILED, now, EXAMINER_TEST, now.isoformat(),
            severity=Severity.CRITICAL, facts={"subject": EXAMINER_TEST, "reason": "; ".join(wrong)},
        )  # fmt: skip
        store.states.begin(event, EXAMINER_TEST, route_by(settings), now)
    else:
        store.states.end("", EventKind.SELFTEST_FAILED, EXAMINER_TEST, recovered, route_by(settings), now)
    return wrong


def trial(now: datetime) -> Event:
    """The harmless event that `alert test` sends."""
    return Event(
        event_id(EventKind.RECOVERED, "trial", now.isoformat()),
        EventKind.RECOVERED,
        make(EventKind.RECOVERED, now).severity,
        now,
        facts={"reason": "a trial message of `tocsin alert test`; nothing happened"},
    )
