"""The daemon: a clock over the store's own crawl table, one process per crawl, delivery of the outbox.

APScheduler says when to look; what is due, running and done is in the store alone, so that a `kill -9` loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import IO

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from crawler.alerts.events import event_id
from crawler.process.examiner_client import ExaminerProcess
from data.errors import ConfigError, ExaminerDied, TocsinError
from data.model import Event, EventKind, Severity
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.sources.source_files import load_sources
from data.store.store import Store
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.lease_owner import owner_alive, owner_name
from scheduler.crawls.run_crawl import run_crawl
from scheduler.crawls.tor_road import road_of
from scheduler.daemon.cadence import due_at
from scheduler.daemon.executor import LocalExecutor
from scheduler.delivery.delivery import Names, deliver_due
from scheduler.delivery.lasting_states import (
    SELFTEST_EVERY,
    TOR_CHECK_EVERY,
    remind_of_lasting_states,
    run_selftest,
    update_tor_state,
)
from scheduler.delivery.routing import route_by

log = structlog.get_logger("daemon")

TICK = timedelta(seconds=1)
GRACE = 5.0


@contextlib.contextmanager
def only_one(home: Home) -> Iterator[IO[bytes]]:
    """Hold the home's daemon lock; the kernel drops it when the process dies, however it dies."""
    path = home.path / "daemon.lock"
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as stream:  # noqa: PTH123
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another daemon already watches {home.path}", hint="stop it first, or look at: tocsin status"
            ) from error
        yield stream


