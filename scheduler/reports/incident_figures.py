"""Everything that the report and the console tell of one incident, read once from a home."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from data.errors import InputError, SourceError
from data.releases.folder import read_manifests
from data.settings.home import Home
from data.settings.obligations import OBLIGATIONS, Obligation
from data.sources.source_files import load_sources
from data.store.store import Store
from data.watchlist.manifest import imported_bundles
from scheduler.crawls.definitions import complete_definition
from scheduler.reports.clocks import ClockBook, read_clocks
from scheduler.reports.incident_report import incident_report
from scheduler.reports.incident_scope import IncidentScope
from scheduler.reports.leak_posts import LeakGraph, leak_graph
from scheduler.reports.source_coverage import Looks, SourceCoverage, announced_times, posts_that_wait, source_coverage
from scheduler.reports.timeline import Timeline, timeline

TIMELINE_LIMIT = 400
"""Events that the report lists; the others are counted."""


@dataclass(frozen=True, slots=True)
class IncidentFigures:
    """What a home knows of one incident at one time.

    Attributes:
        shown: the object that `incident show --json` prints.
        graph: its posts and baselines. events: its timeline. coverage: of its sources.
        dismissed: ids of events in the timeline that a person closed as a false alarm or a test.
        shared: sources that another incident names as well.
        waiting: posts that are not examined yet. announced: times to come, with exactness in minutes and source.
        clocks: of the incident and its clients. bundles: of the watch-list.
        case: name or id of the case. head: of the evidence and audit chains, as text.
        at: when this was read, aware UTC.
    """

    shown: Mapping[str, Any]
    graph: LeakGraph
    events: Timeline
    dismissed: frozenset[str]
    coverage: Sequence[SourceCoverage]
    shared: Sequence[str]
    waiting: int
    announced: Sequence[tuple[datetime, int, str]]
    clocks: ClockBook
    bundles: Sequence[Mapping[str, Any]]
    case: str
    head: str
    at: datetime

    @property
    def seen(self) -> list[Mapping[str, Any]]:
        """The clients whose data was seen, hit worst first."""
        return [each for each in self.shown["blast_radius"] if each["first"] is not None]

    def radius(self, client: str) -> Mapping[str, Any]:
        """The entry of a client, by its id; raises InputError if it does not belong to the incident."""
        for each in self.shown["blast_radius"]:
            if each["client"] == client:
                return dict(each)
        raise InputError(
            f"no client {client} belongs to this incident", hint=f"see: tocsin incident show {self.shown['id']} --all"
        )

    def to_report(self) -> dict[str, int]:
        """The numbers that are recorded when the report about the whole incident is handed over."""
        new, low, high = self.graph.new_people
        return {
            "clients": len(self.seen), "canaries": sum(each["sighted"] for each in self.seen),
            "new": new, "new_low": low, "new_high": high, "posts": len({post.post for post in self.graph.posts}),
        }  # fmt: skip

    @property
    def unseen(self) -> list[Mapping[str, Any]]:
        """All other clients of the incident."""
        return [each for each in self.shown["blast_radius"] if each["first"] is None]


def read_figures(home: Home, name: str, now: datetime) -> IncidentFigures:
    """Read what a home knows of the incident with this id or name.

    Raises:
        InputError: there is no such incident.
        StoreError: the database or a release cannot be read.
    """
    intervals, settings = _intervals(home), home.settings()
    with contextlib.closing(Store.open(home.db_path)) as store:
        return figures_of(home, store, name, intervals, settings.case, now, settings.obligations)


def figures_of(
    home: Home,
    store: Store,
    name: str,
    intervals: Mapping[str, timedelta],
    case: str,
    now: datetime,
    obligations: Sequence[Obligation] = OBLIGATIONS,
    *,
    clocks_of_clients: bool = True,
    looks: dict[str, Looks] | None = None,
) -> IncidentFigures:
    """As `read_figures`, for a store that is open and may be one for reading alone.

    Args:
        home: whose incidents, releases and watch-list are read.
        store: of the home.
        name: id or name of the incident.
        intervals: how often each enabled source is meant to be crawled.
        case: name of the case.
        now: aware UTC.
        obligations: of the settings.
        clocks_of_clients: whether the clocks of each client are wanted too, for which the facts of all events are read.
        looks: crawls that were read before for this incident; brought up to date.
    """
    scope = IncidentScope.of_home(home.path, name)
    events = timeline(store, scope, limit=TIMELINE_LIMIT)
    decided = store.triage.of([each.id for each in events.events], now)
    return IncidentFigures(
        shown=incident_report(home, name, store),
        graph=leak_graph(store, scope, read_manifests(home.releases_dir)),
        events=events,
        dismissed=frozenset(id_ for id_, each in decided.items() if each.reason in {"false-alarm", "test"}),
        coverage=source_coverage(store, scope, intervals, now, looks),
        shared=scope.shared,
        waiting=posts_that_wait(store, scope),
        announced=announced_times(store, scope, now),
        clocks=read_clocks(store, scope, obligations, clients=clocks_of_clients),
        bundles=imported_bundles(home.watchlist_dir),
        case=case,
        head=str(store.head()),
        at=now,
    )


def _intervals(home: Home) -> dict[str, timedelta]:
    """How often each enabled source is meant to be crawled; sources whose file cannot be used are left out."""
    found = {}
    for file in load_sources(home.sources_dir)[0]:
        with contextlib.suppress(SourceError):
            definition = complete_definition(file)
            if definition.enabled:
                found[definition.name] = definition.every
    return found
