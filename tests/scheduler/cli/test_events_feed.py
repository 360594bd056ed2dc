"""`tocsin events`: every event once, in order, from wherever the reader stopped."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind
from data.store.store import Store
from tests.inside import fine, refused, run

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    fine(None, "init", tmp_path / "home")
    return tmp_path / "home"


def add(home, *numbers):
    # the later ones happened earlier: the feed goes by what was stored, not by when it happened
    made = [build_event(EventKind.GAP, AT - timedelta(hours=each), each, source=f"s{each}") for each in numbers]
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        store.events.add(made, lambda _: (), AT)
    return [event.id for event in made]


def read(home, cursor="", *more):
    value = fine(home, "events", "--json", "--since", cursor, *more).json
    return [each["id"] for each in value["events"]], value["cursor"], value["more"]


def test_a_reader_gets_every_event_once_and_in_order(home):
    assert read(home) == ([], "", False)
    ids = add(home, 1, 2, 3)
    first, cursor, more = read(home, "", "--limit", "2")
    assert (first, more) == (ids[:2], True)
    assert read(home, cursor)[0] == ids[2:]
    _, cursor, _ = read(home)
    assert read(home, cursor) == ([], cursor, False)
    later = add(home, 9, 8)
    assert read(home, cursor)[0] == later


def test_each_line_is_an_event_in_the_elastic_common_schema(home):
    ids = add(home, 1, 2)
    lines = [json.loads(line) for line in fine(home, "events").stdout.splitlines()]
    assert [each["event"]["id"] for each in lines] == ids
    assert lines[0]["@timestamp"] == "2026-03-01T11:00:00+00:00"
    assert lines[0]["event"]["action"] == "gap"
    assert fine(home, "events", "--since", lines[1]["tocsin"]["cursor"]).stdout == ""


def test_after_a_purge_the_feed_goes_on_with_what_came_since(home):
    add(home, 1, 2, 3)
    _, cursor, _ = read(home)
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        store.purge(AT + timedelta(days=1), AT)
    assert read(home, cursor)[0] == []
    new = add(home, 4)
    assert read(home, cursor)[0] == new
    # more events than there were before: their numbers have been given before
    new += add(home, 5, 6, 7, 8)
    assert read(home, cursor)[0] == new


@pytest.mark.parametrize("cursor", ["x", "5", "5-zz", "-1-aaaaaaaaaaaa"])
def test_what_is_no_cursor_is_refused(home, cursor):
    refused(run(home, "events", "--since", cursor), "not a cursor", "hint:")
