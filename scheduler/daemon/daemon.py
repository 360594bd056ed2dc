"""The daemon: it starts due crawls, one process for each, delivers the outbox, sends reminders and runs self-tests.

APScheduler (`scheduler.daemon.clock`) only calls its jobs at intervals. What is due, running and done is known from the
store alone, so that a `kill -9` loses nothing. All work runs under a supervisor, which counts and reports its failures.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

import structlog

from crawler.process.examiner_client import ExaminerProcess
from data.errors import ExaminerDied, LeaseLost, SourceError, TocsinError
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.sources.source_files import load_sources
from data.store.crawls import ExpiredCrawl
from data.store.future_times import TOLERANCE
from data.store.selftests import HEARTBEAT, HEARTBEAT_EVERY, SELFTEST_EVERY
from data.store.store import Store
from scheduler.canaries.known_watchlist import check_watchlist, report_other_database, start_examiner, watchlist_faults
from scheduler.crawl_processes.batches import Batches
from scheduler.crawl_processes.fork_server import server as fork_server
from scheduler.crawl_processes.host_turns import HostTurns
from scheduler.crawls.definitions import complete_definition, put_source
from scheduler.crawls.expired_crawls import report_expired
from scheduler.crawls.keyed_store import next_entries
from scheduler.crawls.known_releases import check_releases, release_faults
from scheduler.crawls.lease_owner import owner_alive, owner_name
from scheduler.crawls.run_crawl import is_light, run_crawl
from scheduler.crawls.tor_connection import TorConnection
from scheduler.daemon.clock import JobClock
from scheduler.daemon.due_sources import DueSources
from scheduler.daemon.executor import LocalExecutor
from scheduler.daemon.failed_start import note_start
from scheduler.daemon.home_check import check_home
from scheduler.daemon.home_lock import HeldLock
from scheduler.daemon.record_watch import RecordWatch
from scheduler.daemon.service import METRICS_EVERY, PRUNE_EVERY, SIGN_OF_LIFE, Service
from scheduler.daemon.supervisor import Supervisor
from scheduler.daemon.systemd import START_WATCHDOG, notify_systemd, reloading, watchdog_seconds
from scheduler.daemon.trouble_reports import TroubleReports, repair_times, report_fault
from scheduler.daemon.watch_state import span_text
from scheduler.delivery.delivery import DisplayNames, deliver_due
from scheduler.delivery.lasting_states import (
    TOR_CHECK_EVERY,
    remind_of_lasting_states,
    run_selftest,
    update_tor_state,
)
from scheduler.delivery.routing import route_by
from scheduler.delivery.shared_trouble import review_shared_trouble
from scheduler.delivery.triage_reminders import remind_of_unacknowledged

log = structlog.get_logger("daemon")

TICK = timedelta(seconds=1)
REMIND_TICK = timedelta(minutes=1)
EXAMINER_TICK = timedelta(seconds=5)
REPAIR_EVERY = timedelta(hours=1)
# Seconds that running crawls, the last delivery and the own Tor get when the daemon stops, and after which the process
# ends in any case: nothing is lost by that.
STOP_GRACE, STOP_DELIVERY, STOP_TOR, STOP_SECONDS = 5.0, 6.0, 5.0, 25.0
# Seconds that a statement waits for another process that writes to the database: the loop stands still meanwhile.
BUSY_SECONDS = 5.0
# Threads for what must not block the loop. All of them may wait for something that is frozen, until its deadline.
THREADS = 32


def _crawl_of(source: str) -> str:
    return f"crawl of {source}"


class Daemon:
    """The daemon of one home."""

    def __init__(self, home: Home, lock: HeldLock) -> None:
        self.home, self.lock = home, lock
        self.settings: Settings = home.settings()
        # a daemon makes its database when it first starts
        self.database_is_lost = lock.had_holder and not home.db_path.exists()
        self.store = Store.open(home.db_path, busy_seconds=BUSY_SECONDS)
        self.sources: dict[str, Definition] = {}
        # names of the sources whose files cannot be used
        self.unusable: set[str] = set()
        self.reports = TroubleReports(home, lambda: self.settings, lambda: self.store)
        self.supervisor = Supervisor(self.reports)
        self.executor = LocalExecutor(self.settings.daemon.parallel)
        self.batches = Batches(self.settings.daemon.parallel)
        self.turns = HostTurns()
        self.clock = JobClock(self._job_failed, self._clock_stepped)
        self.examiner: ExaminerProcess | None = None
        self.starting_examiner = asyncio.Lock()
        self.stopping = asyncio.Event()
        self.delivering = asyncio.Lock()
        self.tor = TorConnection(home, self.settings.tor)
        self.record = RecordWatch(home)
        self.service = Service(
            self.supervisor, lambda: self.settings, lambda: self.store, lambda: self.sources, self.home.path
        )
        self.due = DueSources(home.path)
        # Number of ticks since the last heartbeat.
        self.ticks = 0
        # How often the examiner had replaced the process that starts readers when it was last asked.
        self.reader_restarts = 0
        # The same of the process that forks crawls, which is one for all daemons of this process.
        self.crawl_restarts = fork_server.restarts

    # --- start and stop -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch the sources until SIGTERM or SIGINT; reload on SIGHUP."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS, "daemon"))
        # Handlers of Python run even while the loop is inside a blocking call; those of the loop do not.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, functools.partial(self._on_stop, loop))
        loop.add_signal_handler(signal.SIGHUP, lambda: self.supervisor.start("reload", self.reload, 300))
        watchdog_seconds(START_WATCHDOG)
        try:
            if await self._start():
                await self.stopping.wait()
        finally:
            await self._stop()
            # a second signal ends the process; a handler would reach for the loop, which is closed soon
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
        log.info("stopped")

    def _on_stop(self, loop: asyncio.AbstractEventLoop, _number: int, _frame: FrameType | None) -> None:
        if not self.stopping.is_set():
            last_resort = threading.Timer(STOP_SECONDS, os._exit, [1])
            last_resort.daemon = True
            last_resort.start()
        loop.call_soon_threadsafe(self.stopping.set)

    async def _start(self) -> bool:
        """Start the examiner and the jobs; False if the daemon is to stop before they run."""
        starting = asyncio.ensure_future(self._running_examiner())
        stop = asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not starting.done():
            starting.cancel()
            return False
        examiner = starting.result()
        self.store.close()
        keys = await asyncio.to_thread(examiner.chain_keys, *next_entries(self.home))
        self.store = Store.open(
            self.home.db_path, seal_key=examiner.greeting.post_key, chain_keys=keys, busy_seconds=BUSY_SECONDS
        )
        # None of these steps keeps the daemon from watching: if the disk is full, that is reported, and they are made up for.
        steps: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("faults of earlier daemons", self.adopt_faults),
            ("the age of the database", self.check_database),
            ("stored times", self.check_times),
            ("reading the sources", self.read_sources),
            ("crawls of a daemon that ended", self.expire_abandoned),
            ("confinement of readers", functools.partial(self.report_confinement, examiner)),
            ("the audit entry of the start", functools.partial(self._record, "started")),
            ("the end of failed starts", self.note_start),
        )
        for name, step in steps:
            if not await self.supervisor.run(name, step):
                self.supervisor.retry(name, step, REMIND_TICK)
        self._add_jobs()
        self.clock.start()
        self.supervisor.keep("clock", self.clock.watch)
        # that of a stop, for example, which this start has made good
        await self._forget({*(name for name, _ in steps), *self.clock.names, "clock"}.__contains__)
        self.lock.count_progress()
        watchdog_seconds(None)
        notify_systemd("READY=1", f"STATUS=watching {len(self.sources)} sources")
        log.info("watching", home=str(self.home.path), sources=len(self.sources))
        return True

    async def _stop(self) -> None:
        """End everything; no step may keep the others from being done, and each has a deadline."""
        with contextlib.suppress(OSError):
            notify_systemd("STOPPING=1", "STATUS=stopping")
        self.clock.stop()
        await self.supervisor.stop()
        _, ended = await asyncio.gather(self.executor.stop(STOP_GRACE), self.clock.finish(STOP_GRACE))
        self.batches.close()
        # a channel that did not answer for so long will hardly answer now
        deliver = functools.partial(self._deliver_at_end, STOP_DELIVERY if ended else 1.0)
        steps: tuple[tuple[str, Callable[[], Awaitable[None]], float], ...] = (
            ("stopping Tor", lambda: asyncio.to_thread(self.tor.close), STOP_TOR),
            ("the last delivery", deliver, STOP_DELIVERY + STOP_GRACE),
            ("stopping metrics", self.service.close, STOP_GRACE),
            ("the audit entry of the stop", functools.partial(self._record, "stopped"), STOP_GRACE),
            ("ending the examiner", self._end_examiner, STOP_GRACE),
        )
        for name, step, seconds in steps:
            await self.supervisor.run(name, step, seconds)
        self.store.close()

    async def _end_examiner(self) -> None:
        if self.examiner is not None:
            await asyncio.to_thread(self.examiner.close, 1.0)

    async def _deliver_at_end(self, seconds: float) -> None:
        """Send what the end of the crawls brought; alerts that a channel does not take in time stay due."""
        try:
            async with asyncio.timeout(seconds):
                await self.deliver()
        except TimeoutError:
            log.warning("a channel did not answer before the stop; its alerts are sent after the next start")

    async def _forget(self, comes_again: Callable[[str], bool]) -> None:
        """End the states of work that is not done again: neither crawls of a source that is watched nor what is named."""
        watched = {each.name for each in self.sources.values() if each.enabled} | self.unusable
        crawls = set(map(_crawl_of, watched))
        await self.supervisor.forget(lambda name: name in crawls or comes_again(name))

    async def adopt_faults(self) -> None:
        """Take on the states that work of an earlier daemon began."""
        self.supervisor.earlier |= self.reports.adopt()

    async def check_database(self) -> None:
        """Report that an earlier daemon of this home had another database."""
        if self.database_is_lost:
            report_other_database(self.store, self.settings, datetime.now(UTC))

    async def note_start(self) -> None:
        """End the state of earlier starts that failed."""
        note_start(self.home, self.settings, self.store, datetime.now(UTC))

    async def _record(self, action: str) -> None:
        self.store.audit.record("daemon", action, "", datetime.now(UTC))

    def _add_jobs(self) -> None:
        """Let the clock call each job at its interval, but never a job that is still running."""
        deliver_every = max(self.settings.daemon.deliver_every, timedelta(seconds=0.2))
        none = timedelta()
        for name, job, interval, first, seconds in (
            ("starting crawls", self.tick, TICK, none, 60.0),
            ("delivery", self.deliver, deliver_every, none, 300.0),
            ("heartbeat", self.beat, HEARTBEAT_EVERY, TICK, 30.0),
            ("examiner", self.check_examiner, EXAMINER_TICK, EXAMINER_TICK, None),
            ("crawl processes", self.check_crawl_processes, EXAMINER_TICK, EXAMINER_TICK, None),
            ("reminders", self.remind, REMIND_TICK, REMIND_TICK, 60.0),
            ("stored times", self.check_times, REPAIR_EVERY, REPAIR_EVERY, 60.0),
            ("Tor", self.check_tor, TOR_CHECK_EVERY, none, 120.0),
            ("self-test", self.selftest, SELFTEST_EVERY, none, 600.0),
            ("old crawls", self.service.prune, PRUNE_EVERY, REMIND_TICK, 300.0),
            ("metrics", self.service.renew_metrics, METRICS_EVERY, none, 60.0),
            ("time stamps", self.service.stamp_head, REMIND_TICK, none, 120.0),
            (SIGN_OF_LIFE, self.service.show_life, REMIND_TICK, REMIND_TICK, 120.0),
        ):
            work = functools.partial(self.supervisor.run, name, job, seconds)
            self.clock.add(name, work, interval, first=first)

    def _job_failed(self, name: str, error: BaseException) -> None:
        # The supervisor handles every exception but the cancellation of a job, which is the daemon's stop.
        log.error("a job ended", work=name, error=type(error).__name__)

    def _clock_stepped(self, seconds: float) -> None:
        log.warning("the system's clock was set", by_seconds=round(seconds))
        self.supervisor.start("stored times", functools.partial(self.note_step, seconds), 60)

    async def note_step(self, seconds: float) -> None:
        """Report that the system's clock was set forward (or back), and repair what is in the future now."""
        span = span_text(abs(seconds))
        self._report(
            "clock",
            f"the system's clock was set forward by {span}, or this machine stood still for so long: then nothing was watched"
            if seconds > 0
            else f"the system's clock was set back by {span}",
        )
        self.repair_times()

    async def reload(self) -> None:
        """Read settings, sources, watch-list and releases again; after an error the last good state stays in use."""
        reloading()
        try:
            await self._reload()
        finally:
            notify_systemd("READY=1", f"STATUS=watching {len(self.sources)} sources")

    async def _reload(self) -> None:
        try:
            settings = self.home.settings()
            if settings.tor != self.settings.tor:
                await asyncio.to_thread(self.tor.close)
                self.tor = TorConnection(self.home, settings.tor)
            if settings.metrics != self.settings.metrics:
                await self.service.close()
            self.settings = settings
            self._load_sources()
            await self._forget(lambda name: not name.startswith(_crawl_of("")))
            # a watch-list that is lost opens as an empty one: the examiner keeps the one that it has
            await asyncio.to_thread(check_watchlist, self.home)
            await asyncio.to_thread(check_releases, self.home)
            if self.examiner is not None:
                await asyncio.to_thread(self.examiner.reload)
        except TocsinError as error:
            log.error("reload failed; the last good state stays", error=str(error))
            self._report("reload", str(error))
            return
        log.info("reloaded", sources=len(self.sources))
        # what was repaired need not wait for the next self-test
        self.supervisor.start("self-test", self.selftest, 600)

    async def _running_examiner(self) -> ExaminerProcess:
        """The examiner; it is started if it does not run, and its end is reported."""
        async with self.starting_examiner:
            old = self.examiner
            if old is not None and old.alive:
                return old
            if old is not None:
                # It is replaced first: what follows needs the database, which may be full.
                await asyncio.to_thread(old.close)
            try:
                self.examiner = await asyncio.to_thread(start_examiner, self.home, report=log.info)
            except TocsinError as error:
                if old is None:
                    raise
                raise ExaminerDied(f"the examiner cannot be started: {error}", hint=error.hint) from error
            if old is not None:
                ended = old.frozen or f"it ended with status {old.process.returncode}"
                log.error("the examiner was replaced", reason=ended)
                self.reader_restarts = 0
                self._report("examiner", f"the examiner was replaced: {ended}")
            return self.examiner

    def _load_sources(self) -> None:
        good, bad = load_sources(self.home.sources_dir)
        self.sources = {}
        for source in good:
            try:
                definition = complete_definition(source)
            except TocsinError as error:
                bad.append(SourceError(str(error), file=f"{source.name}.yaml", hint=error.hint))
                continue
            self.sources[definition.name] = definition
        self.turns.declare(self.sources.values())
        self.unusable = {Path(unusable.file).stem for unusable in bad}
        # All sources are known before the first of these steps, which may fail because the disk is full.
        for unusable in bad:
            log.error("a source file cannot be used", error=str(unusable))
            self._report(f"source file {unusable.file}", str(unusable))
        for definition in self.sources.values():
            put_source(self.store, definition, datetime.now(UTC))

    def _report(self, subject: str, reason: str, *, repeat: str | None = None) -> None:
        report_fault(self.store, self.settings, subject, reason, datetime.now(UTC), repeat=repeat)

    async def report_confinement(self, examiner: ExaminerProcess) -> None:
        """Report, once, that readers run with less confinement than they should."""
        walls = examiner.greeting.protection.get("reader walls", "")
        if not walls.startswith("bubblewrap"):
            log.warning("readers run without bubblewrap", confinement=walls)
            hint = 'to insist on it, write  bubblewrap = "required"  under [examine]'
            self._report("confinement of readers", f"{walls or 'unknown'} ({hint})", repeat="")

    def _report_expired(self, expired: Sequence[ExpiredCrawl], now: datetime) -> None:
        for crawl in expired:
            log.error("a crawl was not ended by its process", source=crawl.source, failures=crawl.failures)
        report_expired(self.home, self.store, self.settings, expired, now)

    async def read_sources(self) -> None:
        """Read the source files."""
        self._load_sources()

    async def expire_abandoned(self) -> None:
        """End the crawls of a daemon or command that was killed, without waiting for the end of their leases."""
        now = datetime.now(UTC)
        self._report_expired(self.store.crawls.expire_dead_owners(owner_alive, now), now)

    # --- jobs ----------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Expire crawls that nobody runs any more, and start the crawls that are due."""
        self.lock.count_progress()
        now = datetime.now(UTC)
        running = self.executor.running
        self._report_expired(self.store.crawls.expire_leases(now, owner=owner_name(), running=running), now)
        if self.due.rests:
            self.ticks += 1
            return
        began = time.thread_time()
        states = self.store.sources.states(counts=False)
        if any(at is not None and at > now + TOLERANCE for state in states for at in (state.last_start, state.handed)):
            self.repair_times()
            states = self.store.sources.states(counts=False)
        # without an examiner nothing is started; the job that checks it starts another one
        ready = self.examiner is not None and self.examiner.alive
        due = self.due.of(
            states,
            self.sources,
            self.settings,
            self.store,
            now,
            skip=lambda each: not ready or each.name in running,
        )
        for definition in due:
            light = is_light(self.store, definition)
            if not self.executor.has_room(light=light):
                continue
            crawl = functools.partial(self._crawl, definition)
            work = functools.partial(self._supervised, _crawl_of(definition.name), crawl)
            self.executor.submit(definition.name, work, light=light)
        self.due.note_look(time.thread_time() - began)
        self.ticks += 1

    async def _supervised(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        await self.supervisor.run(name, work)

    async def _crawl(self, definition: Definition) -> None:
        examiner = self.examiner
        if examiner is None or not examiner.alive:
            raise ExaminerDied("the examiner has ended", hint="it is started again")
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
                batches=self.batches,
                turns=self.turns,
            )
        except LeaseLost as error:
            log.info("not crawled", source=definition.name, reason=str(error))
            return
        self.service.totals.add(result)
        log.info(
            "crawled", source=definition.name, state=result.state, examined=result.examined, findings=result.findings
        )

    async def deliver(self) -> None:
        """Send the alerts that are due."""
        async with self.delivering:
            await deliver_due(self.settings, self.store, lambda: DisplayNames.of_home(self.home))

    async def beat(self) -> None:
        """Store that the daemon makes progress: it has looked for due crawls, and no other work is late or failing."""
        if not self.ticks:
            log.error("no crawl could be started since the last heartbeat")
            return
        self.ticks = 0
        wrong = [*self.supervisor.late(), *self.supervisor.failures]
        self.store.selftests.record(HEARTBEAT, datetime.now(UTC), passed=not wrong)
        notify_systemd("WATCHDOG=1")

    async def check_examiner(self) -> None:
        """Replace an examiner that has ended or makes no progress."""
        examiner = await self._running_examiner()
        try:
            restarts = await asyncio.to_thread(examiner.ping)
        except ExaminerDied as error:
            log.error("the examiner is replaced", error=str(error))
            await self._running_examiner()
            return
        if restarts and restarts != self.reader_restarts:
            reason = "the process that starts readers had ended or made no progress, and was replaced"
            log.error(reason, times=restarts)
            self._report("readers", reason)
        self.reader_restarts = restarts or self.reader_restarts

    async def check_crawl_processes(self) -> None:
        """Replace a fork server of crawls that does not answer, and report each one that was replaced."""
        try:
            await asyncio.to_thread(fork_server.check)
        finally:
            if fork_server.restarts != self.crawl_restarts:
                self.crawl_restarts = fork_server.restarts
                self._report(
                    "crawl processes",
                    "the fork server of crawl processes had ended or made no progress, and was replaced",
                )

    async def remind(self) -> None:
        """Add reminders of lasting states."""
        self.repair_times(all_tables=False)
        review_shared_trouble(self.store, route_by(self.settings), datetime.now(UTC))
        remind_of_lasting_states(self.settings, self.store, datetime.now(UTC))
        remind_of_unacknowledged(self.settings, self.store, datetime.now(UTC))

    async def check_times(self) -> None:
        """Repair stored times that lie in the future."""
        self.repair_times()

    def repair_times(self, *, all_tables: bool = True) -> None:
        """Repair stored times that lie in the future, and report them."""
        repair_times(self.store, self.settings, datetime.now(UTC), all_tables=all_tables)

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
        lost = await asyncio.to_thread(watchlist_faults, self.home)
        lost += await asyncio.to_thread(release_faults, self.home)
        problems = await run_selftest(self.settings, self.store, examiner, datetime.now(UTC), known=lost)
        problems += await self.record.check(self.settings, self.store, datetime.now(UTC))
        problems += await check_home(self.home, self.settings, self.store, datetime.now(UTC))
        if problems:
            log.error("self-test failed", reasons=problems)
