"""Runs one crawl: takes its lease, starts its process, answers its questions and stores how it ended.

The crawl process never sees the store, and this process never sees a sample. The questions are answered by
`scheduler.crawls.question_handler`, the end is stored by `scheduler.crawls.crawl_end`, and `scheduler.daemon.cadence`
decides when the next crawl is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from crawler.fetching.scrapy_settings import crawl_settings
from crawler.process.browser_process import browser_socket
from crawler.process.control_frames import EndFrame
from crawler.process.examiner_client import ExaminerProcess
from crawler.process.job_frame import NO_RULES, IncidentRules, Job, JobLimits
from crawler.tor.tor_dial import dial_tor
from crawler.transport.dial_socket import DialServer, dial_socket_pair
from data.case.incidents import incident_of, read_incidents, read_rule_files
from data.errors import ConfigError, CrawlNotStarted, ExaminerDied, LeaseLost, StoreError, TocsinError, TorDown
from data.model import Incident
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition, source_hosts
from data.sources.source_files import load_source
from data.store.store import Store
from scheduler.crawl_processes.batches import Batches
from scheduler.crawl_processes.crawl_process import CrawlProcess
from scheduler.crawl_processes.host_turns import HostTurns
from scheduler.crawls.cancellation import is_being_cancelled
from scheduler.crawls.crawl_end import TOO_LARGE, CrawlEnd, failures_in_a_row
from scheduler.crawls.crawl_health import TOR_DOWN
from scheduler.crawls.crawl_tally import PROCESS_TROUBLE, CrawlResult, CrawlTally
from scheduler.crawls.definitions import complete_definition, link_takers, put_source, session_cookies, why_alone
from scheduler.crawls.direct_dial import DirectDial
from scheduler.crawls.leased_crawl import LeasedCrawl
from scheduler.crawls.question_handler import QuestionHandler
from scheduler.crawls.sighted_releases import register_releases
from scheduler.crawls.tor_connection import TorConnection
from scheduler.delivery.routing import route_by

log = structlog.get_logger("crawl")

LEASE = timedelta(seconds=60)
# Posts of earlier crawls that one crawl tries again; the others wait, so that dead posts cannot use up its time.
MAX_DUE = 200
# Bytes of such posts in the job of a crawl, which is one frame of at most 16 MiB, in which they take a third more.
MAX_DUE_BYTES = 8 * 2**20
# Sample sockets of one crawl: while one post is examined, the next one is sent already.
SAMPLE_SOCKETS = 2
# Seconds between two looks at whether the crawl process makes progress.
LOOK_SECONDS = 1.0
# Questions that are answered in one transaction.
MAX_TOGETHER = 32
# Time that a crawl process gets beyond its time limit to report how it ended.
GRACE_SECONDS = 10.0


def is_light(store: Store, definition: Definition) -> bool:
    """Whether a source may share a process."""
    name = definition.name
    return not why_alone(definition, store.sources.alone(name)) and not store.crawls.none_done(name)


async def run_crawl(
    home: Home,
    store: Store,
    definition: Definition,
    examiner: ExaminerProcess,
    *,
    owner: str,
    settings: Settings | None = None,
    reason: str = "due",
    tor: TorConnection | None = None,
    report: Callable[[str], None] | None = None,
    standalone: bool = False,
    batches: Batches | None = None,
    turns: HostTurns | None = None,
) -> CrawlResult:
    """Crawl one source now.

    Args:
        home: folder that gets the evidence.
        store: of the home; no other process writes to it meanwhile.
        definition: of the source.
        examiner: running.
        owner: name of the lease's owner.
        settings: of the home; read from the home if None.
        reason: why the crawl is made; stored with it.
        tor: connection to Tor, which is left open. If None, the crawl makes one of its own and closes it.
        report: is called with messages while the crawl waits for Tor.
        standalone: this is the only crawl, so no fork server is started for further ones.
        batches: a crawl of a light source shares a process of these; None for a process of its own.
        turns: of requests to hosts that several sources declare; None if no other source is crawled meanwhile.

    Returns:
        The result of the crawl. A crawl that failed is stored as failed, with its events, and returned, not raised.

    Raises:
        LeaseLost: another process crawls this source.
        StoreError: the findings could not be stored; their posts stay due.
    """
    settings = settings or home.settings()
    now = datetime.now(UTC)
    put_source(store, definition, now)
    if not definition.robots.obey:
        # Recorded once per definition, so that the audit log shows who decided this, and why.
        store.audit.record("source", "robots.txt ignored", f"{definition.name}: {definition.robots.ignore}", now)
    if not definition.tls.verify:
        store.audit.record_once("source", "certificate not checked", f"{definition.name}: {definition.tls.reason}", now)
    crawl_id = store.crawls.queue(definition.name, reason, now)
    fence = store.crawls.lease(crawl_id, owner, now + LEASE, now)
    used_tor = TorConnection(home, settings.tor) if tor is None else tor
    tally = CrawlTally(definition.name, crawl_id)
    crawl = LeasedCrawl(home, store, settings, definition, crawl_id, fence, route_by(settings), None)
    try:
        incident, rules = _incident_of(home, definition.name, tally)
        crawl = replace(crawl, incident=incident)
        CrawlEnd(crawl, tally).report_broken_platforms(datetime.now(UTC))
        follow, shapes = _sources_of_links(crawl, tally)
        running = _RunningCrawl(
            crawl,
            tally,
            examiner,
            used_tor,
            rules=rules,
            follow=follow,
            shapes=shapes,
            report=report,
            standalone=standalone,
            batches=batches,
            turns=turns or HostTurns(),
        )
        await running.run()
    except asyncio.CancelledError:
        if is_being_cancelled():
            # The runner stops, which is no failure of the source. If this cannot be stored, the crawl expires.
            with contextlib.suppress(StoreError):
                store.crawls.release(crawl_id, fence, "the runner was stopped", datetime.now(UTC))
            raise
        tally.note_crash("a part of the crawl was cancelled")
    except TocsinError as error:
        codes = {ConfigError: "config", ExaminerDied: "examiner", TorDown: TOR_DOWN, StoreError: "store"}
        tally.note_crash(str(error), next((code for kind, code in codes.items() if isinstance(error, kind)), "crash"))
        tally.hint = error.hint
    except Exception as error:  # noqa: BLE001 - whatever ends a crawl is a failure that is counted and reported
        tally.note_crash(f"the crawl failed with {type(error).__name__}")
    finally:
        if tor is None:
            used_tor.close()
    if tally.lost:
        tally.note_crash("the lease was lost: another process took this crawl over")
    else:
        CrawlEnd(crawl, tally).finish(datetime.now(UTC))
    return tally.result()


def _incident_of(home: Home, source: str, tally: CrawlTally) -> tuple[Incident | None, IncidentRules]:
    """The incident of a source, and its rules for the crawl process; what is wrong with them goes to the tally."""
    try:
        incident = incident_of(read_incidents(home.path), source)
    except ConfigError as error:
        tally.problems["incidents"] = f"the crawl uses no incident and no rules: {error}"
        return None, NO_RULES
    if incident is None:
        return None, NO_RULES
    files, unreadable = read_rule_files(home.path, incident)
    for name, reason in unreadable.items():
        tally.problems[f"rules {name}"] = f"posts are not searched with this rule file: {reason}"
    return incident, IncidentRules(words=incident.words, expressions=incident.expressions, files=files)


def _sources_of_links(
    crawl: LeasedCrawl, tally: CrawlTally
) -> tuple[dict[str, frozenset[tuple[str, int]]], dict[str, tuple[str, ...]]]:
    """The other sources to which links of this one are handed: name -> the (host, port) pairs that it declares.

    Those that take links without a rule of this source have the shapes of their addresses in the second mapping.
    """
    found: dict[str, frozenset[tuple[str, int]]] = {}
    shapes: dict[str, tuple[str, ...]] = {}
    for taker in link_takers(crawl.home.sources_dir):
        other = taker.definition
        if other.name != crawl.source:
            found[other.name], shapes[other.name] = source_hosts(other), taker.shapes
            put_source(crawl.store, other, datetime.now(UTC))
    for name in dict.fromkeys(follow.source for follow in crawl.definition.follow):
        try:
            other = complete_definition(load_source(crawl.home.sources_dir / f"{name}.yaml"))
        except TocsinError as error:
            tally.problems[f"follow {name}"] = f"links for this source are dropped: {error}"
            continue
        if other.enabled:
            found[name] = source_hosts(other)
            put_source(crawl.store, other, datetime.now(UTC))
        else:
            tally.problems[f"follow {name}"] = f"links for this source are dropped: {name} is disabled"
    return found, shapes


@dataclass(frozen=True, slots=True)
class _RunningCrawl:
    """The execution of one leased crawl.

    Attributes:
        crawl: its source, lease and store.
        tally: updated while it runs.
        examiner: running.
        tor: used if the source is crawled over Tor.
        rules: of the source's incident.
        follow: other source -> the (host, port) pairs that it declares. shapes: those of them that take links without a
            rule -> expressions for their posts.
        report: is called with messages while the crawl waits for Tor.
        standalone: no fork server is started.
        batches: the crawl shares a process with others; None for a process of its own.
        turns: of requests to hosts that several sources declare.
    """

    crawl: LeasedCrawl
    tally: CrawlTally
    examiner: ExaminerProcess
    tor: TorConnection
    rules: IncidentRules
    follow: Mapping[str, frozenset[tuple[str, int]]]
    shapes: Mapping[str, tuple[str, ...]]
    report: Callable[[str], None] | None
    standalone: bool
    batches: Batches | None
    turns: HostTurns

    async def run(self) -> None:
        """Make the crawl; the tally then has its result. Whatever it raises is a failure of the crawl."""
        await self._prepare_tor()
        hung = False
        if self.batches is None or not is_light(self.crawl.store, self.crawl.definition):
            await self._run_process(self._job())
        else:
            with contextlib.suppress(CrawlNotStarted):
                await self._run_process(self._job(), self.batches)
            if self.tally.code in PROCESS_TROUBLE and not self.tally.lost:
                # any of the crawls in the shared process may be at fault: each is repeated in a process of its own
                log.warning("crawled again in a process of its own", source=self.crawl.source, code=self.tally.code)
                again = f"{self.tally.error or 'its crawl process ended'}; it was crawled again in a process of its own"
                self.crawl.store.crawls.note_trouble(self.crawl.source, datetime.now(UTC), self.tally.code, again)
                hung = self.tally.code == "hang"
                self.tally.begin_again()
                await self._repeat(self.batches)
        if reason := self.tally.why_alone(self.crawl.settings.crawl.stream_above, hung=hung):
            self.crawl.store.sources.set_alone(self.crawl.source, reason)

    async def _repeat(self, batches: Batches) -> None:
        """Make the crawl in a process of its own once few enough others are repeated; keep the lease meanwhile."""
        keeping_lease = asyncio.create_task(self._keep_lease(None))
        try:
            await batches.repeated.acquire()
        finally:
            await _cancel(keeping_lease)
        try:
            if not self.tally.lost:
                await self._run_process(self._job())
        finally:
            batches.repeated.release()

    async def _prepare_tor(self) -> None:
        """Before a crawl over Tor, wait until Tor is ready and give it the source's keys; keep the lease meanwhile."""
        if not self.crawl.over_tor:
            return
        keeping_lease = asyncio.create_task(self._keep_lease(None))
        try:
            await self.tor.wait_until_ready(self.report)
            await self.tor.add_onion_keys(self.crawl.definition)
        finally:
            await _cancel(keeping_lease)

    def _job(self) -> Job:
        crawl, store = self.crawl, self.crawl.store
        post_key = self.examiner.greeting.post_key
        settings = crawl_settings(
            crawl.definition, crawl.settings.crawl, shared=self.turns.shared(crawl.definition, crawl.settings.crawl)
        )
        if crawl.over_tor:
            failures = failures_in_a_row(store, crawl.source)
            settings |= self.tor.crawl_settings(crawl.definition, crawl=crawl.id, post_key=post_key, failures=failures)
        revisit = crawl.definition.item.revisit if crawl.definition.item is not None else timedelta()
        return Job(
            crawl=crawl.id,
            definition=crawl.definition,
            settings=settings,
            network=self.tor.network_mode() if crawl.over_tor else "refused",
            post_key=post_key,
            due=self._due_posts(),
            revisit=tuple(store.posts.to_revisit(crawl.source, revisit, datetime.now(UTC))),
            robots=store.sources.robots(crawl.source),
            mode="crawl",
            limits=JobLimits(memory=crawl.settings.crawl.memory, wall=crawl.settings.crawl.wall.total_seconds()),
            closed=crawl.home.path.absolute(),
            settled=store.posts.count_settled(crawl.source),
            follow=self.follow,
            shapes=self.shapes,
            rules=self.rules,
            recipient=self.crawl.recipients,
            cookies=session_cookies(crawl.home, crawl.definition),
        )

    def _due_posts(self) -> tuple[bytes, ...]:
        """The posts of earlier crawls that this crawl tries again; those that do not fit into its job stay due.

        Posts that failed before come last, so that all of them are tried in turn.
        """
        due = self.crawl.store.posts.due(self.crawl.source)[:MAX_DUE]
        chosen: list[bytes] = []
        room = MAX_DUE_BYTES
        for sealed in due:
            if len(sealed) <= room:
                room -= len(sealed)
                chosen.append(sealed)
        if len(chosen) < len(due):
            self.tally.failed[TOO_LARGE] += len(due) - len(chosen)
        return tuple(chosen)

    # --- the process ---------------------------------------------------------------------------------------------

    async def _run_process(self, job: Job, batches: Batches | None = None) -> None:
        """Start the crawl process and answer its questions until it reports its end, ends or must be ended."""
        post_key = self.examiner.greeting.post_key
        turn = self.turns.of_crawl(self.crawl.definition, self.crawl.settings.crawl)
        handler = QuestionHandler(
            self.crawl, self.tally, follow=self.follow, post_key=post_key, rules=self.rules, turn=turn
        )
        samples: list[socket.socket] = []
        stack = contextlib.ExitStack()
        try:
            for _ in range(SAMPLE_SOCKETS if batches is None else 1):
                samples.append(self.examiner.attach())  # noqa: PERF401 - those attached so far are closed on failure
            samples += stack.enter_context(browser_socket(wanted=bool(self.crawl.definition.render)))
        except BaseException:
            for sock in samples:
                sock.close()
            raise
        ours, dial = dial_socket_pair()
        dial_server = DialServer(ours, dial_tor(self.tor.socks) if self.crawl.over_tor else self._direct_dial())
        exit_problem, has_ended = "", False
        try:
            batch = (batches, self.crawl.definition.platform) if batches is not None else None
            process = await CrawlProcess.start(samples, dial, standalone=self.standalone, batch=batch)
            try:
                has_ended = await self._supervise(process, job, handler)
            finally:
                self.tally.silence = process.silence
                exit_problem = await asyncio.shield(process.close())
        finally:
            dial_server.close()
            stack.close()
        if not has_ended and not self.tally.error:
            self.tally.error = exit_problem or "the crawl process ended without reporting a result"

    async def _supervise(self, process: CrawlProcess, job: Job, handler: QuestionHandler) -> bool:
        """Send the job and answer the questions of the process; whether it reported the end of the crawl.

        A process that has not reported the end is ended here, or has ended.
        """
        wall = self.crawl.settings.crawl.wall.total_seconds()
        watching = [asyncio.create_task(self._keep_lease(process)), asyncio.create_task(self._end_if_frozen(process))]
        has_ended = False
        try:
            async with asyncio.timeout(wall + GRACE_SECONDS):
                await process.send(job)
                while not has_ended:
                    has_ended = await self._answer_questions(process, handler)
        except TimeoutError:
            self.tally.note_crash(
                f"the crawl took longer than {wall:g} s and was ended; posts that it did not examine stay due", "wall"
            )
            process.kill()
        except (EOFError, ConnectionError):
            if not self.tally.error:
                self.tally.code = "crash"
        except LeaseLost:
            self.tally.lost = True
            process.kill()
        except BaseException:
            process.kill()
            raise
        finally:
            for task in watching:
                await _cancel(task)
        return has_ended

    async def _answer_questions(self, process: CrawlProcess, handler: QuestionHandler) -> bool:
        """Answer all questions that wait; whether the last one was the report of the crawl's end."""
        questions = await process.receive_questions(MAX_TOGETHER)
        # Syncing the disk costs more than the rest of a commit, so waiting commits share one transaction.
        with self.crawl.store.together():
            answers = [handler.answer(question) for question in questions]
        if self.tally.sighted:
            releases, self.tally.sighted = self.tally.sighted, []
            written = await asyncio.to_thread(register_releases, releases, self.examiner.finish_release)
            self.crawl.store.expected_releases.add(written)
        for answer in answers:
            await process.send(answer)
        return isinstance(questions[-1], EndFrame)

    def _direct_dial(self) -> DirectDial:
        timeout = self.crawl.settings.crawl.timeout.total_seconds()
        return DirectDial(source_hosts(self.crawl.definition), timeout)

    async def _keep_lease(self, process: CrawlProcess | None) -> None:
        """Renew the lease until cancelled; if the lease is lost, kill the process."""
        crawl = self.crawl
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 4)
            try:
                crawl.store.crawls.renew(crawl.id, crawl.fence, datetime.now(UTC) + LEASE)
            except LeaseLost:
                self.tally.lost = True
                if process is not None:
                    process.kill()
                return
            except StoreError as error:
                # The lease is renewed next time, or ends; what the crawl cannot store meanwhile makes it fail.
                log.warning("a lease could not be renewed", source=crawl.source, error=str(error))

    async def _end_if_frozen(self, process: CrawlProcess) -> None:
        """Kill a process that is frozen, until cancelled."""
        was_frozen = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            is_frozen = process.is_frozen()
            # Twice, because this process itself may have stood still, and not have read the frames that arrived.
            if is_frozen and was_frozen:
                self.tally.note_crash(
                    "the crawl process made no progress and was ended; posts that it did not examine stay due", "hang"
                )
                process.kill()
                return
            was_frozen = is_frozen


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
