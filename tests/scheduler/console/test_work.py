"""How the work of a page grows with the number of events: counted in steps of SQLite's machine, so that no load changes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.settings.home import Home
from data.store.store import Store
from scheduler.console import views
from scheduler.console.access import Person, Role
from scheduler.console.console import Console, Given
from scheduler.console.pages import Asked
from scheduler.reports.clocks import EVERYBODY, read_clocks
from scheduler.reports.incident_scope import IncidentScope
from scheduler.reports.source_coverage import Looks, source_coverage
from tests.synth import console_home

pytestmark = pytest.mark.slow
FEW, MANY = 500, 6000
CLIENTS = {f"practice-{number}": f"Cabinet {number}" for number in range(20)}
SOURCES = [f"board-{number}" for number in range(10)]
NOW = datetime.now(UTC)
# Path, variable parts of the address, filters, and how many times as many steps 12 times as many events may cost.
PAGES = {
    "now": ("/", {}, {}, 14),
    "alerts": ("/alerts", {}, {}, 3),
    "one event": ("/alerts/{event}", {"event": f"{5:032x}"}, {}, 3),
    "closed, the last page": ("/alerts", {}, {"state": "closed", "page": "4"}, 14),
    "a search without a hit": ("/alerts", {}, {"state": "all", "q": "nothing like this"}, 14),
    "an incident": ("/incidents/{incident}", {"incident": console_home.INCIDENT}, {}, 14),
    "sources": ("/sources", {}, {}, 3),
    "delivery": ("/delivery", {}, {}, 14),
}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    made = {}
    for number in (FEW, MANY):
        home = tmp_path_factory.mktemp("work") / "home"
        console_home.make_home(home)
        console_home.put_clients(home, CLIENTS)
        console_home.put_sources(home, SOURCES, NOW)
        console_home.put_incident_of(home, "The Breach", list(CLIENTS), SOURCES)
        console_home.put_many_events(home, number, list(CLIENTS), SOURCES, NOW)
        made[number] = home
    return made


def steps_of(store: Store, work: Callable[[], object]) -> int:
    """How many hundred steps SQLite takes for some work."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    store.database.connection.set_progress_handler(step, 100)
    try:
        work()
    finally:
        store.database.connection.set_progress_handler(None, 0)
    return max(count, 20)


@pytest.mark.parametrize("name", PAGES)
def test_twelve_times_as_many_events_cost_no_more_than_that(homes: dict[int, Path], name: str):
    path, parts, query, most = PAGES[name]
    view = next(each for each in views.views() if each.path == path)
    steps = {}
    for number, home in homes.items():
        console = Console(Home(home, environ={}), Given("", (), "0"), (), None)
        asked = Asked(console, console.reading(), Person("0", "ana", Role.ADMIN), parts, query, NOW)
        steps[number] = steps_of(asked.store, lambda view=view, asked=asked: view.show(asked))
        console.close_reading()
    assert steps[MANY] <= most * steps[FEW]


def test_the_clocks_of_an_incident_alone_are_those_that_are_read_with_its_clients(homes: dict[int, Path]):
    scope = IncidentScope.of_home(homes[FEW], console_home.INCIDENT)
    with contextlib.closing(Store.open(homes[FEW] / "tocsin.db")) as store:
        leaks = [each for each in store.events.latest(limit=400) if each.facts.get("clients")]
        for event in leaks[-1], leaks[0]:
            store.audit.record("ana", "acknowledged", f"{event.id} for ana", NOW)
        alone, all_of_them = (read_clocks(store, scope, (), clients=clients) for clients in (False, True))
    assert alone.of() == all_of_them.of()
    assert alone.of().acknowledged is not None
    assert alone.of().first_alert is not None
    assert set(alone.firsts) == {EVERYBODY}
    assert set(all_of_them.firsts) == {EVERYBODY, *CLIENTS}


def test_crawls_that_were_read_before_are_read_again_once_another_one_has_ended(homes: dict[int, Path]):
    scope = IncidentScope.of_home(homes[FEW], console_home.INCIDENT)
    known: dict[str, Looks] = {}
    with contextlib.closing(Store.open(homes[FEW] / "tocsin.db")) as store:
        first = source_coverage(store, scope, {}, NOW, known)
        assert steps_of(store, lambda: source_coverage(store, scope, {}, NOW, known)) <= steps_of(
            store, lambda: source_coverage(store, scope, {}, NOW)
        )
        began = NOW.isoformat(timespec="microseconds")
        store.database.execute(
            "insert into crawl (id, source, reason, state, queued, started, ended) values ('f', ?, 'due', 'failed', ?1, ?1, ?1)".replace(
                "?1", f"'{began}'"
            ),
            (SOURCES[0],),
        )
        second = source_coverage(store, scope, {}, NOW, known)
        assert second == source_coverage(store, scope, {}, NOW)
    assert [each.failed - before.failed for each, before in zip(second, first, strict=True)] == [1] + [0] * 9
