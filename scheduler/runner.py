"""One crawl: lease it, fork its process, answer its questions, judge how it went, and keep all of it in the store.

The crawl process never sees the store, this process never sees a sample. When the next crawl is due is
`scheduler.cadence`'s.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crawler.early import Look, event_of_correction, event_of_look, kept_prints, settled
from crawler.early import judge as judge_early
from crawler.events import event_of_announcement, event_of_change, events_of_post, make
from crawler.examiner import ExaminerProcess
from crawler.health import TOR_DOWN, Judgement, Outcome, judge
from crawler.prints import unpacked
from crawler.settings import crawl_settings
from crawler.transport.tor_dial import DialServer, pair
from data import evidence
from data.addresses import source_hosts
from data.config import Home, Settings
from data.definition import Definition
from data.errors import ConfigError, ExaminerDied, LeaseLost, TocsinError, TorDown, WireError
from data.incidents import incident_of, read_incidents, read_rules
from data.model import Event, EventKind, Finding, Incident, Severity
from data.sources import load_source
from data.store import PostRow, Route, Store, finding_id
from scheduler.definitions import complete_definition, platforms
from scheduler.fork import CrawlProcess
from scheduler.jobs import recovered, route_by
from scheduler.sighting import register, sightings
from scheduler.tor_road import TorRoad, road_of
from scheduler.tor_watch import tell_tor

LEASE = timedelta(seconds=60)
# Posts of earlier crawls that one crawl tries again; the rest waits, so that dead ones cannot keep it from the listing.
MAX_DUE = 200
# Sample sockets of one crawl: while one post is examined the next one is already on its way.
SAMPLE_SOCKETS = 2
# Questions that are answered in one transaction.
MAX_TOGETHER = 32
# Beyond its wall clock a process gets this long to say how it went.
GRACE = 10.0


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """How one crawl went, with the keys of `crawl --json`.

    Attributes:
        hits: something matched. resumed: requests that went on with a body whose connection broke. handed: other source -> links that posts led to. changed_page: the listing has fewer rows than it should. clients: client -> most canaries of it in one post. hosts: refused host -> requests.
        error, hint: why it failed, and what to do; '' where it did not.
    """

    source: str
    crawl: str
    state: str
    listed: int = 0
    new: int = 0
    changed: int = 0
    examined: int = 0
    unexamined: int = 0
    gap: bool = False
    findings: int = 0
    events: int = 0
    seconds: float = 0.0
    refused: int = 0
    requests: int = 0
    resumed: int = 0
    error: str = ""
    hint: str = ""
    hits: bool = False
    changed_page: bool = False
    clients: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, int] = field(default_factory=dict)
    handed: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether something failed or could not be examined."""
        return self.state != "done" or bool(self.unexamined) or self.gap or self.changed_page


