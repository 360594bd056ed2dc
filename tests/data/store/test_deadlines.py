"""Times that posts announce: stored once, and reported again only if they move."""

from __future__ import annotations

from datetime import timedelta

import pytest

from data.store.store import Store
from tests.leased_crawl import NOW


@pytest.fixture
def deadlines(tmp_path):
    store = Store.open(tmp_path / "t.db")
    yield store.deadlines
    store.close()


def span(minutes, phrase="in 48 h"):
    return {"at": None, "after": minutes, "exact": 60, "phrase": phrase}


def day(at, exact=1440):
    return {"at": int(at.timestamp() // 60), "after": None, "exact": exact, "phrase": f"{at:%F}"}


def test_a_time_span_counts_from_when_it_was_first_read(deadlines):
    assert deadlines.note("s", "p", [span(2880)], NOW) == [(NOW + timedelta(days=2), 60, None)]
    assert deadlines.note("s", "p", [span(2880)], NOW + timedelta(days=1)) == []
    assert deadlines.note("s", "q", [day(NOW + timedelta(days=30))], NOW)
    assert deadlines.nearest(NOW) == {"s": (NOW + timedelta(days=2), 60)}


def test_one_time_in_two_phrasings_counts_once_and_a_moved_time_is_reported_with_the_old_one(deadlines):
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    [(friday, _, before)] = deadlines.note("s", "p", [day(midnight + timedelta(days=2))], NOW)
    assert before is None
    assert deadlines.note("s", "p", [span(2880), day(midnight + timedelta(days=2))], NOW) == []
    [(later, _, before)] = deadlines.note("s", "p", [day(midnight + timedelta(days=9))], NOW)
    assert (later - friday, before) == (timedelta(days=7), NOW + timedelta(days=2))
