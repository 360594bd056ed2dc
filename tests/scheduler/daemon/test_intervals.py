"""How often sources are read: never so seldom that a listing rolls over, and learned, where a request shortens most waits."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import cadence
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.store.sources import Pace
from data.store.store import Store
from scheduler.daemon.due_sources import DueSources
from scheduler.daemon.intervals import SLOWEST, SLOWEST_OF_SURGES, Price, bounds, interval_of, request_price
from scheduler.daemon.watch_state import tied_if_learned, watched_sources
from tests.leased_crawl import LeasedCrawl

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def source(name: str = "s", every: timedelta = HOUR, **more) -> Definition:
    return Definition(name=name, platform="feed", url="https://s.example/feed", every=every, **more)


def pace(usual: float, recent: float | None = None, rows: int = 25) -> Pace:
    return Pace(datetime(2026, 1, 1, tzinfo=UTC), 30, usual, usual if recent is None else recent, rows)


@pytest.mark.parametrize(
    ("posts_a_day", "minutes"),
    [(0, 60), (24, 60), (12.5 * 24, 60), (12.5 * 48, 30), (12.5 * 24 * 10, 15), (1e6, 15)],
)
def test_a_listing_is_read_before_half_of_it_has_rolled_off_but_no_more_often_than_allowed(posts_a_day, minutes):
    assert interval_of(source(), pace(posts_a_day)) == minutes * MINUTE
    assert interval_of(source(), pace(1, recent=posts_a_day)) == max(minutes, 15) * MINUTE
    assert interval_of(source(fastest=5 * MINUTE), pace(1e6)) == 5 * MINUTE


def test_without_a_known_pace_or_length_the_file_decides():
    assert interval_of(source(), None, Price(3.0)) == HOUR
    assert interval_of(source(), pace(1e6, rows=0)) == HOUR
    assert interval_of(source(every=2 * MINUTE), pace(1e9)) == MINUTE, "no more often than once a minute by itself"


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e4),
            st.floats(0, 1e4),
            st.integers(0, 200),
            st.sampled_from([1, 15, 60, 1440]),
            st.floats(0.01, 100),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_the_learned_cadence_keeps_the_budget_and_the_bounds_of_each_source(world):
    definitions = [source(f"s{at}", every * MINUTE, weight=weight) for at, (_, _, _, every, weight) in enumerate(world)]
    paces = {f"s{at}": pace(usual, recent, rows) for at, (usual, recent, rows, _, _) in enumerate(world)}
    price = request_price(definitions, paces)
    spent = budget = kept_from_rolling = 0.0
    for definition in definitions:
        found = interval_of(definition, paces[definition.name], price)
        fastest, slowest = bounds(definition)
        assert fastest - 1e-9 <= found / timedelta(days=1) <= slowest + 1e-9
        spent += HOUR / found
        budget += HOUR / definition.every
        kept_from_rolling += HOUR / interval_of(definition, paces[definition.name])
    # what keeps listings from rolling over is never saved
    assert spent <= max(budget, kept_from_rolling) * (1 + 1e-3) + 1e-6


def test_a_source_that_posts_more_or_matters_more_is_read_more_often():
    definitions = [source("quiet"), source("busy"), source("dear", weight=25)]
    paces = {"quiet": pace(1), "busy": pace(20), "dear": pace(1)}
    price = request_price(definitions, paces)
    quiet, busy, dear = (interval_of(each, paces[each.name], price) for each in definitions)
    assert dear < quiet
    assert busy < quiet
    assert quiet <= 2 * HOUR, "no source is given up"


def test_a_source_that_an_incident_names_matters_more_to_the_daemon_and_to_status(tmp_path):
    definitions = [source("named"), source("other")]
    settings = Settings.model_validate({"daemon": {"cadence": "learned"}})
    incidents = tmp_path / "incidents.toml"
    incidents.write_text('[incidents.breach]\nsources = ["named"]\n')
    incidents.chmod(0o600)
    now = datetime.now(UTC)
    with contextlib.closing(Store.open(tmp_path / "tocsin.db")) as store:
        for each in definitions:
            crawl = LeasedCrawl(store, each.name, now=now - 50 * MINUTE)
            crawl.finish(now=now - 50 * MINUTE)
            for days in (2, 0):
                store.sources.note_visit(each.name, 2, 25, now - timedelta(days=days))
        due = DueSources(tmp_path)
        found = due.of(
            store.sources.states(),
            {each.name: each for each in definitions},
            settings,
            store,
            now,
            skip=lambda _: False,
        )
        # both were read 50 minutes ago, and `every` is an hour
        assert [each.name for each in found] == ["named"]
        later = now + timedelta(days=1)
        sources = {each.name: each for each in definitions}
        found = due.of(store.sources.states(), sources, settings, store, later, skip=lambda _: False)
        assert [each.name for each in found] == ["named", "other"], "the one that was due first comes first"
        shown, _ = watched_sources(store, definitions, now, tied=tied_if_learned(Home(tmp_path), settings))
    named, other = ({each["name"]: each["next_due"] for each in shown}[name] for name in ("named", "other"))
    assert named < now < other
    assert tied_if_learned(Home(tmp_path), Settings()) is None


def test_where_posts_come_in_surges_a_quiet_source_is_left_alone_for_less_long(tmp_path):
    """The store counts what came at once: ten posts where the usual rate let expect none, but not those of a busy source."""
    now = datetime.now(UTC)
    with contextlib.closing(Store.open(tmp_path / "tocsin.db")) as store:
        for day in range(20):
            for name, new in (("steady", 24), ("sudden", 24 * (day == 15))):
                store.sources.note_visit(name, new, 25, now + timedelta(days=day))
        paces = store.sources.paces()
    assert paces["steady"].surged < 0.1 * paces["steady"].usual
    assert paces["sudden"].surged == pytest.approx(paces["sudden"].usual)
    definitions = [source("steady"), source("sudden"), source("quiet")]
    for name, slowest in (("steady", SLOWEST), ("sudden", SLOWEST_OF_SURGES)):
        known = {name: paces[name], "quiet": pace(0)}
        price = request_price(definitions, known)
        assert price.slowest == pytest.approx(slowest, abs=0.1), name
        assert interval_of(definitions[2], known["quiet"], price) <= price.slowest * HOUR
    assert interval_of(source(slowest=3 * HOUR), pace(0), Price(1e6, 1.1)) == 3 * HOUR, "its file decides"


@pytest.mark.slow
def test_in_three_worlds_posts_wait_two_fifths_less_at_equal_requests():
    for name, outcomes in cadence.compare(sources=30, days=5, every=15 * MINUTE).items():
        learned, fixed = outcomes["learned"], outcomes["equal"]
        assert abs(learned.visits / fixed.visits - 1) < 0.02, name
        assert learned.waits.mean() < 0.6 * fixed.waits.mean(), name
        # nobody can know that a quiet source begins to post a hundred times in an evening
        late = 0.8 if name == "bursts" else 0.6
        assert np.percentile(learned.waits, 95) < late * np.percentile(fixed.waits, 95), name
        assert learned.missed == 0 or name == "bursts", name
