"""Critical alerts that nobody acknowledges: one reminder for all, escalated in time, and ended by itself."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from crawler.alerts.events import build_event
from crawler.alerts.wording import message_of
from data.model import EventKind, TriageState
from data.settings.settings import Settings
from data.store.store import Store
from data.store.triage import Decision
from scheduler.delivery.routing import route_by
from scheduler.delivery.triage_reminders import remind_of_unacknowledged
from tests.leased_crawl import NOW

SETTINGS = Settings.model_validate(
    {
        "channels": {name: {"kind": "slack", "url": "http://127.0.0.1:1"} for name in ("team", "boss")},
        "routes": [{"channels": ["team"]}, {"channels": ["boss"], "escalation": True}],
    }
)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as opened:
        yield opened


def rung(store, name):
    return [each["kind"] for each in reversed(store.outbox.alerts()) if each["channel"] == name]


def test_many_unacknowledged_alerts_are_one_reminder_that_is_escalated_and_ends(store):
    events = [build_event(EventKind.CANARY_HIT, NOW, number) for number in range(300)]
    store.events.add(events, lambda _: (), NOW)

    def after(minutes):
        return remind_of_unacknowledged(SETTINGS, store, NOW + minutes * MINUTE)

    assert [after(59), after(60), after(61), after(239)] == [False, True, False, False]
    assert after(240), "the oldest is four hours old"
    assert not after(241)
    assert after(480)
    assert rung(store, "team") == ["unacknowledged"] * 3
    assert rung(store, "boss") == ["unacknowledged"] * 2
    event, _ = store.events.find(store.states.lasting("")[0].event)
    message = message_of(event, clients={})
    assert message.title.startswith("300 critical alerts are not acknowledged, the oldest since ")
    assert "tocsin alert ack" in message.advice
    store.triage.decide([each.id for each in events[1:]], Decision(TriageState.ACKNOWLEDGED, "ana"), "ana", NOW)
    assert not after(490), "one is still new"
    store.triage.decide([events[0].id], Decision(TriageState.CLOSED, reason="true"), "ana", NOW)
    assert after(500)
    assert not after(501)
    assert store.states.lasting("") == []
    [ended] = store.events.latest(kind="recovered")
    assert "all critical alerts are acknowledged" in message_of(ended, clients={}).title


def test_without_the_setting_nobody_is_reminded(store):
    store.events.add([build_event(EventKind.CANARY_HIT, NOW, 1)], lambda _: (), NOW)
    silent = Settings.model_validate({"triage": {"remind_after": "0s"}})
    assert not remind_of_unacknowledged(silent, store, NOW + timedelta(days=9))


@pytest.mark.parametrize(
    ("route", "taken"),
    [
        ({"incidents": ["The Breach"]}, ["ours"]),
        ({"incidents": ["the-breach"]}, ["ours"]),
        ({"incidents": ["another"]}, []),
        ({"clients": ["c2"]}, ["ours"]),
        ({"clients": ["c9"]}, ["hit"]),
        ({"clients": ["c9"], "incidents": ["the-breach"]}, []),
        ({"kinds": ["gap"], "min_severity": "info"}, ["gap"]),
        ({"escalation": True}, []),
        ({}, ["ours", "hit", "gap"]),
    ],
)
def test_a_route_takes_the_events_of_its_incidents_and_clients(route, taken):
    def hit(*clients):
        return {"clients": [{"client": each, "records": 1, "canaries": 1, "kinds": []} for each in clients]}

    events = {
        "ours": build_event(EventKind.CANARY_HIT, NOW, 1, incident="the-breach", facts=hit("c1", "c2")),
        "hit": build_event(EventKind.CANARY_HIT, NOW, 2, facts=hit("c9")),
        "gap": build_event(EventKind.GAP, NOW, 3),
    }
    settings = Settings.model_validate(
        {"channels": {"a": {"kind": "slack", "url": "http://127.0.0.1:1"}}, "routes": [{"channels": ["a"], **route}]}
    )
    assert [name for name, event in events.items() if route_by(settings)(event)] == taken
