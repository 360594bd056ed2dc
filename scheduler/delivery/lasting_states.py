"""Lasting states of the installation: Tor down, a failed self-test, and the reminders and recoveries of all states.

A lasting state gives one alert when it begins, a reminder after each `daemon.remind_every`, and one alert when it ends.
States of single sources begin and end in `scheduler.crawls.crawl_end`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from crawler.alerts.events import build_event
from crawler.process.examiner_client import ExaminerProcess
from data.errors import ExaminerDied, StoreError
from data.model import Event, EventKind, Severity
from data.settings.settings import Settings
from data.store.events import Route
from data.store.selftests import EXAMINER_SELFTEST, SELFTEST_EVERY
from data.store.states import LastingState
from data.store.store import Store
from scheduler.delivery.routing import route_by

log = structlog.get_logger("daemon")

TOR_SUBJECT = "tor"
TOR_CHECK_EVERY = timedelta(seconds=10)


def update_tor_state(store: Store, route: Route, reason: str, now: datetime, *, hint: str = "") -> int:
    """Begin the state "Tor is down" if there is a reason, end it if there is none; returns how many events that made.

    Args:
        store: of the home.
        route: channels of an event.
        reason: why Tor cannot be used, one sentence; '' if it can.
        now: aware UTC.
        hint: what to do about it.
    """
    if not reason:
        return int(store.states.end("", EventKind.TOR_DOWN, TOR_SUBJECT, recovery_event, route, now))
    facts = {"subject": TOR_SUBJECT, "reason": f"{reason} ({hint})" if hint else reason}
    event = build_event(EventKind.TOR_DOWN, now, TOR_SUBJECT, now.isoformat(), facts=facts)
    return int(store.states.begin(event, TOR_SUBJECT, route, now))


def recovery_event(state: LastingState) -> Event:
    """The event that ends a lasting state."""
    return build_event(
        EventKind.RECOVERED,
        datetime.now(UTC),
        state.event,
        source=state.source,
        thread=state.event,
        facts={"of": state.kind.value, "subject": state.subject, "began": state.began.isoformat(timespec="seconds")},
    )


def remind_of_lasting_states(settings: Settings, store: Store, now: datetime) -> int:
    """Add a reminder for each state whose last notice is older than `daemon.remind_every`; returns how many."""

    def reminder(state: LastingState) -> Event:
        facts: dict[str, Any] = {
            "subject": state.subject,
            "began": state.began.isoformat(timespec="seconds"),
            "reminder": True,
        }
        return build_event(
            state.kind,
            now,
            state.event,
            "reminder",
            now.isoformat(),
            source=state.source,
            thread=state.event,
            facts=facts,
        )

    return store.states.remind(now - settings.daemon.remind_every, reminder, route_by(settings), now)


async def run_selftest(
    settings: Settings, store: Store, examiner: ExaminerProcess, now: datetime, *, known: Sequence[str] = ()
) -> list[str]:
    """Test whether the examiner finds a planted canary and the store takes a finding; returns what is wrong, if any.

    `known` are sentences about what the caller found wrong. The result is stored, and begins or ends the state
    "self-test failed"; when it ends, the posts that were examined meanwhile are due for examination again. An examiner
    that makes no progress is ended.
    """
    try:
        problems = [*known, *await asyncio.to_thread(examiner.selftest)]
    except ExaminerDied as error:
        problems = [*known, str(error)]
    problems = list(dict.fromkeys(problems))
    try:
        store.try_commit(now)
    except StoreError as error:
        problems.append(f"a finding cannot be stored: {error}")
    store.selftests.record(EXAMINER_SELFTEST, now, passed=not problems)
    route = route_by(settings)
    began = next((each.began for each in store.states.lasting("") if each.subject == EXAMINER_SELFTEST), None)
    if began is not None and not problems:
        # Whatever was wrong may have begun just after the last test that passed: canaries may have been missed since.
        again = store.posts.examine_again(began - 2 * SELFTEST_EVERY)
        log.info("posts that were examined while the self-test failed are examined again", posts=again)
    update_fault_state(store, EXAMINER_SELFTEST, problems, route, now, severity=Severity.CRITICAL)
    return problems


def update_fault_state(
    store: Store,
    subject: str,
    problems: Sequence[str],
    route: Route,
    now: datetime,
    *,
    severity: Severity | None = None,
    reason: str = "",
) -> None:
    """Begin the state of a fault of this installation if there are problems, and end it if there are none.

    A state that lasts has another event once there is a problem that the last event did not name.

    Args:
        store: of the home.
        subject: what is faulty.
        problems: sentences.
        route: channels of an event.
        now: aware UTC.
        severity: of the event, if not the usual one.
        reason: what the event says in place of all problems.
    """
    if not problems:
        store.states.end("", EventKind.SELFTEST_FAILED, subject, recovery_event, route, now)
        return
    facts = {"subject": subject, "reason": reason or "; ".join(problems)}
    event = build_event(EventKind.SELFTEST_FAILED, now, subject, now.isoformat(), severity=severity, facts=facts)
    if store.states.begin(event, subject, route, now):
        return
    [state] = [each for each in store.states.lasting("") if (each.kind, each.subject) == (event.kind, subject)]
    last, _ = store.events.find(state.event) or (None, None)
    named = _without_numbers(str(last.facts.get("reason")) if last is not None else "")
    if any(_without_numbers(each) not in named for each in ([reason] if reason else problems)):
        store.states.renew(event, subject, route, now)


def _without_numbers(sentence: str) -> str:
    return "".join("#" if char.isdigit() else char for char in sentence)


def channel_test_event(now: datetime) -> Event:
    """The harmless event that `tocsin alert test` sends."""
    return build_event(
        EventKind.RECOVERED,
        now,
        "trial",
        now.isoformat(),
        facts={"reason": "somebody ran tocsin alert test", "trial": True},
    )
