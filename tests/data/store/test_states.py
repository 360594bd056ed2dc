"""Lasting states: one event when a state begins, one for each reminder, one when it ends."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

from crawler.alerts.events import build_event
from data.model import EventKind
from data.store.store import Store
from scheduler.delivery.lasting_states import recovery_event
from tests.leased_crawl import NOW


def no_channel(_event):
    return ()


def test_a_state_makes_an_event_when_it_begins_when_it_lasts_and_when_it_ends(tmp_path):
    event = build_event(EventKind.SOURCE_SILENT, NOW, "s", source="s")
    later = NOW + timedelta(hours=25)

    def reminder(state):
        return build_event(state.kind, later, state.event, "reminder", source=state.source)

    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        states = store.states
        assert states.begin(event, "listing", no_channel, NOW)
        assert not states.begin(replace(event, id="0" * 32), "listing", no_channel, NOW)
        assert states.remind(later - timedelta(hours=24), reminder, no_channel, later) == 1
        assert states.remind(later - timedelta(hours=24), reminder, no_channel, later) == 0
        assert [state.notified for state in states.lasting()] == [later]
        assert states.end("s", EventKind.SOURCE_SILENT, "listing", recovery_event, no_channel, later)
        assert not states.end("s", EventKind.SOURCE_SILENT, "listing", recovery_event, no_channel, later)
        assert [each.kind.value for each in store.events.latest()].count("recovered") == 1
        assert len(store.events.latest()) == 3
