"""The daemon: it starts due crawls, one process for each, delivers the outbox, sends reminders and runs self-tests.

APScheduler only calls its jobs at intervals. What is due, running and done is known from the store alone, so that a
`kill -9` loses nothing.
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

from crawler.alerts.events import build_event
from crawler.process.examiner_client import ExaminerProcess
from data.errors import ConfigError, ExaminerDied, TocsinError
from data.model import EventKind
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.sources.source_files import load_sources
from data.store.store import Store
from scheduler.canaries.known_watchlist import start_examiner
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.keyed_store import open_store
from scheduler.crawls.lease_owner import owner_alive, owner_name
from scheduler.crawls.run_crawl import run_crawl
from scheduler.crawls.tor_connection import TorConnection
from scheduler.daemon.cadence import next_crawl_at
from scheduler.daemon.executor import LocalExecutor
from scheduler.delivery.delivery import DisplayNames, deliver_due
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
REMIND_TICK = timedelta(minutes=1)
# Seconds that running crawls get to end when the daemon stops.
STOP_GRACE = 5.0


@contextlib.contextmanager
def daemon_lock(home: Home) -> Iterator[IO[bytes]]:
    """Hold the home's daemon lock; the kernel releases it when the process ends, whatever ends it."""
    path = home.path / "daemon.lock"
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as stream:  # noqa: PTH123
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another daemon is already running for {home.path}", hint="stop it first; see: tocsin status"
            ) from error
        yield stream


