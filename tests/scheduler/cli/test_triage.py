"""`tocsin alert ack`, `assign`, `snooze`, `close`, `reopen`, `merge`, `split` and `precision`."""

from __future__ import annotations

import contextlib
import getpass
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind
from data.store.store import Store
from tests.inside import fine, refused, run

pytestmark = pytest.mark.slow

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ME = getpass.getuser()


@pytest.fixture
def home(tmp_path):
    fine(None, "init", tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def events(home):
    """Four events: two of an incident, and two of sources."""
    made = [
        build_event(EventKind.CANARY_HIT, AT, 1, source="board", incident="the-breach"),
        build_event(EventKind.FURTHER_RELEASE, AT, 2, source="leaks", incident="the-breach"),
        build_event(EventKind.CANARY_HIT, AT, 3, source="board"),
        build_event(EventKind.GAP, AT, 4, source="leaks"),
    ]
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        store.events.add(made, lambda _: ("team",), AT)
    return [event.id for event in made]


def listed(home, state):
    return {each["event"] for each in fine(home, "alert", "list", "--triage", state, "--json").json["alerts"]}


def shown(home, event):
    return fine(home, "alert", "show", event, "--json").json


def test_a_whole_incident_is_acknowledged_by_one_command(home, events):
    assert fine(home, "alert", "ack", "--incident", "The Breach").stdout == "2 events are acknowledged\n"
    assert listed(home, "acknowledged") == set(events[:2])
    assert listed(home, "new") == set(events[2:])
    refused(run(home, "alert", "ack", "--incident", "another"), "there is no incident 'another'")
    refused(run(home, "alert", "close", "--source", "bord", "--as", "test"), "there is no source 'bord'")
    done = fine(home, "alert", "reopen", "--source", "board", "--severity", "info").stdout
    assert done.startswith("no event fits")


def test_an_event_passes_through_every_state_with_its_history(home, events):
    event = events[0]
    fine(home, "alert", "ack", event[:8], "--to", "Ana B.", "--note", "calling the practice")
    assert shown(home, event)["triage"] == {
        **shown(home, event)["triage"],
        "state": "acknowledged", "owner": "Ana B.", "by": ME, "note": "calling the practice", "until": None,
    }  # fmt: skip
    done = fine(home, "alert", "snooze", event, "--until", "2d", "--json").json
    assert (done["count"], done["events"][0]["state"]) == (1, "snoozed")
    until = datetime.fromisoformat(shown(home, event)["triage"]["until"])
    assert timedelta(hours=47) < until - datetime.now(UTC) < timedelta(hours=49)
    assert fine(home, "alert", "assign", event, "--to", "eve").stdout.startswith(f"{event[:12]} is snoozed")
    fine(home, "alert", "close", event, "--as", "false-alarm", "--note", "our own test data")
    refused(run(home, "alert", "ack", event), "is closed", f"tocsin alert reopen {event[:12]}")
    refused(run(home, "alert", "snooze", event, "--until", "2d"), "is closed")
    assert listed(home, "closed") == {event}
    assert "new again" in fine(home, "alert", "reopen", event).stdout
    history = [each["action"] for each in shown(home, event)["history"]]
    assert history == ["acknowledged", "snoozed", "assigned", "closed", "reopened"]
    text = fine(home, "alert", "show", event).stdout
    assert f"{ME}: closed as false-alarm" in text
    fine(home, "alert", "close", event, "--as", "true")
    assert "closed as true, assigned to" not in fine(home, "alert", "show", event).stdout
    assert "(closed)" in fine(home, "alert", "list").stdout


def test_merged_events_are_closed_together_and_counted(home, events):
    assert (
        fine(home, "alert", "merge", events[0], events[1], events[2]).stdout
        == f"2 events merged into {events[0][:12]}\n"
    )
    assert fine(home, "alert", "close", events[2], "--as", "true").stdout == "3 events are closed: true\n"
    assert shown(home, events[1])["triage"]["merged_into"] == events[0]
    fine(home, "alert", "split", events[2])
    refused(run(home, "alert", "merge", events[0], events[0]), "cannot be merged into itself")
    refused(run(home, "alert", "split", events[2]), "was not merged")
    fine(home, "alert", "reopen", events[2])
    fine(home, "alert", "close", events[2], "--as", "false-alarm")
    rows = fine(home, "alert", "precision", "--json").json["precision"]
    assert [(each["kind"], each["true"], each["false_alarm"], each["precision"]) for each in rows] == [
        ("canary_hit", 1, 1, 0.5),
        ("further_release", 1, 0, 1.0),
    ]
    assert "50%" in fine(home, "alert", "precision").stdout


def test_precision_is_shown_for_each_rule_and_rounded_down(home):
    rule = r"word '[bold]base\\santé'"
    made = [build_event(EventKind.ANNOUNCEMENT, AT, each, source="board", facts={"rules": [rule]}) for each in range(3)]
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        store.events.add(made, lambda _: (), AT)
    fine(home, "alert", "close", *[event.id for event in made[:2]], "--as", "true")
    fine(home, "alert", "close", made[2].id, "--as", "false-alarm")
    assert fine(home, "alert", "precision", "--json").json["rules"] == [
        {"rule": rule, "true": 2, "false_alarm": 1, "re_post": 0, "test": 0, "precision": 2 / 3}
    ]
    shown = fine(home, "alert", "precision").stdout
    assert (r"word '[bold]base\santé'" in shown, shown.count("66%")) == (True, 2)


def test_without_closed_events_precision_says_how_to_close_one(home):
    assert "tocsin alert close" in fine(home, "alert", "precision").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ack"], ["name events by their ids"]),
        (["ack", "ID", "--source", "board"], ["name events by their ids"]),
        (["ack", "nonsense"], ["no event, or more than one"]),
        (["ack", "ID", "--to", "x\x1b[2J"], ["a person's name"]),
        (["snooze", "ID", "--until", "tomorrow"], ["is no time", "2026-12-01"]),
        (["snooze", "ID", "--until", "2020-01-01"], ["not in the future"]),
        (["snooze", "ID", "--until", "9999-12-31"], ["more than 90 days away", "close the event"]),
        (["snooze", "ID", "--until", "99999999d"], ["is no time"]),
        (["close", "ID", "--as", "true", "--note", "ask li.wu@mail.example"], ["must not hold an e-mail address"]),
        (["close", "ID", "--as", "true", "--note", "call 06 12 34 56 78"], ["must not hold"]),
        (["close", "ID", "--as", "true", "--note", "x" * 501], ["at most 500 characters"]),
    ],
)
def test_what_cannot_be_decided_is_refused_and_changes_nothing(home, events, arguments, words):
    refused(run(home, "alert", *[events[0] if each == "ID" else each for each in arguments]), *words, "hint:")
    assert listed(home, "new") == set(events)
