"""The lists of events with filters, and the sums over open incidents, agree with a plain look at every event."""

from __future__ import annotations

import contextlib
import random
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind, Severity, TriageState
from data.store.store import Store
from data.store.triage import Decision, EventTriage
from scheduler.reports.open_events import LEAK_KINDS, Filter, first_alerts, list_events, open_incidents
from tests.synth.console_home import leak_facts

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
KINDS = (EventKind.FURTHER_RELEASE, EventKind.GAP, EventKind.CANARY_HIT, EventKind.RECOVERED)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three hundred events, most of which somebody decided about."""
    draw = random.Random(3)
    with contextlib.closing(Store.open(tmp_path_factory.mktemp("open") / "tocsin.db")) as opened:
        events = [
            build_event(
                kind := draw.choice(KINDS), NOW - timedelta(minutes=number), number, source=draw.choice(["a", "b"]),
                incident=draw.choice(["", "x", "y"]), severity=draw.choice(list(Severity)), address=f"http://h{number}.example/",
                facts=leak_facts(draw.sample(["p", "q", "r"], 2), number) if kind in LEAK_KINDS else {"subject": "listing"},
            )
            for number in range(300)
        ]  # fmt: skip
        opened.events.add(events, lambda _: ("team",), NOW)
        decisions = [
            None, Decision(TriageState.ACKNOWLEDGED, "ana"), Decision(TriageState.CLOSED, reason="true"),
            Decision(TriageState.SNOOZED, until=NOW + timedelta(hours=1)), Decision(TriageState.SNOOZED, until=NOW - timedelta(hours=1)),
            Decision(TriageState.NEW, ""),
        ]  # fmt: skip
        for event in events:
            if (decision := draw.choice(decisions)) is not None:
                opened.triage.decide([event.id], decision, "bo", NOW - timedelta(hours=2))
        yield opened


def everything(store):
    events = store.events.latest(limit=1000)
    triage = store.triage.of([each.id for each in events], NOW)
    return [(each, triage.get(each.id, EventTriage())) for each in events]


@pytest.mark.parametrize("state", ["", "open", "new", "acknowledged", "snoozed", "closed"])
@pytest.mark.parametrize(
    "more", [{}, {"severity": "critical"}, {"kind": "gap", "source": "a"}, {"incident": ""}, {"incident": "x", "about": "leaks"},
             {"about": "watching"}, {"text": "h1"}],
)  # fmt: skip
def test_a_filter_lets_the_same_events_through_as_a_look_at_each(store, state, more):
    def fits(event, triage):
        leak = event.kind in LEAK_KINDS
        return (
            (not state or (triage.state != "closed" if state == "open" else triage.state == state))
            and more.get("severity", event.severity) == event.severity
            and more.get("kind", event.kind) == event.kind
            and more.get("source", event.source) == event.source
            and more.get("incident", event.incident) == event.incident
            and (more.get("about", "") in {"", "leaks" if leak else "watching"})
            and more.get("text", "") in f"{event.address} {event.source} {event.incident}"
        )

    expected = [event.id for event, triage in everything(store) if fits(event, triage)]
    wanted = Filter(state=state, **more)
    found = list_events(store, wanted, NOW, limit=1000)
    assert [each.event.id for each in found] == expected
    assert all(fits(each.event, each.triage) for each in found)
    # pages are parts of the whole
    pages = [list_events(store, wanted, NOW, limit=20, offset=20 * page) for page in range(3)]
    assert [each.event.id for page in pages for each in page] == expected[:60]


def test_the_first_alert_of_an_incident_stays_the_first_when_it_is_closed(store):
    def first(*, without: str = "") -> dict[str, datetime]:
        found: dict[str, datetime] = {}
        for event, _ in everything(store):
            grave = event.kind in LEAK_KINDS and event.severity in {"critical", "warning"}
            if grave and event.incident and event.id != without:
                found[event.incident] = min(event.at, found.get(event.incident, event.at))
        return found

    assert first_alerts(store) == first()
    [oldest] = [each for each, _ in everything(store) if each.incident == "x" and each.at == first()["x"]]
    before = store.triage.of([oldest.id], NOW).get(oldest.id, EventTriage())
    try:
        store.triage.decide([oldest.id], Decision(TriageState.CLOSED, reason="false-alarm"), "bo", NOW)
        assert first_alerts(store) == first(without=oldest.id) != first()
    finally:
        store.triage.decide([oldest.id], Decision(TriageState.CLOSED, reason="true"), "bo", NOW)
    assert first_alerts(store) == first()
    store.triage.decide([oldest.id], Decision(before.state, before.owner, until=before.until), "bo", NOW)


def test_an_open_incident_sums_up_its_open_events(store):
    open_leaks = [
        event
        for event, triage in everything(store)
        if triage.state in {"new", "acknowledged"} or (triage.state == "snoozed" and triage.until)
        if event.kind in LEAK_KINDS and event.severity in {"critical", "warning"}
    ]
    found = {each.id: each for each in open_incidents(store, NOW)}
    assert found.keys() == {event.incident for event in open_leaks} == {"", "x", "y"}
    for name, incident in found.items():
        mine = [event for event in open_leaks if event.incident == name]
        assert sum(incident.events.values()) == len(mine)
        assert incident.new == (
            sum(each.facts["new"] for each in mine),
            sum(each.facts["interval"][0] for each in mine),
            sum(each.facts["interval"][1] for each in mine),
        )
        assert incident.clients == {hit["client"] for each in mine for hit in each.facts["clients"]}
        assert (incident.first, incident.last) == (min(each.at for each in mine), max(each.at for each in mine))
        assert (
            incident.gravest.event.severity
            == incident.worst
            == max((each.severity for each in mine), key=lambda s: s.rank)
        )