def notify_systemd(message: str) -> None:
    """Send a state to systemd (sd_notify), if systemd started this process and asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


class Daemon:
    """The daemon of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.settings: Settings = home.settings()
        self.store = Store.open(home.db_path)
        self.sources: dict[str, Definition] = {}
        self.executor = LocalExecutor(self.settings.daemon.parallel)
        self.examiner: ExaminerProcess | None = None
        self.starting_examiner = asyncio.Lock()
        self.stopping = asyncio.Event()
        self.delivering = asyncio.Lock()
        # A job that crashes must not be a silent stop: `run` ends with its error, which the supervisor sees.
        self.failure: BaseException | None = None
        self.tor = TorConnection(home, self.settings.tor)

    # --- start and stop -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch the sources until SIGTERM or SIGINT; reload on SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self.reload()))
        examiner = await self._running_examiner()
        self.store.close()
        self.store = open_store(self.home, examiner)
        self._load_sources()
        self.store.crawls.expire_dead_owners(owner_alive, datetime.now(UTC))
        clock = AsyncIOScheduler(timezone=UTC)
        self._add_jobs(clock)
        clock.add_listener(self._job_failed, EVENT_JOB_ERROR)
        clock.start()
        self.store.audit.record("daemon", "started", "", datetime.now(UTC))
        notify_systemd("READY=1")
        log.info("watching", home=str(self.home.path), sources=len(self.sources))
        try:
            await self.stopping.wait()
        finally:
            notify_systemd("STOPPING=1")
            clock.shutdown(wait=False)
            await self.executor.stop(STOP_GRACE)
            self.tor.close()
            if self.failure is None:
                await self.deliver()
            self.store.audit.record("daemon", "stopped", "", datetime.now(UTC))
            self.store.close()
            if self.examiner is not None:
                self.examiner.close()
        log.info("stopped")
        if self.failure is not None:
            raise self.failure

    def _add_jobs(self, clock: AsyncIOScheduler) -> None:
        """Let the clock call each job at its interval, but never a job that is still running."""
        now = datetime.now(UTC)
        deliver_every = max(self.settings.daemon.deliver_every, timedelta(seconds=0.2))
        for job, interval, first in (
            (self.tick, TICK, now),
            (self.deliver, deliver_every, now),
            (self.remind, REMIND_TICK, now + REMIND_TICK),
            (self.check_tor, TOR_CHECK_EVERY, now),
            (self.selftest, SELFTEST_EVERY, now),
        ):
            clock.add_job(
                job,
                "interval",
                seconds=interval.total_seconds(),
                next_run_time=first,
                coalesce=True,
                misfire_grace_time=None,
                max_instances=1,
            )

    def _job_failed(self, event: JobExecutionEvent) -> None:
        log.error("job failed", error=type(event.exception).__name__)
        self.failure = event.exception
        self.stopping.set()

    async def reload(self) -> None:
        """Read settings, sources, watch-list and releases again; after an error the last good state stays in use."""
        try:
            settings = self.home.settings()
            if settings.tor != self.settings.tor:
                self.tor.close()
                self.tor = TorConnection(self.home, settings.tor)
            self.settings = settings
            self._load_sources()
            if self.examiner is not None:
                await asyncio.to_thread(self.examiner.reload)
        except TocsinError as error:
            log.error("reload failed; the last good state stays", error=str(error))
            self._report("reload", str(error))
            return
        log.info("reloaded", sources=len(self.sources))

    async def _running_examiner(self) -> ExaminerProcess:
        """The examiner; it is started if it does not run, and its end is reported."""
        async with self.starting_examiner:
            if self.examiner is None or not self.examiner.alive:
                if self.examiner is not None:
                    code = self.examiner.process.returncode
                    self.examiner.close()
                    self._report("examiner", f"the examiner ended with status {code}")
                self.examiner = await asyncio.to_thread(start_examiner, self.home, report=log.info)
            return self.examiner

    def _load_sources(self) -> None:
        good, bad = load_sources(self.home.sources_dir)
        for error in bad:
            log.error("a source file cannot be used", error=str(error))
            self._report(f"source file {error.file}", str(error))
        self.sources = {}
        for source in good:
            try:
                definition = complete_definition(source)
            except TocsinError as error:
                self._report(f"source {source.name}", str(error))
                continue
            self.sources[definition.name] = definition
            self.store.sources.put(definition.name, definition.digest(), definition.enabled, datetime.now(UTC))

    def _report(self, subject: str, reason: str) -> None:
        """Store a warning about this installation; the same warning is an event only once a day."""
        now = datetime.now(UTC)
        event = build_event(
            EventKind.SELFTEST_FAILED,
            now,
            subject,
            reason,
            now.date().isoformat(),
            facts={"subject": subject, "reason": reason},
        )
        self.store.events.add([event], route_by(self.settings), now)

    # --- jobs ----------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Expire leases that were not renewed, and start the crawls that are due."""
        now = datetime.now(UTC)
        notify_systemd("WATCHDOG=1")
        self.store.crawls.expire_leases(now)
        for state in self.store.sources.states():
            definition = self.sources.get(state.name)
            if definition is None or not state.enabled or state.running:
                continue
            due = next_crawl_at(
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
        examiner = await self._running_examiner()
        try:
            result = await run_crawl(
                self.home,
                self.store,
                definition,
                examiner,
                owner=owner_name(),
                settings=self.settings,
                tor=self.tor,
                report=log.info,
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
        """Send the alerts that are due."""
        async with self.delivering:
            await deliver_due(self.settings, self.store, DisplayNames.of_home(self.home))

    async def remind(self) -> None:
        """Add reminders of lasting states."""
        remind_of_lasting_states(self.settings, self.store, datetime.now(UTC))

    async def check_tor(self) -> None:
        """Keep our own Tor running, and begin or end the state "Tor is down"; without a source over Tor, do nothing."""
        if not any(each.via == "tor" and each.enabled for each in self.sources.values()):
            return
        reason = await self.tor.check()
        if reason is not None and update_tor_state(self.store, route_by(self.settings), reason, datetime.now(UTC)):
            log.error("Tor is down", reason=reason) if reason else log.info("Tor is back")

    async def selftest(self) -> None:
        """Test whether the examiner still finds a planted canary."""
        examiner = await self._running_examiner()
        problems = run_selftest(self.settings, self.store, examiner, datetime.now(UTC))
        if problems:
            log.error("self-test failed", reasons=problems)
