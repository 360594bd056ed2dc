"""Sources that fail together are one event about Tocsin; those that fail alone, or go on failing, ring for themselves."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from crawler.alerts.wording import message_of
from data.model import EventKind, Severity
from data.store.store import Store
from scheduler.delivery.lasting_states import recovery_event
from scheduler.delivery.shared_trouble import begin_state, review_shared_trouble

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def ring(event):
    """Events of severity warning and above ring."""
    return ["team"] if event.severity.rank >= Severity.WARNING.rank else []


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        for number in range(12):
            store.sources.put(f"forum-{number:02}", "d", True, NOW, platform="mybb", via="tor")
        for number in range(12):
            store.sources.put(f"site-{number:02}", "d", True, NOW, platform="declared")
        yield store


def fail(
    store: Store,
    source: str,
    minutes: float = 0,
    kind: EventKind = EventKind.SOURCE_SILENT,
    severity: Severity | None = None,
    code: str = "timeout",
) -> None:
    now = NOW + timedelta(minutes=minutes)
    facts = {"subject": "listing", "code": code, "reason": f"the reason is {code}"}
    event = build_event(kind, now, source, now.isoformat(), severity=severity, source=source, facts=facts)
    begin_state(store, event, "listing", ring, now)


def work(store: Store, source: str, minutes: float) -> None:
    now = NOW + timedelta(minutes=minutes)
    for kind in (EventKind.SOURCE_SILENT, EventKind.SOURCE_CHANGED):
        store.states.end(source, kind, "listing", recovery_event, ring, now)
    review_shared_trouble(store, ring, now)


def rung(store: Store) -> list[tuple[str, str]]:
    """Subject or source of each event that rang, oldest first."""
    events = reversed(store.events.latest(limit=1000))
    return [(each.kind.value, each.source or each.facts["subject"]) for each in events if ring(each)]


def shared(store: Store) -> list[str]:
    return [state.subject for state in store.states.lasting("")]


def test_a_dozen_sources_of_one_platform_that_fail_within_an_hour_are_one_event(store):
    for number in range(12):
        fail(
            store,
            f"forum-{number:02}",
            minutes=number,
            kind=[EventKind.SOURCE_SILENT, EventKind.SOURCE_CHANGED][number % 2],
        )
    assert shared(store) == ["many sources of platform mybb"]
    alone = [source for kind, source in rung(store) if kind != "selftest_failed"]
    assert len(alone) == 5, "until half of the twelve fail, each rings"
    assert rung(store).count(("selftest_failed", "many sources of platform mybb")) == 1
    # each has its state all the same: none of them is called fine
    assert len([each for each in store.states.lasting() if each.source]) == 12
    [event] = [each for each in store.events.latest(limit=1000) if each.kind is EventKind.SELFTEST_FAILED]
    assert "6 of 12 sources of platform mybb" in event.facts["reason"]
    assert "many sources of platform mybb" in message_of(event, clients={}).text


def test_when_most_work_again_it_ends_and_those_that_go_on_failing_ring(store):
    for number in range(12):
        fail(store, f"forum-{number:02}")
    before = len(rung(store))
    for number in range(9):
        work(store, f"forum-{number:02}", minutes=30)
        fail(store, "forum-11", minutes=30)
    assert shared(store) == ["many sources of platform mybb"]
    assert rung(store)[before:] == []
    work(store, "forum-09", minutes=31)
    assert shared(store) == []
    for minutes in (32, 33):
        fail(store, "forum-11", minutes)
        assert rung(store)[before:] == [("source_silent", "forum-11")]


@pytest.mark.parametrize(
    ("names", "subjects"),
    [
        (["site-00", "site-01", "site-02"], []),
        ([f"site-{number:02}" for number in range(7)], ["many sources over direct"]),
        ([f"forum-{number:02}" for number in range(7)], ["many sources of platform mybb"]),
    ],
)
def test_the_smallest_group_that_explains_it_is_named(store, names, subjects):
    """Three of twelve sites with rules of their own may well be down; half of what goes over one road is not."""
    for name in names:
        fail(store, name)
    assert shared(store) == subjects


def test_failures_that_are_hours_apart_and_those_of_two_sources_are_their_own(store):
    for number in range(12):
        fail(store, f"forum-{number:02}", minutes=61 * number)
    assert shared(store) == []
    assert len(rung(store)) == 12


def test_new_boards_that_are_empty_are_no_trouble_and_hide_none(store):
    for number in range(8):
        fail(store, f"forum-{number:02}", kind=EventKind.SOURCE_CHANGED, severity=Severity.NOTICE)
    assert rung(store) == []
    fail(store, "forum-11")
    assert (rung(store), shared(store)) == ([("source_silent", "forum-11")], [])


def test_a_site_that_did_not_answer_and_is_seized_by_now_rings_again_and_each_code_once(store):
    codes = ("timeout", "challenge", "timeout", "seized", "refused", "challenge", "seized")
    for number, code in enumerate(codes):
        fail(store, "site-00", minutes=number, code=code)
    told = [event for event in reversed(store.events.latest()) if ring(event)]
    assert [event.facts["code"] for event in told] == ["timeout", "challenge", "seized"]
    assert "the reason is seized" in message_of(told[-1], clients={}).text
    [state] = store.states.lasting("site-00")
    assert (state.event, state.began) == (told[-1].id, NOW), "it is one state, which ends once"
    work(store, "site-00", 10)
    assert rung(store)[3:] == []
    assert store.states.lasting("site-00") == []
