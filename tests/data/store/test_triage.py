"""What people decide about events: who, when and why, what it holds for, and what ends it."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import ClosingReason, EventKind, Severity, TriageState
from data.store.store import Store
from data.store.triage import RECOVERED, Decision, EventTriage
from scheduler.delivery.lasting_states import recovery_event
from tests.leased_crawl import NOW

ACK = Decision(TriageState.ACKNOWLEDGED, "ana")
HOUR = timedelta(hours=1)


def nowhere(_event):
    return ()


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as opened:
        yield opened


def add(store, kind=EventKind.FURTHER_RELEASE, subject="one", at=NOW, **fields):
    event = build_event(kind, at, subject, **fields)
    assert store.events.add([event], nowhere, at) == 1
    return event.id


def state(store, event, now=NOW):
    return store.triage.of([event], now).get(event, EventTriage()).state


def test_a_decision_says_who_when_and_why_and_is_in_the_audit_chain(store):
    event = add(store)
    assert store.triage.of([event], NOW) == {}
    store.triage.decide([event], Decision(TriageState.ACKNOWLEDGED, "ana", note="on it"), "bob", NOW)
    found = store.triage.of([event], NOW)[event]
    assert (found.state, found.owner, found.by, found.at, found.note) == ("acknowledged", "ana", "bob", NOW, "on it")
    store.triage.decide([event], Decision(TriageState.CLOSED, reason="false-alarm"), "ana", NOW + HOUR)
    found = store.triage.of([event], NOW)[event]
    assert (found.state, found.owner, found.reason) == ("closed", "ana", "false-alarm")
    assert [(each["actor"], each["action"], each["detail"]) for each in store.audit.about(event)] == [
        ("bob", "acknowledged", f"{event} to ana"),
        ("ana", "closed", f"{event} as false-alarm"),
    ]
    assert store.audit.verify() == []


def test_a_snooze_ends_by_itself(store):
    event = add(store)
    store.triage.decide([event], Decision(TriageState.SNOOZED, until=NOW + HOUR), "ana", NOW)
    assert state(store, event, NOW) == "snoozed"
    assert store.triage.select(NOW, states=[TriageState.SNOOZED]) == [event]
    assert state(store, event, NOW + HOUR) == "new"
    assert store.triage.select(NOW + HOUR, states=[TriageState.NEW]) == [event]


def test_assigning_acknowledges_what_is_new_and_leaves_every_other_state(store):
    new, closed = add(store), add(store, subject="two")
    store.triage.decide([closed], Decision(TriageState.CLOSED, reason="test"), "ana", NOW)
    store.triage.decide([new, closed], Decision(None, "eve"), "ana", NOW)
    found = store.triage.of([new, closed], NOW)
    assert {(each.state, each.owner, each.reason) for each in found.values()} == {
        ("acknowledged", "eve", ""),
        ("closed", "eve", "test"),
    }


@pytest.mark.parametrize("kind", [EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT, EventKind.SHARED_PEOPLE])
def test_new_records_in_the_same_post_end_an_acknowledgement(store, kind):
    first, other = add(store, post="p1"), add(store, subject="elsewhere", post="p2")
    closed = add(store, subject="closed", post="p1")
    store.triage.decide([first, other], ACK, "ana", NOW)
    store.triage.decide([closed], Decision(TriageState.CLOSED, reason="true"), "ana", NOW)
    again = add(store, kind, "more", post="p1")
    assert [state(store, each) for each in (first, other, closed, again)] == ["new", "acknowledged", "closed", "new"]
    assert again[:12] in store.triage.of([first], NOW)[first].note
    assert store.events.find(first)[1]["acked"] is None


def test_a_harmless_change_or_another_sighting_ends_no_acknowledgement(store):
    event = build_event(EventKind.FURTHER_RELEASE, NOW, "one", post="p1")
    store.events.add([event], nowhere, NOW)
    store.triage.decide([event.id], ACK, "ana", NOW)
    add(store, EventKind.LISTING_CHANGED, "other words", post="p1")
    assert store.events.add([event], nowhere, NOW + HOUR) == 0
    assert state(store, event.id) == "acknowledged"


def test_the_end_of_a_lasting_state_closes_its_events_and_reminders(store):
    event = build_event(EventKind.SOURCE_SILENT, NOW, "s", source="s", facts={"subject": "listing"})
    store.states.begin(event, "listing", nowhere, NOW)
    later = NOW + timedelta(hours=25)
    reminder = build_event(
        EventKind.SOURCE_SILENT, later, "again", source="s", facts={"subject": "listing", "reminder": True}
    )
    store.states.remind(later, lambda _: reminder, nowhere, later)
    others = [
        add(store, EventKind.SOURCE_SILENT, "t", at=later, source="t", facts={"subject": "listing"}),
        add(store, EventKind.SOURCE_SILENT, "posts", at=later, source="s", facts={"subject": "new posts"}),
        add(store, EventKind.SOURCE_SILENT, "before", at=NOW - HOUR, source="s", facts={"subject": "listing"}),
    ]
    store.triage.decide([event.id], ACK, "ana", NOW)
    store.states.end("s", EventKind.SOURCE_SILENT, "listing", recovery_event, nowhere, later)
    found = store.triage.of([event.id, reminder.id], NOW)
    assert {(each.state, each.reason, each.by) for each in found.values()} == {("closed", RECOVERED, "tocsin")}
    assert len(found) == 2
    assert [state(store, each) for each in others] == ["new"] * 3
    assert store.triage.precision() == []


def test_a_decision_holds_for_everything_that_was_merged_until_it_is_split(store):
    a, b, c, d = (add(store, subject=each) for each in "abcd")
    store.triage.decide([a], ACK, "ana", NOW)
    assert store.triage.merge(a, [b, c], "ana", NOW) == 2
    assert store.triage.merge(a, [b, a], "ana", NOW) == 0
    assert {state(store, each) for each in (a, b, c)} == {"acknowledged"}
    assert store.triage.merge(c, [d], "ana", NOW) == 1, "what is merged with a member belongs to its head"
    assert store.triage.decide([b], Decision(TriageState.CLOSED, reason="true"), "ana", NOW) == 4
    assert {state(store, each) for each in (a, b, c, d)} == {"closed"}
    assert store.triage.split(b, "ana", NOW)
    assert not store.triage.split(b, "ana", NOW)
    assert store.triage.decide([a], Decision(TriageState.NEW, ""), "ana", NOW) == 3
    assert [state(store, each) for each in (a, b, c, d)] == ["new", "closed", "new", "new"]


def test_two_groups_become_one(store):
    a, b, c, d = (add(store, subject=each) for each in "abcd")
    store.triage.merge(a, [b], "ana", NOW)
    store.triage.merge(c, [d], "ana", NOW)
    assert store.triage.merge(b, [d], "ana", NOW) == 2
    assert sorted(store.triage.with_merged([c])) == sorted([a, b, c, d])


def test_precision_is_counted_from_what_people_closed(store):
    for number, reason in enumerate([*["true"] * 3, "false-alarm", "re-post", "test"]):
        event = add(store, subject=number, source="board")
        store.triage.decide([event], Decision(TriageState.CLOSED, reason=reason), "ana", NOW)
    add(store, subject="open", source="board")
    [found] = store.triage.precision()
    assert (found.kind, found.source, found.share) == (EventKind.FURTHER_RELEASE, "board", 0.6)
    assert found.counts[ClosingReason.TEST] == 1
    assert store.triage.precision_of_rules() == []


def test_precision_of_a_rule_counts_every_event_that_it_made_wherever(store):
    word, expression = "word 'base santé'", "expression 'part \\\\d'"
    for number, (source, rules, reason) in enumerate(
        [("a", [word], "true"), ("b", [word, expression], "false-alarm"), ("b", [word], "re-post"), ("b", [], "true")]
    ):
        event = build_event(EventKind.ANNOUNCEMENT, NOW, number, source=source, facts={"rules": rules})
        store.events.add([event], nowhere, NOW)
        store.triage.decide([event.id], Decision(TriageState.CLOSED, reason=reason), "ana", NOW)
    found = {each.rule: (sum(each.counts.values()), each.share) for each in store.triage.precision_of_rules()}
    assert found == {word: (3, 1 / 3), expression: (1, 0.0)}


def test_unacknowledged_are_the_critical_events_that_are_new_and_old_enough(store):
    assert store.triage.unacknowledged(NOW, NOW) is None
    oldest, acked = add(store, at=NOW - 3 * HOUR), add(store, subject="acked", at=NOW - 4 * HOUR)
    add(store, subject="young", at=NOW)
    add(store, subject="warning", at=NOW - 5 * HOUR, severity=Severity.WARNING)
    add(store, subject="reminder", at=NOW - 5 * HOUR, facts={"reminder": True})
    merged = add(store, subject="merged", at=NOW - 2 * HOUR)
    store.triage.merge(oldest, [merged], "ana", NOW)
    store.triage.decide([acked], ACK, "ana", NOW)
    found = store.triage.unacknowledged(NOW - HOUR, NOW)
    assert (found.events, found.oldest, found.since) == (1, oldest, NOW - 3 * HOUR)
    store.purge(NOW - 2.5 * HOUR, NOW)
    found = store.triage.unacknowledged(NOW - HOUR, NOW)
    assert (found.events, found.oldest) == (1, merged), "the event into which it was merged is gone"


def test_decisions_are_deleted_with_their_events(store):
    event = add(store)
    store.triage.decide([event], ACK, "ana", NOW)
    store.purge(NOW + HOUR, NOW + HOUR)
    assert store.database.rows("select * from triage") == []
    assert store.database.integrity_problems() == []
