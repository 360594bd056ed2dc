"""Which sources are due: asked by the daemon every second."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path

from data.case.incidents import read_incidents, tied_sources
from data.errors import ConfigError
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.store.sources import SourceState
from data.store.store import Store
from scheduler.daemon.cadence import next_crawl_at
from scheduler.daemon.intervals import Price, interval_of, request_price

# How often the learned cadence reckons the price of a request anew, and looks which sources incidents name.
PRICE_SECONDS = 600.0
# After a look at all sources the next one waits so many times as long as it took: ten thousand sources take 0.1 s.
REST = 19


class DueSources:
    """Knows when sources are due; remembers what a request costs in the learned cadence."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._tied: frozenset[str] = frozenset()
        # the price, and when it was reckoned (monotonic)
        self._price: tuple[Price, float] | None = None
        # source -> what decided when it is due, and the result
        self._known: dict[str, tuple[tuple[object, ...], datetime]] = {}
        self._rest_until = 0.0

    @property
    def rests(self) -> bool:
        """Whether the last look took so long that the next one can wait."""
        return time.monotonic() < self._rest_until

    def note_look(self, seconds: float) -> None:
        """Note how much processor time a look at all sources took."""
        self._rest_until = time.monotonic() + REST * seconds

    def of(
        self,
        states: Collection[SourceState],
        sources: Mapping[str, Definition],
        settings: Settings,
        store: Store,
        now: datetime,
        *,
        skip: Callable[[SourceState], bool],
    ) -> list[Definition]:
        """The definitions of the sources that are due, the one that was due first before the others.

        Args:
            states: of all sources.
            sources: their definitions, by name.
            settings: of the home.
            store: of the home.
            now: aware UTC.
            skip: whether a source is not to be looked at.
        """
        paces = store.sources.paces()
        price = self._price_of_requests(settings, sources, store)
        deadlines = store.deadlines.nearest(now)
        found: list[tuple[datetime, str, Definition]] = []
        for state in states:
            definition = sources.get(state.name)
            if definition is None or not state.enabled or state.running or skip(state):
                continue
            deadline, pace = deadlines.get(state.name), paces.get(state.name)
            tied = state.name in self._tied
            key = (definition, state.last_start, state.last_success, state.failures, state.handed, pace, price, tied)
            known = self._known.get(state.name)
            # around an announced time it depends on the present time as well
            if known is None or known[0] != key or deadline is not None:
                at = next_crawl_at(
                    state.name,
                    interval_of(definition, pace, price, tied=tied),
                    last_start=state.last_start,
                    last_success=state.last_success,
                    failures=state.failures,
                    now=now,
                    handed=state.handed,
                    deadline=deadline,
                )
                known = self._known[state.name] = key, at
            if known[1] <= now:
                found.append((known[1], state.name, definition))
        return [definition for _, _, definition in sorted(found, key=lambda each: each[:2])]

    def _price_of_requests(self, settings: Settings, sources: Mapping[str, Definition], store: Store) -> Price | None:
        if settings.daemon.cadence != "learned":
            return None
        if self._price is None or time.monotonic() > self._price[1] + PRICE_SECONDS:
            # of a file that cannot be read the self-test tells; what it said before stays
            with contextlib.suppress(ConfigError):
                self._tied = tied_sources(read_incidents(self._home))
            self._price = request_price(sources.values(), store.sources.paces(), self._tied), time.monotonic()
        return self._price[0]