def notify(message: str) -> None:
    """Tell systemd, where it asked to be told (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


class Daemon:
    """Everything, until stopped."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.settings: Settings = home.settings()
        self.store = Store.open(home.db_path)
        self.sources: dict[str, Definition] = {}
        self.executor = LocalExecutor(self.settings.daemon.parallel)
        self.examiner: ExaminerProcess | None = None
        self.starting = asyncio.Lock()
        self.stopping = asyncio.Event()
        self.delivering = asyncio.Lock()
        # a crashed tick would be a silent stop: the loop ends with its error, and whoever supervises us sees it
        self.failure: BaseException | None = None
        self.road = road_of(home, self.settings)

    # --- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch until SIGTERM or SIGINT; reload on SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self.reload()))
        examiner = await self._examiner()
        self.store.close()
        self.store = Store.open(self.home.db_path, seal_key=examiner.greeting.post_key)
        self._load_sources()
        self.store.crawls.expire_dead_owners(owner_alive, datetime.now(UTC))
        clock = AsyncIOScheduler(timezone=UTC)
        common = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        clock.add_job(self.tick, "interval", seconds=TICK.total_seconds(), next_run_time=datetime.now(UTC), **common)
        every = max(self.settings.daemon.deliver_every.total_seconds(), 0.2)
        clock.add_job(self.deliver, "interval", seconds=every, next_run_time=datetime.now(UTC), **common)
        clock.add_job(self.remind, "interval", minutes=1, **common)
        every = TOR_CHECK_EVERY.total_seconds()
        clock.add_job(self.look_at_tor, "interval", seconds=every, next_run_time=datetime.now(UTC), **common)
        every = SELFTEST_EVERY.total_seconds()
        clock.add_job(self.selftest, "interval", seconds=every, next_run_time=datetime.now(UTC), **common)
        clock.add_listener(self._job_failed, EVENT_JOB_ERROR)
        clock.start()
        self.store.audit.record("daemon", "started", "", datetime.now(UTC))
        notify("READY=1")
        log.info("watching", home=str(self.home.path), sources=len(self.sources))
        try:
            await self.stopping.wait()
        finally:
            notify("STOPPING=1")
            clock.shutdown(wait=False)
            await self.executor.stop(GRACE)
            self.road.close()
            if self.failure is None:
                await self.deliver()
            self.store.audit.record("daemon", "stopped", "", datetime.now(UTC))
            self.store.close()
            if self.examiner is not None:
                self.examiner.close()
        log.info("stopped")
        if self.failure is not None:
            raise self.failure

    def _job_failed(self, event: JobExecutionEvent) -> None:
        log.error("job failed", error=type(event.exception).__name__)
        self.failure = event.exception
        self.stopping.set()

    async def reload(self) -> None:
        """Read settings, sources, watch-list and releases again; what cannot be read leaves the last good state."""
        try:
            settings = self.home.settings()
            if settings.tor != self.settings.tor:
                self.road.close()
                self.road = road_of(self.home, settings)
            self.settings = settings
            self._load_sources()
            if self.examiner is not None:
                await asyncio.to_thread(self.examiner.reload)
        except TocsinError as error:
            log.error("reload failed; the last good state stays", error=str(error))
            self._tell(EventKind.SELFTEST_FAILED, "reload", {"reason": str(error)})
            return
        log.info("reloaded", sources=len(self.sources))

    async def _examiner(self) -> ExaminerProcess:
        async with self.starting:
            if self.examiner is None or not self.examiner.alive:
                if self.examiner is not None:
                    code = self.examiner.process.returncode
                    self.examiner.close()
                    self._tell(
                        EventKind.SELFTEST_FAILED, "examiner", {"reason": f"the examiner ended with status {code}"}
                    )
                self.examiner = await asyncio.to_thread(
                    ExaminerProcess.start, self.home, tell=lambda text: log.info(text)
                )
            return self.examiner

    def _load_sources(self) -> None:
        good, bad = load_sources(self.home.sources_dir)
        for error in bad:
            log.error("a source file cannot be used", error=str(error))
            self._tell(EventKind.SELFTEST_FAILED, f"source file {error.file}", {"reason": str(error)})
        self.sources = {}
        for source in good:
            try:
                definition = complete_definition(source)
            except TocsinError as error:
                self._tell(EventKind.SELFTEST_FAILED, f"source {source.name}", {"reason": str(error)})
                continue
            self.sources[definition.name] = definition
            self.store.sources.put(definition.name, definition.digest(), definition.enabled, datetime.now(UTC))

    def _tell(self, kind: EventKind, subject: str, facts: dict[str, str]) -> None:
        now = datetime.now(UTC)
        event = Event(
            event_id(kind, subject, facts.get("reason", ""), now.date().isoformat()),
            kind,
            Severity.WARNING,
            now,
            facts={"subject": subject, **facts},
        )
        self.store.events.add([event], route_by(self.settings), now)

    # --- jobs ----------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Expire dead leases, start what is due."""
        now = datetime.now(UTC)
        notify("WATCHDOG=1")
        self.store.crawls.expire_leases(now)
        for state in self.store.sources.states():
            definition = self.sources.get(state.name)
            if definition is None or not state.enabled or state.running:
                continue
            due = due_at(
                state.name,
                definition.every,
                last_start=state.last_start,
                last_success=state.last_success,
                failures=state.failures,
                now=now,
                handed=state.handed,
                deadline=self.store.deadlines.nearest(state.name, now),
            )
            if due <= now:
                self.executor.submit(state.name, functools.partial(self._crawl, definition))

    async def _crawl(self, definition: Definition) -> None:
        examiner = await self._examiner()
        try:
            result = await run_crawl(
                self.home,
                self.store,
                definition,
                examiner,
                owner=owner_name(),
                settings=self.settings,
                road=self.road,
                tell=log.info,
            )
        except ExaminerDied:
            log.error("the examiner died; the crawl's posts stay due", source=definition.name)
            return
        except TocsinError as error:
            log.error("crawl failed", source=definition.name, error=str(error))
            return
        log.info(
            "crawled", source=definition.name, state=result.state, examined=result.examined, findings=result.findings
        )

    async def deliver(self) -> None:
        """Send what is due in the outbox."""
        async with self.delivering:
            await deliver_due(self.settings, self.store, Names.of(self.home))

    async def remind(self) -> None:
        """Tell lasting states again."""
        remind_of_lasting_states(self.settings, self.store, datetime.now(UTC))

    async def look_at_tor(self) -> None:
        """Keep our own Tor running, and tell when Tor goes and comes; without a source over it nothing is asked."""
        if not any(each.via == "tor" and each.enabled for each in self.sources.values()):
            return
        reason = await self.road.look()
        if reason is not None and update_tor_state(self.store, route_by(self.settings), reason, datetime.now(UTC)):
            log.error("Tor is down", reason=reason) if reason else log.info("Tor is back")

    async def selftest(self) -> None:
        """See whether a planted canary is still found."""
        examiner = await self._examiner()
        wrong = run_selftest(self.settings, self.store, examiner, datetime.now(UTC))
        if wrong:
            log.error("self-test failed", reasons=wrong)
