"""What the runner stores in SQLite: sources, crawls, posts, findings, events, alerts and an audit chain.

Each group of tables has a class of its own, which is an attribute of `Store`. `Store` itself owns the operations that
write to several groups in one transaction, so that a `kill -9` at any moment leaves all of such a change or none of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from data.case import canary_bitmaps, evidence
from data.durable_files import lock_file_held
from data.hashing.chain_keys import ChainHead, ChainKeys
from data.model import Event, Finding, Hit
from data.store.audit import AuditChain
from data.store.crawls import Crawls
from data.store.database import BUSY_SECONDS, Database, stamp, translated_errors
from data.store.deadlines import Deadlines
from data.store.events import Events, Route
from data.store.expected_sets import ExpectedReleases, WatchlistHistory
from data.store.field_observations import ListingShapes
from data.store.file_fingerprints import FileFingerprints
from data.store.findings import Findings
from data.store.future_times import Repair, repair_future_times
from data.store.outbox import Outbox
from data.store.posts import PostRow, Posts
from data.store.selftests import SelfTests
from data.store.sightings import SeenSamples, Sightings
from data.store.sources import HostLink, Sources
from data.store.states import States
from data.store.triage import Triage

if TYPE_CHECKING:
    from data.arrays.array_types import U64


# Who delivers for longer than this hangs or was stopped; a delivery takes less than a minute.
DELIVERING_SECONDS = 180.0


class _TakenBackError(Exception):
    """Ends the transaction of `try_commit` without storing anything."""


@dataclass(frozen=True, slots=True)
class PostCommit:
    """The result of examining one post: what `Store.commit_post` stores.

    Attributes:
        crawl, fence: the crawl that examined the post, and the fence of its lease.
        source: name of the source. post: need not have been listed (a local file).
        findings: one per sample of the post.
        events: what the findings mean, and what else was noticed about the post.
        failed: the post could not be examined, so it stays due.
        links: posts of other sources that this post links to, each with its source; they are due there from now on.
        fingerprints: number of a finding -> shape (n, 2), file fingerprints by which its files will be recognised.
        event_facts: id of an earlier event -> its new facts (the outcome of a preview).
        evidence: id of a finding -> digest of its sealed evidence, which was kept before this.
        parts: id and version of each part of the post that was examined.
        hosts: undeclared hosts to which it links.
        seen: sealed tags of the values of its samples that nothing tied to a client.
    """

    crawl: str
    fence: int
    source: str
    post: PostRow
    findings: Sequence[Finding] = ()
    events: Sequence[Event] = ()
    failed: bool = False
    links: Sequence[tuple[str, PostRow]] = ()
    fingerprints: Mapping[int, U64] = field(default_factory=dict)
    event_facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[tuple[str, str]] = ()
    hosts: Sequence[HostLink] = ()
    seen: Sequence[bytes] = ()


class Store:
    """The database of one home. Only one process at a time runs crawls and writes their results: the runner."""

    def __init__(
        self, database: Database, seal_key: bytes | None, chain_keys: ChainKeys | None, evidence_dir: Path
    ) -> None:
        self.database = database
        self._evidence_dir = evidence_dir
        self.chain_keys = chain_keys
        self.audit = AuditChain(database, chain_keys.audit if chain_keys is not None else None)
        self.outbox = Outbox(database)
        self.triage = Triage(database, self.audit)
        self.events = Events(database, self.outbox, self.triage)
        self.states = States(database, self.events, self.triage)
        self.listing_shapes = ListingShapes(database)
        self.sources = Sources(database, self.audit)
        self.crawls = Crawls(database)
        self.posts = Posts(database, self.crawls)
        self.deadlines = Deadlines(database)
        self.findings = Findings(database, seal_key)
        self.sightings = Sightings(database)
        self.seen = SeenSamples(database)
        self.file_fingerprints = FileFingerprints(database)
        self.selftests = SelfTests(database)
        self.watchlist_history = WatchlistHistory(self.audit)
        self.expected_releases = ExpectedReleases(database)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        seal_key: bytes | None = None,
        chain_keys: ChainKeys | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> Self:
        """Open the database, or create it, and bring its schema up to date.

        Args:
            path: the file; created with mode 0600. The folder `evidence` of its home lies beside it.
            seal_key: keys the digests of samples; without it findings are stored without digests.
            chain_keys: of the evidence chain and the audit chain; without them audit entries are not keyed.
            busy_seconds: how long a statement waits for another process that is writing.

        Raises:
            StoreVersion: a newer Tocsin wrote it.
            StoreError: the file is not a database, or it is damaged.
        """
        return cls(Database.open(path, busy_seconds=busy_seconds), seal_key, chain_keys, path.parent / "evidence")

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open the database for reading alone; errors as of `Database.open_read_only`."""
        return cls(Database.open_read_only(path), None, None, path.parent / "evidence")

    @property
    def was_upgraded(self) -> bool:
        """Whether an earlier version of Tocsin made this database: its first step was not taken with its last one."""
        [row] = self.database.rows(
            "select julianday(max(applied_at)) - julianday(min(applied_at)) > 1.0 / 1440 as late from _sqlite_migrations"
        )
        return bool(row["late"])

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def head(self) -> ChainHead:
        """How far the evidence chain and the audit chain have come; every alert carries it off this machine."""
        return ChainHead(evidence.head(self._evidence_dir), self.audit.head())

    def delivering(self) -> AbstractContextManager[bool]:
        """Keep other processes from delivering alerts meanwhile; False if another one delivers them now."""
        return lock_file_held(self._evidence_dir.parent / "delivery.lock", DELIVERING_SECONDS)

    def together(self) -> AbstractContextManager[None]:
        """One transaction around several operations: all of them are stored, or none if one or the commit fails."""
        return self.database.transaction()

    def commit_post(self, commit: PostCommit, route: Route, now: datetime) -> int:
        """Store the findings of a post with its events and alerts, and mark it as examined, in one transaction.

        Args:
            commit: what was found.
            route: channels of an event.
            now: aware UTC.

        Returns:
            How many events were new. An event whose id is known is counted as a sighting and makes no alert.

        Raises:
            LeaseLost: the fence is not current; nothing was stored.
            StoreFull: the disk is full; nothing was stored.
        """
        source, post, crawl = commit.source, commit.post, commit.crawl
        with self.database.transaction():
            self.crawls.check_fence(crawl, commit.fence)
            if commit.failed:
                self.posts.record_failed(source, post, crawl, now)
            else:
                self.posts.record_examined(source, post, crawl, now)
                self.posts.record_parts(post.id, commit.parts)
            self.findings.add(post, crawl, commit.findings, now, commit.evidence)
            for finding, digest in commit.evidence.items():
                self.audit.record_evidence(finding, digest, now)
            for number, fingerprints in commit.fingerprints.items():
                self.file_fingerprints.add("post", post.id, number, fingerprints, now)
            for event, facts in commit.event_facts.items():
                self.events.replace_facts(event, facts)
            self.sightings.add(source, post.id, post.address, commit.findings, now)
            self.seen.add(source, post.id, post.address, commit.seen, now, partial=bool(post.reading))
            for other, linked in commit.links:
                self.posts.add_linked(other, linked, crawl, now)
            self.sources.note_hosts(source, post.id, commit.hosts, now)
            return self.events.add(commit.events, route, now)

    def try_commit(self, now: datetime) -> None:
        """Store a finding with a hit and its sightings, as `commit_post` does, and take it back.

        Raises:
            StoreFull, StoreError: nothing of the kind can be stored at the moment.
        """
        post = PostRow("self-test", "self-test", "self-test")
        hit = Hit("self-test", 1, 1, ("email",))
        finding = Finding(
            "", "0" * 64, 1, "csv", hits=(hit,), sighted=canary_bitmaps.encode_bitmaps({"self-test": b"\1"})
        )
        with contextlib.suppress(_TakenBackError), self.database.transaction():
            self.findings.add(post, "", [finding], now)
            self.sightings.add("self-test", post.id, post.address, [finding], now)
            raise _TakenBackError

    def commit_events(self, crawl: str, fence: int, events: Sequence[Event], route: Route, now: datetime) -> int:
        """Store events that a crawl noticed outside the commit of a post; returns how many were new.

        Raises:
            LeaseLost: the fence is not current; nothing was stored.
        """
        with self.database.transaction():
            self.crawls.check_fence(crawl, fence)
            return self.events.add(events, route, now)

    def finish_crawl(
        self,
        crawl: str,
        fence: int,
        state: str,
        route: Route,
        now: datetime,
        *,
        counts: Mapping[str, Any] | None = None,
        error: str = "",
        events: Sequence[Event] = (),
    ) -> int:
        """End a crawl as `done` or `failed` with its events; returns how many events were new.

        Raises:
            LeaseLost: the fence is not current; nothing was stored.
        """
        with self.database.transaction():
            source = self.crawls.end(crawl, fence, state, now, counts=counts or {}, error=error)
            if state == "done" and counts is not None:
                self.sources.note_visit(source, counts.get("new", 0), counts.get("rows", 0), now)
            return self.events.add(events, route, now)

    def repair_future_times(self, now: datetime, *, all_tables: bool = True) -> Repair | None:
        """Repair stored times that lie in the future; None if there are none.

        Args:
            now: aware UTC.
            all_tables: also search large tables, which takes a second for some million posts.
        """
        return repair_future_times(self.database, now, all_tables=all_tables)

    def purge(self, before: datetime, now: datetime, *, dry_run: bool = False) -> tuple[int, int]:
        """Delete findings and events older than a time, and sightings and file fingerprints not renewed since.

        Posts stay known by their keyed ids, so that an old post causes no new alert. Events stay if one of their alerts
        is not sent yet or if their state still lasts.

        Returns:
            Numbers of findings and events that were deleted; with `dry_run`, that would be.
        """
        expired_event = (
            "at < ? and id not in (select event from state) and not exists"
            " (select 1 from alert where alert.event = event.id and alert.state <> 'sent')"
        )
        limit = stamp(before)
        count_events = f"select count(*) as n from event where {expired_event}"  # noqa: S608 - fixed text
        delete_events = f"delete from event where {expired_event}"  # noqa: S608 - the same
        delete_alerts = f"delete from alert where event in (select id from event where {expired_event})"  # noqa: S608
        findings = self.database.rows("select count(*) as n from finding where at < ?", limit)[0]["n"]
        events = self.database.rows(count_events, limit)[0]["n"]
        if not dry_run:
            with self.database.transaction():
                self.database.execute("delete from finding where at < ?", (limit,))
                self.database.execute("delete from sighting where last_seen < ?", (limit,))
                self.database.execute("delete from seen where at < ?", (limit,))
                self.database.execute("delete from body where kind = 'post' and at < ?", (limit,))
                self.sources.forget_hosts(limit)
                self.database.execute(delete_alerts, (limit,))
                self.database.execute(delete_events, (limit,))
                self.audit.record("purge", "deleted", f"{findings} findings, {events} events before {limit}", now)
            with translated_errors():
                # the write-ahead log still holds the deleted rows
                self.database.execute("pragma wal_checkpoint(truncate)")
        return findings, events
