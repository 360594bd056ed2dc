"""One crawl: lease it, fork its process, answer its questions, judge how it went, and keep all of it in the store.

The crawl process never sees the store, this process never sees a sample. What becomes of what it tells is
`scheduler.crawls.crawl_answers`, what its end means `scheduler.crawls.crawl_end`, when the next crawl is due `scheduler.daemon.cadence`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from crawler.fetching.scrapy_settings import crawl_settings
from crawler.process.control_frames import NO_RULES, EndFrame, IncidentRules, Job, JobLimits
from crawler.process.examiner_client import ExaminerProcess
from crawler.tor.dial_socket import DialServer, dial_socket_pair
from data.case.incidents import incident_of, read_incidents, read_rule_files
from data.errors import ConfigError, ExaminerDied, LeaseLost, TocsinError, TorDown
from data.model import Incident
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition, source_hosts
from data.sources.source_files import load_source
from data.store.store import Store
from scheduler.crawls.crawl_answers import Answers
from scheduler.crawls.crawl_end import CrawlEnd, failures_of
from scheduler.crawls.crawl_health import TOR_DOWN
from scheduler.crawls.crawl_processes import CrawlProcess
from scheduler.crawls.crawl_tally import CrawlResult, Tally
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.sighted_releases import register
from scheduler.crawls.tor_road import TorRoad, road_of
from scheduler.delivery.routing import route_by

LEASE = timedelta(seconds=60)
# Posts of earlier crawls that one crawl tries again; the rest waits, so that dead ones cannot keep it from the listing.
MAX_DUE = 200
# Sample sockets of one crawl: while one post is examined the next one is already on its way.
SAMPLE_SOCKETS = 2
# Questions that are answered in one transaction.
MAX_TOGETHER = 32
# Beyond its wall clock a process gets this long to say how it went.
GRACE = 10.0


async def run_crawl(
    home: Home,
    store: Store,
    definition: Definition,
    examiner: ExaminerProcess,
    *,
    owner: str,
    settings: Settings | None = None,
    reason: str = "due",
    road: TorRoad | None = None,
    tell: Callable[[str], None] | None = None,
    alone: bool = False,
) -> CrawlResult:
    """Crawl one source now.

    Args:
        home: whose evidence folder is written.
        store: of the home; nothing else writes it meanwhile but this process.
        definition: of the source.
        examiner: running.
        owner: who holds the lease.
        settings: of the home; read from it without.
        reason: why the crawl is made.
        road: over Tor; a Tor of our own that it started is left running. Without it the crawl has one for itself.
        tell: gets sentences while the crawl waits for Tor.
        alone: it is the only one, so no warm server is started for others.

    Returns:
        How it went. A crawl that failed is kept as such, with its events, and returned; it is not raised.

    Raises:
        LeaseLost: another process crawls this source.
        StoreError: the store could not keep what was found; it stays due.
    """
    settings = settings or home.settings()
    now = datetime.now(UTC)
    store.sources.put(definition.name, definition.digest(), definition.enabled, now)
    if not definition.robots.obey:
        # once per definition: the audit chain says who asked for it, and why
        store.audit.record("source", "robots.txt ignored", f"{definition.name}: {definition.robots.ignore}", now)
    crawl = store.crawls.queue(definition.name, reason, now)
    fence = store.crawls.lease(crawl, owner, now + LEASE, now)
    own_road = road_of(home, settings) if road is None else road
    try:
        leased = _Crawl(home, store, definition, examiner, settings, crawl, fence, own_road, tell, alone)
        return await leased.run()
    finally:
        if road is None:
            own_road.close()


class _Crawl:
    """One leased crawl."""

    def __init__(
        self,
        home: Home,
        store: Store,
        definition: Definition,
        examiner: ExaminerProcess,
        settings: Settings,
        crawl: str,
        fence: int,
        road: TorRoad,
        tell: Callable[[str], None] | None,
        alone: bool,
    ) -> None:
        self.home, self.store, self.definition, self.examiner = home, store, definition, examiner
        self.settings, self.crawl, self.fence = settings, crawl, fence
        self.road, self.tell, self.alone = road, tell, alone
        self.over_tor = definition.via == "tor"
        self.tally = Tally(definition.name, crawl)
        route = route_by(settings)
        case, self.rules = self._incident()
        self.follow = self._followed()
        self.answers = Answers(
            home,
            store,
            definition,
            self.tally,
            fence=fence,
            route=route,
            case=case,
            follow=self.follow,
            post_key=examiner.greeting.post_key,
        )
        self.end = CrawlEnd(
            store,
            definition,
            settings,
            self.tally,
            fence=fence,
            route=route,
            incident=case.id if case is not None else "",
        )

    async def run(self) -> CrawlResult:
        self.end.tell_platforms(datetime.now(UTC))
        try:
            await self._prepare()
            await self._process(self._job())
        except (ConfigError, ExaminerDied, TorDown) as error:
            codes = {ConfigError: "config", ExaminerDied: "examiner", TorDown: TOR_DOWN}
            self.tally.code = next(code for kind, code in codes.items() if isinstance(error, kind))
            self.tally.error, self.tally.hint = str(error), error.hint
        if self.tally.lost:
            self.tally.error = "the lease was lost: another process took this crawl over"
        else:
            self.end.finish(datetime.now(UTC))
        return self.tally.result()

    async def _prepare(self) -> None:
        """Before a crawl over Tor: a Tor that is ready, and our keys in it; the lease is kept meanwhile."""
        if not self.over_tor:
            return
        renewing = asyncio.create_task(self._renew(None))
        try:
            await self.road.ready(self.tell)
            await self.road.give_keys(self.definition)
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing

    def _job(self) -> Job:
        post_key = self.examiner.greeting.post_key
        settings = crawl_settings(self.definition, self.settings.crawl)
        if self.over_tor:
            failures = failures_of(self.store, self.definition.name)
            settings |= self.road.crawl_settings(
                self.definition, crawl=self.crawl, post_key=post_key, failures=failures
            )
        return Job(
            crawl=self.crawl,
            definition=self.definition,
            settings=settings,
            network=self.road.network() if self.over_tor else "open",
            post_key=post_key,
            due=tuple(self.store.posts.due(self.definition.name)[:MAX_DUE]),
            mode="crawl",
            limits=JobLimits(memory=self.settings.crawl.memory, wall=self.settings.crawl.wall.total_seconds()),
            closed=self.home.path.absolute(),
            settled=self.store.posts.count_settled(self.definition.name),
            follow=self.follow,
            rules=self.rules,
        )

    def _incident(self) -> tuple[Incident | None, IncidentRules]:
        """The incident of the source, and its rules as the crawl process takes them; what is wrong with them is told."""
        try:
            incident = incident_of(read_incidents(self.home.path), self.definition.name)
        except ConfigError as error:
            self.tally.problems["incidents"] = f"no incident and no rule is known: {error}"
            return None, NO_RULES
        if incident is None:
            return None, NO_RULES
        files, lost = read_rule_files(self.home.path, incident)
        for name, reason in lost.items():
            self.tally.problems[f"rules {name}"] = f"posts are not looked through with it: {reason}"
        return incident, IncidentRules(words=incident.words, expressions=incident.expressions, files=files)

    def _followed(self) -> dict[str, frozenset[tuple[str, int]]]:
        """The other sources that links of this one are handed to, each with what it declares."""
        found: dict[str, frozenset[tuple[str, int]]] = {}
        for name in dict.fromkeys(follow.source for follow in self.definition.follow):
            try:
                other = complete_definition(load_source(self.home.sources_dir / f"{name}.yaml"))
            except TocsinError as error:
                self.tally.problems[f"follow {name}"] = f"its links are handed to nobody: {error}"
                continue
            if other.enabled:
                found[name] = source_hosts(other)
                self.store.sources.put(name, other.digest(), other.enabled, datetime.now(UTC))
            else:
                self.tally.problems[f"follow {name}"] = f"its links are handed to nobody: {name} is disabled"
        return found

    # --- the process ---------------------------------------------------------------------------------------------

    async def _process(self, job: Job) -> None:
        samples: list[socket.socket] = []
        try:
            for _ in range(SAMPLE_SOCKETS):
                samples.append(self.examiner.attach())  # noqa: PERF401 - those attached so far are closed on failure
        except ExaminerDied:
            for sock in samples:
                sock.close()
            raise
        dial: socket.socket | None = None
        dials: DialServer | None = None
        if self.over_tor:
            ours, dial = dial_socket_pair()
            dials = DialServer(ours, self.road.socks)
        process = await CrawlProcess.start(samples, dial, alone=self.alone)
        renewing = asyncio.create_task(self._renew(process))
        wall = self.settings.crawl.wall.total_seconds()
        ended = False
        try:
            async with asyncio.timeout(wall + GRACE):
                await process.tell(job)
                while not ended:
                    questions = await process.questions(MAX_TOGETHER)
                    # a sync of the disk costs more than all the rest of a commit: those that wait share one
                    with self.store.together():
                        answers = [self.answers.to(question) for question in questions]
                    if self.tally.sighted:
                        wanted, self.tally.sighted = self.tally.sighted, []
                        await asyncio.to_thread(register, wanted, self.examiner.finish_release)
                    ended = isinstance(questions[-1], EndFrame)
                    for answer in answers:
                        await process.tell(answer)
        except TimeoutError:
            self.tally.code, self.tally.error = (
                "wall",
                f"the crawl took longer than {wall:g} s and was ended; its posts stay due",
            )
            process.kill()
        except EOFError:
            self.tally.code = "crash"
        except LeaseLost:
            self.tally.lost = True
            process.kill()
        except BaseException:
            process.kill()
            raise
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing
            said = await asyncio.shield(process.close())
            if dials is not None:
                dials.close()
        if not ended and not self.tally.error:
            self.tally.error = said or "the crawl process ended without saying how it went"

    async def _renew(self, process: CrawlProcess | None) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 4)
            try:
                self.store.crawls.renew(self.crawl, self.fence, datetime.now(UTC) + LEASE)
            except LeaseLost:
                self.tally.lost = True
                if process is not None:
                    process.kill()
                return
