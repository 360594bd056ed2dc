"""Answers the questions of a crawl process: what it lists, finds and ends with goes into the store."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crawler.alerts.events import PostContext, event_of_announcement, event_of_change, events_of_post
from crawler.alerts.preview_verdict import (
    Preview,
    assess_preview,
    event_of_correction,
    event_of_preview,
    facts_after_examination,
    fingerprints_to_keep,
)
from crawler.process.control_frames import (
    DONE,
    LOST,
    Announcements,
    Answer,
    AnyQuestion,
    CommitFrame,
    EndFrame,
    LinkedPost,
    ListedAnswer,
    ListedFrame,
    PreviewAnswer,
    PreviewFrame,
    RowsFrame,
    SourceChangedFrame,
    WalkedFrame,
)
from data.case import evidence
from data.errors import LeaseLost, WireError
from data.hashing.file_fingerprints import decode_fingerprints
from data.model import Event, EventKind, Finding, Incident, Severity
from data.settings.home import Home
from data.sources.definition import Definition
from data.store.events import Route
from data.store.findings import finding_id
from data.store.posts import PostRow
from data.store.store import PostCommit, Store
from scheduler.crawls.crawl_tally import Tally
from scheduler.crawls.sighted_releases import sightings


def keep_evidence(home: Home, post: PostRow, findings: Sequence[Finding], now: datetime) -> None:
    """Keep the sealed proof of each finding that has one; before the findings themselves, so that none is without."""
    for number, finding in enumerate(findings):
        if finding.sealed:
            try:
                sealed = base64.b64decode(finding.sealed, validate=True)
            except binascii.Error as error:
                raise WireError("the examiner sent a seal that is not base64") from error
            evidence.keep(home.evidence_dir, finding_id(post, number), sealed, now)


class Answers:
    """To the process of one leased crawl."""

    def __init__(
        self,
        home: Home,
        store: Store,
        definition: Definition,
        tally: Tally,
        *,
        fence: int,
        route: Route,
        case: Incident | None,
        follow: Mapping[str, frozenset[tuple[str, int]]],
        post_key: bytes,
    ) -> None:
        """For one crawl.

        Args:
            home: whose evidence folder is written.
            store: of the home.
            definition: of the source.
            tally: of the crawl; kept.
            fence: of its lease.
            route: which channels ring for what.
            case: the incident that the source belongs to.
            follow: other source -> what it declares; links are handed to no others.
            post_key: under which posts are named.
        """
        self._home, self._store, self._definition, self.tally = home, store, definition, tally
        self._name, self._crawl, self._fence, self._route = definition.name, tally.crawl, fence, route
        self._case, self._incident = case, case.id if case is not None else ""
        self._follow, self._post_key = follow, post_key
        self._first = store.crawls.none_done(definition.name)

    def to(self, question: AnyQuestion) -> Answer:
        """The answer to one question, once what it reports is in the store.

        Raises:
            WireError: the process asked something that it may not ask, or sent values that the store cannot take.
        """
        try:
            return self._answer(question)
        except LeaseLost:
            self.tally.lost = True
            return LOST
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise WireError("the crawl process sent a frame that cannot be understood") from error

    def _answer(self, question: AnyQuestion) -> Answer:
        match question:
            case ListedFrame():
                return self._listed(question)
            case PreviewFrame():
                return self._preview(question)
            case WalkedFrame():
                self._walked(question)
            case CommitFrame():
                self._commit(question)
            case SourceChangedFrame():
                self._source_changed(question)
            case EndFrame():
                self._end(question)
            case RowsFrame():
                raise WireError("the crawl process sent the answer to a check, but this is a crawl")
        return DONE

    def _listed(self, question: ListedFrame) -> ListedAnswer:
        posts = [PostRow(post.id, post.version, post.address, post.due, fields=post.fields) for post in question.posts]
        now = datetime.now(UTC)
        revisit = self._definition.item.revisit if self._definition.item is not None else timedelta()
        listed = self._store.posts.record_listed(
            self._crawl,
            self._fence,
            self._name,
            posts,
            now,
            volatile=self._definition.list.volatile,
            revisit_before=now - revisit if revisit else None,
        )
        return ListedAnswer(
            examine=listed.examine,
            changed=listed.changed,
            settled=len(listed.settled),
            settled_ids=listed.settled,
            revisit=listed.revisit,
        )

    def _walked(self, question: WalkedFrame) -> None:
        self.tally.rows, self.tally.gap = question.rows, question.gap
        self._store.posts.record_walked(self._crawl, self._fence)

    def _preview(self, question: PreviewFrame) -> PreviewAnswer:
        """Judge what is known of a body before it is read, and ring if it says something."""
        now = datetime.now(UTC)
        post, value = question.post, question.preview
        files = decode_fingerprints(value.files, 3)
        preview = Preview(value.how, value.complete, files, value.fetched, value.total)
        verdict = assess_preview(preview, self._store.file_fingerprints.bodies_with(files[:, :2]))
        event = event_of_preview(self._context(post.id, post.address, now), preview, verdict)
        self.tally.events += self._store.commit_events(self._crawl, self._fence, [event], self._route, now)
        return PreviewAnswer(event=event.id)

    def _settle_early(
        self, told: Mapping[int, str], findings: Sequence[Finding], now: datetime
    ) -> tuple[dict[str, dict[str, Any]], list[Event]]:
        """What became of the early looks at the samples of a post: new facts by event, and what corrects those that rang."""
        facts: dict[str, dict[str, Any]] = {}
        corrections = []
        for number, name in told.items():
            found = self._store.events.find(name)
            if found is None or found[0].kind is not EventKind.EARLY_LOOK:
                # purged since; what the full examination says stands for itself
                continue
            event = found[0]
            facts[event.id] = facts_after_examination(event.facts, findings[number])
            if facts[event.id]["outcome"] == "corrected" and event.severity.rank >= Severity.WARNING.rank:
                corrections.append(event_of_correction(event, facts[event.id], now))
        return facts, corrections

    def _commit(self, question: CommitFrame) -> None:
        now = datetime.now(UTC)
        value, findings, failed = question.post, question.findings, question.failed
        post = PostRow(
            value.id,
            value.version,
            value.address,
            fields=value.fields,
            page_fields=value.page_fields,
        )
        context = self._context(post.id, post.address, now)
        events: list[Event] = []
        if findings:
            keep_evidence(self._home, post, findings, now)
            events = events_of_post(context, findings)
        if failed is not None:
            # it stays due and is told once, as a state of the source, however often it fails
            events = [event for event in events if event.kind is not EventKind.UNEXAMINED]
            self.tally.failed[failed.code] += 1
        # told whether or not the post could be read: the listing alone says it
        if changed := self._store.posts.changes_of(self._name, post, self._definition.list.volatile):
            seen = {"traits": post.fields, "page": post.page_fields}
            events.append(event_of_change(context, changed, seen))
        early, corrections = self._settle_early(question.previews, findings, now)
        if early:
            told = [{key: each[key] for key in ("verdict", "outcome")} for each in early.values()]
            leaks = {EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT, EventKind.REPOST}
            events = [
                replace(event, facts={**event.facts, "early_looks": told}) if event.kind in leaks else event
                for event in events
            ]
        events += corrections
        events += self._announced(context, value.announced, changed)
        self.tally.left.update(value.facts.left)
        links = [self._linked(link) for link in question.links]
        commit = PostCommit(
            self._crawl,
            self._fence,
            self._name,
            post,
            findings,
            events,
            failed=failed is not None,
            links=links,
            fingerprints=fingerprints_to_keep(findings),
            event_facts=early,
        )
        self.tally.events += self._store.commit_post(commit, self._route, now)
        self.tally.handed.update(source for source, _ in links)
        self.tally.findings += len(findings)
        self.tally.sighted += sightings(
            findings,
            post_key=self._post_key,
            source=self._name,
            post=post.id,
            incident=self._incident,
            now=now,
        )
        for finding in findings:
            for hit in finding.hits:
                self.tally.clients[hit.client] = max(hit.canaries, self.tally.clients.get(hit.client, 0))

    def _announced(self, context: PostContext, announced: Announcements, changed: Mapping[str, str]) -> list[Event]:
        """What a post announces, where it has to do with an incident: its rules match, or it watches this source whole.

        The first crawl of a source is a quiet baseline: of it only times to come are told.
        """
        if self._case is None:
            return []
        rules = list(announced.rules)
        whole = self._name in self._case.sources and not self._case.has_rules
        if not rules and not whole:
            return []
        found = [each.model_dump() for each in announced.deadlines]
        times = self._store.deadlines.note(self._name, context.post, found, context.at)
        if "timer" in changed:
            # told as a change of the post already
            times = [each for each in times if each[2] is None]
        if not times and (self._first or not rules):
            return []
        return [event_of_announcement(context, rules, times)]

    def _context(self, post: str, address: str, now: datetime) -> PostContext:
        return PostContext(self._name, post, address, self._incident, now)

    def _linked(self, link: LinkedPost) -> tuple[str, PostRow]:
        if link.source not in self._follow:
            raise WireError("the crawl process handed a link to a source that it was not told of")
        return link.source, PostRow(link.id, link.version, link.address, link.due)

    def _source_changed(self, question: SourceChangedFrame) -> None:
        self.tally.problems[question.subject[:40]] = question.facts.message[:200]

    def _end(self, question: EndFrame) -> None:
        self.tally.counts, self.tally.hosts = dict(question.counts), dict(question.hosts)
        self.tally.state, self.tally.code, self.tally.error = question.state, question.code, question.error