def keep_evidence(home: Home, post: PostRow, findings: Sequence[Finding], now: datetime) -> None:
    """Keep the sealed proof of each finding that has one; before the findings themselves, so that none is without."""
    for number, finding in enumerate(findings):
        if finding.sealed:
            try:
                sealed = base64.b64decode(finding.sealed, validate=True)
            except binascii.Error as error:
                raise WireError("the examiner sent a seal that is not base64") from error
            evidence.keep(home.evidence_dir, finding_id(post, number), sealed, now)


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

    Returns:
        How it went. A crawl that failed is kept as such, with its events, and returned; it is not raised.

    Raises:
        LeaseLost: another process crawls this source.
        StoreError: the store could not keep what was found; it stays due.
    """
    settings = settings or home.settings()
    now = datetime.now(UTC)
    store.put_source(definition.name, definition.digest(), definition.enabled, now)
    if not definition.robots.obey:
        # once per definition: the audit chain says who asked for it, and why
        store.audit("source", "robots.txt ignored", f"{definition.name}: {definition.robots.ignore}", now)
    crawl = store.queue_crawl(definition.name, reason, now)
    fence = store.lease_crawl(crawl, owner, now + LEASE, now)
    own_road = road_of(home, settings) if road is None else road
    try:
        leased = _Crawl(home, store, definition, examiner, settings, crawl, fence, own_road, tell)
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
    ) -> None:
        self.home, self.store, self.definition, self.examiner = home, store, definition, examiner
        self.settings, self.crawl, self.fence = settings, crawl, fence
        self.road, self.tell = road, tell
        self.over_tor = definition.via == "tor"
        self.name = definition.name
        self.route: Route = route_by(settings)
        self.first = store.first_crawl(self.name)
        self.problems: dict[str, str] = {}
        self.case, self.rules = self._incident()
        self.incident = self.case.id if self.case is not None else ""
        self.began = time.monotonic()
        self.counts: dict[str, int] = {}
        self.hosts: dict[str, int] = {}
        self.rows, self.gap = 0, False
        self.findings = self.events = 0
        self.sighted: list[tuple[str, dict[str, Any]]] = []
        self.clients: dict[str, int] = {}
        self.failed: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.follow = self._followed()
        self.handed: Counter[str] = Counter()
        # until the process says how it went, it has not gone well
        self.state, self.code, self.error, self.hint = "failed", "crash", "", ""
        self.lost = self.changed_page = False

    async def run(self) -> CrawlResult:
        self._platforms()
        try:
            await self._prepare()
            await self._process(self._job())
        except (ConfigError, ExaminerDied, TorDown) as error:
            codes = {ConfigError: "config", ExaminerDied: "examiner", TorDown: TOR_DOWN}
            self.code = next(code for kind, code in codes.items() if isinstance(error, kind))
            self.error, self.hint = str(error), error.hint
        if self.lost:
            self.error = "the lease was lost: another process took this crawl over"
        else:
            self._finish(datetime.now(UTC))
        return self._result()

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

    def _job(self) -> dict[str, Any]:
        post_key = self.examiner.greeting.post_key
        settings = crawl_settings(self.definition, self.settings.crawl)
        if self.over_tor:
            failures = self._failures()
            settings |= self.road.crawl_settings(
                self.definition, crawl=self.crawl, post_key=post_key, failures=failures
            )
        return {
            "crawl": self.crawl,
            "source": self.definition.model_dump(mode="json"),
            "settings": settings,
            "network": self.road.network() if self.over_tor else "open",
            "post_key": post_key.hex(),
            "due": [base64.b64encode(sealed).decode() for sealed in self.store.due_posts(self.name)[:MAX_DUE]],
            "mode": "crawl",
            "limits": {"memory": self.settings.crawl.memory, "wall": self.settings.crawl.wall.total_seconds()},
            "closed": str(self.home.path.absolute()),
            "settled": self.store.settled_posts(self.name),
            "follow": {source: sorted(pairs) for source, pairs in self.follow.items()},
            "rules": self.rules,
        }

    def _incident(self) -> tuple[Incident | None, dict[str, Any]]:
        """The incident of the source, and its rules as the crawl process takes them; what is wrong with them is told."""
        try:
            incident = incident_of(read_incidents(self.home.path), self.name)
        except ConfigError as error:
            self.problems["incidents"] = f"no incident and no rule is known: {error}"
            return None, {}
        if incident is None:
            return None, {}
        files, lost = read_rules(self.home.path, incident)
        for name, reason in lost.items():
            self.problems[f"rules {name}"] = f"posts are not looked through with it: {reason}"
        return incident, {"words": incident.words, "expressions": incident.expressions, "files": files}

    def _followed(self) -> dict[str, frozenset[tuple[str, int]]]:
        """The other sources that links of this one are handed to, each with what it declares."""
        found: dict[str, frozenset[tuple[str, int]]] = {}
        for name in dict.fromkeys(follow.source for follow in self.definition.follow):
            try:
                other = complete_definition(load_source(self.home.sources_dir / f"{name}.yaml"))
            except TocsinError as error:
                self.problems[f"follow {name}"] = f"its links are handed to nobody: {error}"
                continue
            if other.enabled:
                found[name] = source_hosts(other)
                self.store.put_source(name, other.digest(), other.enabled, datetime.now(UTC))
            else:
                self.problems[f"follow {name}"] = f"its links are handed to nobody: {name} is disabled"
        return found

    # --- the process ---------------------------------------------------------------------------------------------

    async def _process(self, job: Mapping[str, Any]) -> None:
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
            ours, dial = pair()
            dials = DialServer(ours, self.road.socks)
        process = await CrawlProcess.start(samples, dial)
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
                        answers = [self._answer(question) for question in questions]
                    if self.sighted:
                        wanted, self.sighted = self.sighted, []
                        await asyncio.to_thread(register, wanted, self.examiner.finish_release)
                    ended = questions[-1]["frame"] == "end"
                    for answer in answers:
                        await process.tell(answer)
        except TimeoutError:
            self.code, self.error = "wall", f"the crawl took longer than {wall:g} s and was ended; its posts stay due"
            process.kill()
        except EOFError:
            self.code = "crash"
        except LeaseLost:
            self.lost = True
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
        if not ended and not self.error:
            self.error = said or "the crawl process ended without saying how it went"

    async def _renew(self, process: CrawlProcess | None) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 4)
            try:
                self.store.renew(self.crawl, self.fence, datetime.now(UTC) + LEASE)
            except LeaseLost:
                self.lost = True
                if process is not None:
                    process.kill()
                return

    def _answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        handlers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any] | None]] = {
            "listed": self._listed,
            "walked": self._walked,
            "early": self._early,
            "commit": self._commit,
            "event": self._event,
            "end": self._end,
        }
        handler = handlers.get(question["frame"])
        if handler is None:
            raise WireError("the crawl process asked something unknown")
        try:
            return handler(question) or {"ok": True}
        except LeaseLost:
            self.lost = True
            return {"lost": True}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WireError("the crawl process sent a frame that cannot be understood") from error

    def _listed(self, question: Mapping[str, Any]) -> dict[str, Any]:
        posts = [
            PostRow(
                post["id"], post["version"], post["address"], base64.b64decode(post["due"]), traits=post["traits"]
            )
            for post in question["posts"]
        ]  # fmt: skip
        now = datetime.now(UTC)
        revisit = self.definition.item.revisit if self.definition.item is not None else timedelta()
        listed = self.store.record_listed(
            self.crawl,
            self.fence,
            self.name,
            posts,
            now,
            volatile=self.definition.list.volatile,
            revisit_before=now - revisit if revisit else None,
        )
        return {
            "examine": listed.examine,
            "changed": listed.changed,
            "settled": listed.settled,
            "settled_ids": listed.settled_ids,
            "revisit": listed.revisit,
        }

    def _walked(self, question: Mapping[str, Any]) -> None:
        self.rows, self.gap = int(question["rows"]), bool(question["gap"])
        self.store.record_walked(self.crawl, self.fence)

    def _early(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Judge what is known of a body before it is read, and ring if it says something."""
        now = datetime.now(UTC)
        post, value = question["post"], question["look"]
        files = unpacked(value["files"], 3)
        look = Look(str(value["how"]), bool(value["complete"]), files, int(value["fetched"]), int(value["total"]))
        early = judge_early(look, self.store.bodies_with(files[:, :2]))
        event = event_of_look(self.name, post["id"], post["address"], look, early, incident=self.incident, at=now)
        self.events += self.store.commit_events([event], self.route, now, crawl=self.crawl, fence=self.fence)
        return {"event": event.id}

    def _settle_early(
        self, told: Mapping[str, str], findings: Sequence[Finding], now: datetime
    ) -> tuple[dict[str, dict[str, Any]], list[Event]]:
        """What became of the early looks at the samples of a post: new facts by event, and what corrects those that rang."""
        facts: dict[str, dict[str, Any]] = {}
        corrections = []
        for number, name in told.items():
            found = self.store.event(name)
            if found is None or found[0].kind is not EventKind.EARLY_LOOK:
                # purged since; what the full examination says stands for itself
                continue
            event = found[0]
            facts[event.id] = settled(event.facts, findings[int(number)])
            if facts[event.id]["outcome"] == "corrected" and event.severity.rank >= Severity.WARNING.rank:
                corrections.append(event_of_correction(event, facts[event.id], now))
        return facts, corrections

    def _commit(self, question: Mapping[str, Any]) -> None:
        now = datetime.now(UTC)
        value = question["post"]
        post = PostRow(
            value["id"], value["version"], value["address"],
            facts=value["facts"], traits=value["traits"], page=value["page"],
        )  # fmt: skip
        findings = [Finding.from_json(finding) for finding in question["findings"]]
        failed = question["failed"]
        events: list[Event] = []
        if findings:
            keep_evidence(self.home, post, findings, now)
            events = events_of_post(
                self.name,
                post.id,
                post.address,
                findings,
                incident=self.incident,
                at=now,
            )
        if failed is not None:
            # it stays due and is told once, as a state of the source, however often it fails
            events = [event for event in events if event.kind is not EventKind.UNEXAMINED]
            self.failed[str(failed["code"])] += 1
        # told whether or not the post could be read: the listing alone says it
        if changed := self.store.changes_of(self.name, post, self.definition.list.volatile):
            seen = {"traits": post.traits, "page": post.page}
            events.append(event_of_change(self.name, post.id, post.address, changed, seen, self.incident, now))
        early, corrections = self._settle_early(question["early"], findings, now)
        if early:
            told = [{key: each[key] for key in ("verdict", "outcome")} for each in early.values()]
            leaks = {EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT, EventKind.REPOST}
            events = [
                replace(event, facts={**event.facts, "early_looks": told}) if event.kind in leaks else event
                for event in events
            ]
        events += corrections
        events += self._announced(post, value["announced"], changed, now)
        self.left.update(value["facts"].get("left", {}))
        links = [self._link(link) for link in question["links"]]
        self.events += self.store.commit_post(
            self.crawl,
            self.fence,
            self.name,
            post,
            findings,
            events,
            self.route,
            now,
            failed=failed is not None,
            links=links,
            prints=kept_prints(findings),
            early=early,
        )
        self.handed.update(source for source, _ in links)
        self.findings += len(findings)
        self.sighted += sightings(
            findings,
            post_key=self.examiner.greeting.post_key,
            source=self.name,
            post=post.id,
            incident=self.incident,
            now=now,
        )
        for finding in findings:
            for hit in finding.hits:
                self.clients[hit.client] = max(hit.canaries, self.clients.get(hit.client, 0))

    def _announced(
        self, post: PostRow, announced: Mapping[str, Any], changed: Mapping[str, str], now: datetime
    ) -> list[Event]:
        """What a post announces, where it has to do with an incident: its rules match, or it watches this source whole.

        The first crawl of a source is a quiet baseline: of it only times to come are told.
        """
        if self.case is None or not announced:
            return []
        rules = [str(name) for name in announced["rules"]]
        whole = self.name in self.case.sources and not self.case.has_rules
        if not rules and not whole:
            return []
        times = self.store.note_deadlines(self.name, post.id, announced["deadlines"], now)
        if "timer" in changed:
            # told as a change of the post already
            times = [each for each in times if each[2] is None]
        if not times and (self.first or not rules):
            return []
        return [event_of_announcement(self.name, post.id, post.address, rules, times, self.incident, now)]

    def _link(self, value: Mapping[str, Any]) -> tuple[str, PostRow]:
        if value["source"] not in self.follow:
            raise WireError("the crawl process handed a link to a source that it was not told of")
        row = PostRow(value["id"], value["version"], value["address"], base64.b64decode(value["due"]))
        return value["source"], row

    def _event(self, question: Mapping[str, Any]) -> None:
        if question["kind"] != EventKind.SOURCE_CHANGED:
            raise WireError("the crawl process told an event that is not its own")
        self.problems[str(question["subject"])[:40]] = str(question["facts"]["said"])[:200]

    def _end(self, question: Mapping[str, Any]) -> None:
        self.counts = {name: int(number) for name, number in question["counts"].items()}
        self.hosts = {str(host): int(number) for host, number in question.get("hosts", {}).items()}
        self.state = "done" if question["state"] == "done" else "failed"
        self.code, self.error = str(question["code"]), str(question["error"])

    # --- what it means -------------------------------------------------------------------------------------------

    def _failures(self) -> int:
        """Failed crawls of the source in a row, before this one."""
        return next((state.failures for state in self.store.sources() if state.name == self.name), 0)

    def _finish(self, now: datetime) -> None:
        if self.over_tor and (self.state == "done" or self.code == TOR_DOWN):
            reason = "" if self.state == "done" else self.error
            self.events += tell_tor(self.store, self.route, reason, now, hint=self.hint)
        outcome = Outcome(
            state=self.state,
            code=self.code,
            error=self.error,
            rows=self.rows,
            gap=self.gap,
            failures=self._failures() + 1,
            last_new=self.store.last_new(self.name),
            failed=self.failed,
            problems=self.problems,
        )
        judged = judge(self.definition.health, outcome, silent_after=self.settings.daemon.silent_after, now=now)
        for judgement in judged:
            self._state(judgement, now)
        self.changed_page = any(each.holds and each.subject == "rows" for each in judged)
        if self.state == "done":
            self._close_readings(judged, now)
        counts = {**self.counts, "gap": self.gap, "rows": self.rows, "failed": dict(self.failed), "code": self.code}
        self.events += self.store.finish_crawl(
            self.crawl, self.fence, self.state, counts, self.error, self._left_out(now), self.route, now
        )

    def _left_out(self, now: datetime) -> list[Event]:
        """Parts of posts that were not read and are not asked for again: told once for the whole crawl."""
        events = []
        gone = self.left.pop("absent", 0)
        for codes, severity in (({"absent": gone}, Severity.NOTICE), (dict(self.left), Severity.WARNING)):
            if number := sum(codes.values()):
                said = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if count)
                facts = {
                    "problems": sorted(codes),
                    "samples": number,
                    "reason": f"{number} parts of posts were not read ({said})",
                    "hosts": self.hosts if severity is Severity.WARNING else {},
                }
                events.append(
                    make(
                        EventKind.UNEXAMINED,
                        now,
                        self.crawl,
                        severity.value,
                        severity=severity,
                        source=self.name,
                        incident=self.incident,
                        facts=facts,
                    )
                )
        return events

    def _state(self, judgement: Judgement, now: datetime) -> None:
        if not judgement.holds:
            self.events += self.store.close_state(
                self.name, judgement.kind, judgement.subject, recovered, self.route, now
            )
            return
        event = make(
            judgement.kind,
            now,
            self.name,
            judgement.subject,
            self.crawl,
            source=self.name,
            incident=self.incident,
            facts={"subject": judgement.subject, **judgement.facts},
        )
        self.events += self.store.open_state(event, judgement.subject, self.route, now)

    def _close_readings(self, judged: Sequence[Judgement], now: datetime) -> None:
        """End what the listing's reader complained of before and does not any more."""
        still = {judgement.subject for judgement in judged if judgement.holds}
        for state in self.store.states(self.name):
            if (
                state.kind is EventKind.SOURCE_CHANGED
                and state.subject.startswith("reading ")
                and state.subject not in still
            ):
                self._state(Judgement(state.kind, state.subject, holds=False), now)

    def _platforms(self) -> None:
        """Tell of platforms whose module is broken, whatever source this crawl is of."""
        now = datetime.now(UTC)
        broken = {f"platform {name}": kind for name, kind in platforms().broken.items()}
        for subject, kind in broken.items():
            facts = {"subject": subject, "reason": f"its module fails with {kind}; the other platforms run"}
            event = make(EventKind.SELFTEST_FAILED, now, subject, kind, self.crawl, facts=facts)
            self.events += self.store.open_state(event, subject, self.route, now)
        for state in self.store.states(""):
            if state.subject.startswith("platform ") and state.subject not in broken:
                self.events += self.store.close_state("", state.kind, state.subject, recovered, self.route, now)

    def _result(self) -> CrawlResult:
        known = ("listed", "new", "changed", "examined", "unexamined", "refused", "requests", "resumed")
        return CrawlResult(
            source=self.name,
            crawl=self.crawl,
            state=self.state,
            gap=self.gap,
            findings=self.findings,
            events=self.events,
            seconds=round(time.monotonic() - self.began, 3),
            error=self.error,
            hint=self.hint,
            hits=bool(self.clients),
            changed_page=self.changed_page,
            clients=self.clients,
            hosts=self.hosts,
            handed=dict(self.handed),
            **{name: self.counts.get(name, 0) for name in known},
        )
