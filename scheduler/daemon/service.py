"""What the daemon owes those who run it: a sign of life, metrics, and a database that does not grow without end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from data.errors import DeliveryDeferred
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.store.selftests import HEARTBEAT
from data.store.store import Store
from scheduler.daemon.metrics import Metrics, Snapshot, Totals
from scheduler.daemon.supervisor import Supervisor
from scheduler.daemon.watch_state import count_conditions, tied_if_learned, watched_sources
from scheduler.delivery.heartbeat import SignOfLife, send_sign_of_life
from scheduler.delivery.time_stamps import is_due, stamp_head

log = structlog.get_logger("daemon")

METRICS_EVERY = timedelta(seconds=30)
PRUNE_EVERY, PRUNE_SECONDS = timedelta(hours=6), 60.0
# Name of the work that sends the sign of life; that it failed is not what the next one says.
SIGN_OF_LIFE = "sign of life"


class Service:
    """The jobs of one daemon that tell others how it is.

    Attributes:
        totals: what was done since the start.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        settings: Callable[[], Settings],
        store: Callable[[], Store],
        sources: Callable[[], Mapping[str, Definition]],
        folder: Path,
    ) -> None:
        """Of one daemon with its home folder; settings, store and sources are asked for at each job, because they change."""
        self._supervisor, self._settings, self._store, self._sources = supervisor, settings, store, sources
        self._folder, self.totals = folder, Totals()
        self._metrics: Metrics | None = None
        # When the last sign of life was sent (monotonic, None for never), the places that it did not reach, and the time and the
        # number of posts from which it and the next one count.
        self._sent: float | None = None
        self._lost: list[str] = []
        self._since, self._examined = datetime.now(UTC), 0
        self._next = self._since, self._examined

    def _watched(self, store: Store, now: datetime) -> list[dict[str, Any]]:
        """The sources as `status --json` shows them, without the numbers of their posts."""
        tied = tied_if_learned(Home(self._folder), self._settings())
        return watched_sources(store, list(self._sources().values()), now, counts=False, tied=tied)[0]

    async def renew_metrics(self) -> None:
        """Renew the metrics, if the settings ask for any."""
        chosen = self._settings().metrics
        if chosen.listen is None and chosen.file is None:
            return
        if self._metrics is None:
            self._metrics = Metrics(chosen, self.totals)
        store, now = self._store(), datetime.now(UTC)
        sources, depth = self._watched(store, now), store.outbox.depth()
        snapshot = Snapshot(
            at=now,
            sources=sources,
            conditions=count_conditions(sources),
            outbox={"depth": depth.waiting, "held": depth.held, "refused": depth.refused},
            states=Counter(state.kind.value for state in store.states.lasting()),
            failures=dict(self._supervisor.failures),
            selftests=store.selftests.latest(),
        )
        await asyncio.to_thread(self._metrics.renew, snapshot)

    async def close(self) -> None:
        """Serve no more metrics."""
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
            self._metrics = None

    async def stamp_head(self) -> None:
        """Have the head of the record stamped if `timestamps.every` is over since the last stamp.

        Raises:
            DeliveryDeferred: the authority gave no valid stamp.
        """
        settings, store, now = self._settings().timestamps, self._store(), datetime.now(UTC)
        if settings.url and is_due(store, settings, now):
            await stamp_head(settings, self._folder, store, now)

    async def show_life(self) -> None:
        """Send the sign of life if its interval is over, or once more to those that did not take the last one.

        Raises:
            DeliveryDeferred: a channel or the dead man's switch did not take it.
        """
        settings, began = self._settings(), time.monotonic()
        chosen = settings.heartbeat
        if not (chosen.channels or chosen.url):
            return
        due = self._sent is None or began - self._sent >= chosen.every.total_seconds()
        if not (due or self._lost):
            return
        store, now = self._store(), datetime.now(UTC)
        sources, depth = self._watched(store, now), store.outbox.depth()
        failing = {*self._supervisor.late(), *self._supervisor.failures} - {SIGN_OF_LIFE}
        failing |= {
            f"self-test of the {name}"
            for name, (_, passed) in store.selftests.latest().items()
            if not passed and name != HEARTBEAT
        }
        if due:
            self._sent = began
            (self._since, self._examined), self._next = self._next, (now, self.totals.examined)
        sign = SignOfLife(
            conditions=count_conditions(sources),
            examined=self.totals.examined - self._examined,
            since=self._since,
            waiting=depth.waiting,
            refused=depth.refused,
            failing=sorted(failing),
        )
        self._lost = await send_sign_of_life(settings, sign, now, store, only=None if due else self._lost)
        if self._lost:
            raise DeliveryDeferred(
                f"the sign of life did not reach {', '.join(self._lost)}", hint="correct [heartbeat] or the channel"
            )

    async def prune(self) -> None:
        """Delete crawls and posts that are older than they are kept, for a minute at most; the next run deletes the rest.

        An earlier version kept all of them, and a home has millions. The loop goes on between two steps.
        """
        end, now, settings = time.monotonic() + PRUNE_SECONDS, datetime.now(UTC), self._settings().daemon
        for what, steps in (
            ("crawls", self._store().crawls.prune(now - settings.keep_crawls)),
            ("posts", self._store().findings.prune(now - settings.keep_posts)),
        ):
            deleted = 0
            for number in steps:
                deleted += number
                await asyncio.sleep(0)
                if time.monotonic() > end:
                    break
            if deleted:
                log.info(f"old {what} were deleted", number=deleted)
