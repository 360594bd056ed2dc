"""Answers the questions of a crawl process, and stores what it lists, finds and reports at its end."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from crawler.alerts.events import (
    PostContext,
    build_event,
    event_of_announcement,
    event_of_change,
    event_of_gone_post,
    events_of_post,
)
from crawler.alerts.preview_verdict import (
    Preview,
    assess_preview,
    event_of_correction,
    event_of_preview,
    facts_after_examination,
    fingerprints_to_keep,
)
from crawler.pages.post_identity import host_id, open_due, open_host, seal_due
from crawler.process.control_frames import (
    DONE,
    LOST,
    Announcements,
    Answer,
    AnyQuestion,
    CommitFrame,
    EndFrame,
    LinkedHost,
    LinkedPost,
    ListedAnswer,
    ListedFrame,
    OpenedFrame,
    PageFrame,
    PagesFrame,
    PartsAnswer,
    PartsFrame,
    PreviewAnswer,
    PreviewFrame,
    ProposedFrame,
    RowsFrame,
    SourceChangedFrame,
    TurnAnswer,
    TurnFrame,
    WalkedAnswer,
    WalkedFrame,
)
from crawler.process.job_frame import NO_RULES, IncidentRules
from data.case import evidence
from data.case.canary_bitmaps import decode_bitmaps, merge_bitmap_sets
from data.case.seen_tags import seal_seen
from data.errors import LeaseLost, StoreError, WireError
from data.hashing.case_keys import keyed_digest
from data.hashing.file_fingerprints import decode_fingerprints
from data.model import Event, EventKind, Finding, Post, Severity
from data.settings.home import Home
from data.sources.definition import source_hosts
from data.sources.known_services import SERVICES, service_of
from data.store.findings import finding_id
from data.store.posts import PostRow
from data.store.sources import HostLink
from data.store.store import PostCommit, Store
from data.watchlist.manifest import client_names, imported_bundles
from scheduler.crawls.crawl_end import CrawlEnd
from scheduler.crawls.crawl_shape import ShapeOfCrawl
from scheduler.crawls.crawl_tally import HINTS, CrawlTally
from scheduler.crawls.leased_crawl import LeasedCrawl
from scheduler.crawls.question_checks import QuestionChecks
from scheduler.crawls.sighted_releases import sighted_releases
from scheduler.delivery.lasting_states import recovery_event

# Code of posts whose findings are stored without their evidence, and the subject of the state that reports it.
NO_EVIDENCE, EVIDENCE_SUBJECT = "evidence", "evidence"

_LEAKS = frozenset([EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT, EventKind.SHARED_PEOPLE, EventKind.REPOST])
# An event names so many pieces of evidence; `tocsin evidence list` has all of them.
MAX_EVIDENCE_NAMED = 3
# Posts that could not be read, whose addresses evidence of that has.
MAX_UNREAD = 50
# Posts that had hits and are missing from a listing, which are told after one crawl.
MAX_MISSING = 1000


def keep_evidence(
    home: Home, store: Store, post: PostRow, findings: Sequence[Finding], now: datetime
) -> dict[str, str]:
    """Store the sealed evidence of each finding that has some; returns the id of the finding -> digest of the file.

    Call it before the findings are stored, so that no stored finding lacks its evidence.
    """
    key = store.chain_keys.evidence if store.chain_keys is not None else None
    kept = {}
    for number, finding in enumerate(findings):
        if finding.sealed:
            try:
                sealed = base64.b64decode(finding.sealed, validate=True)
            except binascii.Error as error:
                raise WireError("the examiner sent sealed evidence that is not base64") from error
            entry = evidence.keep(home.evidence_dir, finding_id(post, number), sealed, now, key)
            kept[entry.id] = entry.sha256
    return kept


class QuestionHandler:
    """Answers the questions of the process of one leased crawl."""

    def __init__(
        self,
        crawl: LeasedCrawl,
        tally: CrawlTally,
        *,
        follow: Mapping[str, frozenset[tuple[str, int]]],
        post_key: bytes,
        rules: IncidentRules = NO_RULES,
        turn: Callable[[str], tuple[float, bool]] = lambda _: (0.0, True),
    ) -> None:
        """For one crawl.

        Args:
            crawl: its source, lease and store.
            tally: of the crawl; updated with each question.
            follow: other source -> the (host, port) pairs that it declares; links are handed to these sources only.
            post_key: ids of posts are keyed with it.
            rules: of the source's incident, as in the job of the process.
            turn: seconds until a request to a host may be made, and whether that is its turn; else it asks again then.
        """
        self._turn = turn
        self._crawl, self._store, self._tally = crawl, crawl.store, tally
        self._follow, self._post_key = follow, post_key
        self._shape = ShapeOfCrawl(crawl, tally)
        self._checks = QuestionChecks(
            crawl.definition,
            post_key=post_key,
            follow=follow,
            rules=rules,
            clients=lambda: client_names(crawl.home.watchlist_dir),
            releases=lambda: [path.name for path in crawl.home.releases_dir.glob("*")],
            bundles=lambda: [bundle["id"] for bundle in imported_bundles(crawl.home.watchlist_dir)],
        )
        self._own_hosts = {host for host, _ in source_hosts(crawl.definition)}
        # hosts whose source takes links, but not the one that a post has: `source hosts` lists them apart
        takers = {host.removeprefix("www.") for pairs in follow.values() for host, _ in pairs}
        self._taken = {host_id(post_key, service_of(host) or host) for host in takers}
        self._began = datetime.now(UTC)
        self._first_crawl = crawl.store.crawls.none_done(crawl.source)

    def answer(self, question: AnyQuestion) -> Answer:
        """The answer to one question, given after what the question reports is in the store.

        Raises:
            WireError: the process asked something that it may not ask, or sent values that the store cannot take.
        """
        try:
            return self._answer(self._checks.checked(question))
        except LeaseLost:
            self._tally.lost = True
            return LOST
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise WireError("the crawl process sent a frame that cannot be understood") from error

    def _answer(self, question: AnyQuestion) -> Answer:
        match question:
            case TurnFrame():
                wait, granted = self._turn(question.host)
                return TurnAnswer(wait=wait, granted=granted)
            case ListedFrame():
                return self._listed(question)
            case PartsFrame():
                return PartsAnswer(
                    examine=self._store.posts.new_parts([(part.id, part.version) for part in question.parts])
                )
            case PreviewFrame():
                return self._preview(question)
            case WalkedFrame():
                return self._walked(question)
            case PagesFrame():
                return WalkedAnswer(page=self._shape.compare_pages(question.shape))
            case PageFrame():
                self._tally.page = question.sealed
            case CommitFrame():
                self._commit(question)
            case SourceChangedFrame():
                self._source_changed(question)
            case EndFrame():
                self._end(question)
            case RowsFrame() | OpenedFrame() | ProposedFrame():
                raise WireError("the crawl process sent the answer to a check, but this is a crawl")
        return DONE

    def _listed(self, question: ListedFrame) -> ListedAnswer:
        """Record the posts of one page of the listing, and decide which of them are to be examined."""
        posts = [PostRow(post.id, post.version, post.address, post.due, fields=post.fields) for post in question.posts]
        now = datetime.now(UTC)
        definition = self._crawl.definition
        listed = self._store.posts.record_listed(
            self._crawl.id,
            self._crawl.fence,
            self._crawl.source,
            posts,
            now,
            volatile=definition.list.volatile,
        )
        self._shape.note_titles(listed.retitled)
        return ListedAnswer(
            examine=listed.examine,
            changed=listed.changed,
            settled=len(listed.settled),
            settled_ids=listed.settled,
            start=listed.start,
        )

    def _walked(self, question: WalkedFrame) -> WalkedAnswer:
        lost = question.gap and not question.cut
        self._tally.rows = question.rows
        self._tally.gap_lost = self._tally.gap_lost or lost
        self._tally.gap = question.gap or self._tally.gap_lost
        # as long as missed posts can still be read, the posts above the gap end no walk, and the gap lasts
        self._store.posts.record_walked(self._crawl.id, self._crawl.fence, settle=not (question.gap and question.cut))
        if lost:
            CrawlEnd(self._crawl, self._tally).tell_lost_posts(datetime.now(UTC))
        if self._crawl.definition.list.complete and question.rows and not question.gap:
            self._tell_missing_posts()
        if question.shape is not None:
            self._shape.compare(question.shape)
        changed = bool(self._tally.shape) or question.rows < self._crawl.definition.health.min_rows
        return WalkedAnswer(page=changed)

    def _tell_missing_posts(self) -> None:
        """Store an event for each post that had hits and that a complete listing no longer shows, once.

        After one crawl at most `MAX_MISSING` are told one by one; how many are left is a problem of the crawl, and the
        next crawls tell them.
        """
        crawl, now = self._crawl, datetime.now(UTC)
        missing = self._store.posts.missing_with_hits(crawl.source, self._began)
        events = [event_of_gone_post(self._context(post, address, now)) for post, address in missing]
        told = self._store.events.known([event.id for event in events])
        new = [event for event in events if event.id not in told]
        self._tally.events += self._store.commit_events(crawl.id, crawl.fence, new[:MAX_MISSING], crawl.route, now)
        if (left := len(new) - MAX_MISSING) > 0:
            self._tally.problems["gone"] = (
                f"{left} further posts that had hits are gone; the next crawls tell them one by one"
            )

    def _preview(self, question: PreviewFrame) -> PreviewAnswer:
        """Assess the file list of a body that is not downloaded yet, and store the event about it."""
        now = datetime.now(UTC)
        post, value = question.post, question.preview
        files = decode_fingerprints(value.files, 3)
        preview = Preview(value.how, value.complete, files, value.fetched, value.total)
        verdict = assess_preview(preview, self._store.file_fingerprints.bodies_with(files[:, :2]))
        event = self._with_address(event_of_preview(self._context(post.id, post.address, now), preview, verdict), now)
        crawl = self._crawl
        self._tally.events += self._store.commit_events(crawl.id, crawl.fence, [event], crawl.route, now)
        return PreviewAnswer(event=event.id)

    def _complete_previews(
        self, previews: Mapping[int, str], findings: Sequence[Finding], now: datetime
    ) -> tuple[dict[str, dict[str, Any]], list[Event]]:
        """What the examination of a post means for the previews of its samples.

        Args:
            previews: number of a finding -> id of the event of the preview of its sample.
            findings: of the post.
            now: aware UTC.

        Returns:
            New facts by id of a preview's event, and events that correct previews which caused an alert and were wrong.
        """
        facts: dict[str, dict[str, Any]] = {}
        corrections = []
        for number, event_id in previews.items():
            event = self._store.events.get(event_id)
            if event is None or event.kind is not EventKind.EARLY_LOOK:
                # The event was purged meanwhile: the result of the examination is reported without it.
                continue
            facts[event.id] = facts_after_examination(event.facts, findings[number])
            if facts[event.id]["outcome"] == "corrected" and event.severity.rank >= Severity.WARNING.rank:
                corrections.append(event_of_correction(event, facts[event.id], now))
        return facts, corrections

    def _sealed_addresses(self, identity: str, *, has_page: bool) -> bytes:
        """Id and addresses of a post that is due and has a page of its own, sealed; else b"".

        Nothing else of a post is kept once it was examined: its title, its text and its fields may be of the leak.
        """
        sealed = self._store.posts.sealed_page(identity, has_page=has_page)
        if not sealed:
            return b""
        post = open_due(self._post_key, sealed)
        return seal_due(self._post_key, Post(post.source, post.native, post.url, post.raw))

    def _commit(self, question: CommitFrame) -> None:
        """Store one post with its findings and events in one transaction."""
        now = datetime.now(UTC)
        crawl, tally = self._crawl, self._tally
        value, findings, failed = question.post, question.findings, question.failed
        post = PostRow(
            value.id,
            value.version,
            value.address,
            fields=value.fields,
            page_fields=value.page_fields,
            last_page=value.last_page,
            revisited=value.revisited,
            hit=any(finding.hits for finding in findings),
            visit=self._sealed_addresses(value.id, has_page=bool(value.page_fields)),
            reading=keyed_digest(self._post_key, b"reading", repr(value.parts).encode()) if value.parts else "",
        )
        context = self._context(post.id, post.address, now)
        events: list[Event] = []
        kept: dict[str, str] | None = {}
        if findings:
            kept = self._keep_evidence(post, findings, now)
            events = events_of_post(context, findings)
        if failed is not None:
            # The post stays due. This is reported once, as a state of the source, however often the post fails.
            events = [event for event in events if event.kind is not EventKind.UNEXAMINED]
            tally.failed[failed.code] += 1
        elif kept is None:
            # The alert goes out now, and the post stays due, so that its evidence is kept once that is possible again.
            tally.failed[NO_EVIDENCE] += 1
        # A change is reported whether or not the post could be read: the listing alone shows it.
        if changed := self._store.posts.changes_of(crawl.source, post, crawl.definition.list.volatile):
            seen = {"traits": post.fields, "page": post.page_fields}
            # a post rings once: where its data is reported now, and not before, what changed in its row is only noted
            rings = any(
                event.kind in _LEAKS
                and event.severity.rank >= Severity.WARNING.rank
                and self._store.events.get(event.id) is None
                for event in events
            )
            events.append(event_of_change(context, changed, seen, quiet=rings))
        preview_facts, corrections = self._complete_previews(question.previews, findings, now)
        if preview_facts:
            previews = [{key: facts[key] for key in ("verdict", "outcome")} for facts in preview_facts.values()]
            events = [
                replace(event, facts={**event.facts, "early_looks": previews}) if event.kind in _LEAKS else event
                for event in events
            ]
        if sealed := [finding_id(post, number) for number, finding in enumerate(findings) if finding.sealed]:
            # the address as the site writes it is in the sealed evidence alone
            events = [
                replace(event, facts={**event.facts, "evidence": sealed[:MAX_EVIDENCE_NAMED]})
                if event.kind in _LEAKS
                else event
                for event in events
            ]
        if value.revisited and not findings and value.facts.left.get("absent"):
            had_hits = self._store.posts.is_gone(post.id)
            if had_hits:
                events.append(event_of_gone_post(context))
        events += corrections
        events += self._announcements(context, value.announced, changed)
        events = [self._with_address(event, now) for event in events]
        tally.left.update(value.facts.left)
        if (failed is not None or value.facts.left) and len(tally.unread) < MAX_UNREAD:
            tally.unread += self._addresses(post.id)
        links = [self._link_target(link) for link in question.links]
        hosts = [self._linked_host(host) for host in question.hosts]
        commit = PostCommit(
            crawl.id,
            crawl.fence,
            crawl.source,
            post,
            findings,
            events,
            failed=failed is not None or kept is None,
            links=links,
            fingerprints=fingerprints_to_keep(findings),
            event_facts=preview_facts,
            evidence=kept or {},
            seen=[
                seal_seen(self._post_key, finding.seen)
                for finding in findings
                if finding.seen and crawl.settings.examine.keep_seen
            ],
            parts=[(part.id, part.version) for part in value.parts],
            hosts=hosts,
        )
        # a post that is looked at again, and holds what was reported before, is no hit of this crawl
        told = value.revisited and not any(
            event.kind in _LEAKS and not self._store.events.is_told(event) for event in events
        )
        tally.events += self._store.commit_post(commit, crawl.route, now)
        tally.handed.update(source for source, _ in links)
        tally.note_hosts(hosts, self._taken)
        tally.findings += len(findings)
        tally.largest = max(tally.largest, *(finding.bytes for finding in findings), 0)
        tally.sighted += sighted_releases(
            findings,
            post_key=self._post_key,
            source=crawl.source,
            post=post.id,
            incident=crawl.incident_id,
            now=now,
        )
        for finding in () if told else findings:
            tally.canaries = merge_bitmap_sets((tally.canaries, decode_bitmaps(finding.sighted)))
            for hit in finding.hits:
                tally.clients[hit.client] = max(hit.canaries, tally.clients.get(hit.client, 0))

    def _keep_evidence(self, post: PostRow, findings: Sequence[Finding], now: datetime) -> dict[str, str] | None:
        """Keep the evidence of a post, as `keep_evidence`; None if it cannot be written, which begins a lasting state.

        An alert must not wait for the disk, so findings without their evidence are stored and reported all the same.
        """
        route, subject = self._crawl.route, EVIDENCE_SUBJECT
        if not any(finding.sealed for finding in findings):
            return {}
        try:
            kept = keep_evidence(self._crawl.home, self._store, post, findings, now)
        except StoreError as error:
            facts = {"subject": subject, "reason": f"{error} ({error.hint})" if error.hint else str(error)}
            event = build_event(EventKind.SELFTEST_FAILED, now, subject, now.isoformat(), facts=facts)
            self._tally.events += self._store.states.begin(event, subject, route, now)
            return None
        self._tally.events += self._store.states.end("", EventKind.SELFTEST_FAILED, subject, recovery_event, route, now)
        return kept

    def _announcements(self, context: PostContext, announced: Announcements, changed: Mapping[str, str]) -> list[Event]:
        """The event about what a post announces, if there is something to report.

        A post counts if rules of the source's incident match it, or if the incident watches this source as a whole.
        The first crawl of a source is a quiet baseline: only times to come are reported from it.
        """
        incident = self._crawl.incident
        if incident is None:
            return []
        rules = list(announced.rules)
        whole_source = self._crawl.source in incident.sources and not incident.has_rules
        if not rules and not whole_source:
            return []
        found = [each.model_dump() for each in announced.deadlines]
        times = self._store.deadlines.note(self._crawl.source, context.post, found, context.at)
        if "timer" in changed:
            # The change of the countdown is reported already, as a change of the post.
            times = [each for each in times if each[2] is None]
        if not times and (self._first_crawl or not rules):
            return []
        return [event_of_announcement(context, rules, times)]

    def _with_address(self, event: Event, now: datetime) -> Event:
        """An event that rings, with the address of its post sealed; as it is if its evidence holds that already.

        Whoever is asked to look at a post must be able to find it, and what is readable of an address is a masked one.
        """
        is_told = event.severity.rank < Severity.WARNING.rank or self._store.events.get(event.id) is not None
        if is_told or event.facts.get("evidence"):
            return event
        return self._crawl.with_addresses(event, self._addresses(event.post), now)

    def _addresses(self, identity: str) -> list[dict[str, str]]:
        """Addresses and title of a post as far as they are kept, for evidence; they are sealed before they rest anywhere."""
        sealed = self._store.posts.sealed_addresses(identity)
        post = open_due(self._post_key, sealed) if sealed else None
        return [{"url": post.url, "raw": post.raw, "title": post.title}] if post is not None else []

    def _context(self, post: str, address: str, now: datetime) -> PostContext:
        return PostContext(self._crawl.source, post, address, self._crawl.incident_id, now)

    def _link_target(self, link: LinkedPost) -> tuple[str, PostRow]:
        if link.source not in self._follow:
            raise WireError("the crawl process sent a link for a source that is not in its job")
        return link.source, PostRow(link.id, link.version, link.address, link.due)

    def _linked_host(self, host: LinkedHost) -> HostLink:
        """A host as the store keeps it: its name is readable if it is a public service or of this source."""
        name = open_host(self._post_key, host.sealed)
        is_readable = name in SERVICES or name in self._own_hosts
        return HostLink(host.id, name if is_readable else "", host.sealed, host.files)

    def _source_changed(self, question: SourceChangedFrame) -> None:
        self._tally.problems[question.subject[:40]] = question.facts.message[:200]

    def _end(self, question: EndFrame) -> None:
        tally = self._tally
        tally.counts, tally.hosts = dict(question.counts), dict(question.hosts)
        # The crawl process does not know of evidence that could not be kept.
        if lacking := min(tally.failed[NO_EVIDENCE], tally.counts.get("examined", 0)):
            tally.counts["examined"] -= lacking
            tally.counts["unexamined"] = tally.counts.get("unexamined", 0) + lacking
        tally.state, tally.code, tally.error = question.state, question.code, question.error
        tally.hint = HINTS.get(question.code, "")
        if question.robots:
            self._store.sources.keep_robots(self._crawl.source, question.robots)
