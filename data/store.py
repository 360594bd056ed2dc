"""What the runner remembers: sources, crawls, posts, findings, events, alerts and an audit chain, in SQLite.

One transaction holds a finding with its events and alerts, so that a `kill -9` keeps all or none. The outbox's side is
`data.outbox`, the chain `data.audit`; both work on the database that is opened here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlite_utils import Database

from data.audit import Audit
from data.errors import LeaseLost, StoreBusy, StoreError, StoreFull, StoreVersion
from data.migrations import MIGRATIONS
from data.model import Event, EventKind, Finding, Incident, Severity
from data.outbox import Outbox
from data.tags import keyed_sha256

Route = Callable[[Event], Sequence[str]]
BUSY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class PostRow:
    """A post as the crawl process reports it: keyed id and version, masked address, the sealed post itself."""

    id: str
    version: str
    address: str
    due: bytes = field(default=b"", repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """The answer to a page of a listing: ids to examine, those of them that changed, how many were settled before.

    `settled_ids` says which: pinned posts on top of a page are settled too, and must not end a walk.
    """

    examine: tuple[str, ...]
    changed: tuple[str, ...]
    settled: int
    settled_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceState:
    """What the store knows of a source.

    Attributes:
        state: `new`, `running`, `ok` or `failing`. failures: failed crawls in a row.
        last_start: of its latest crawl. last_success: start of its latest good crawl. error: of the latest crawl.
        handed: when another source last handed it a link that no crawl has tried yet.
    """

    name: str
    enabled: bool
    state: str
    failures: int
    running: bool
    last_start: datetime | None
    last_success: datetime | None
    error: str
    posts: int
    due: int
    handed: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenState:
    """A lasting state (gap, silence, …) that has begun and not ended."""

    source: str
    kind: EventKind
    subject: str
    began: datetime
    told: datetime
    event: str


def stamp(at: datetime) -> str:
    """The text form of an aware time; text order is time order."""
    from datetime import UTC

    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _event(row: Mapping[str, Any]) -> Event:
    return Event(
        id=row["id"],
        kind=EventKind(row["kind"]),
        severity=Severity(row["severity"]),
        at=datetime.fromisoformat(row["at"]),
        source=row["source"],
        incident=row["incident"],
        post=row["post"],
        address=row["address"],
        facts=json.loads(row["facts"]),
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StoreBusy(
                "another process holds the database", hint="try again; see what runs: tocsin status"
            ) from error
        if code.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise StoreFull(
                "the disk is full or cannot be written", hint="make room; nothing of this was kept"
            ) from error
        raise StoreError(f"the database failed with {code or 'an unknown error'}", hint="run: tocsin doctor") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorname", "") or type(error).__name__
        raise StoreError(f"the database cannot be used ({code})", hint="restore tocsin.db from a backup") from error


class Store:
    """The database of one home; one writer at a time, each change in one transaction."""

    def __init__(self, db: Database, seal_key: bytes | None) -> None:
        self.db = db
        self._seal_key = seal_key
        self._together = False
        self.log = Audit(db)
        self.outbox = Outbox(db, self._writing)

    @classmethod
    def open(cls, path: Path, *, seal_key: bytes | None = None) -> Self:
        """Open or make the database, and bring it to the present shape.

        Args:
            path: the file; made with mode 0600.
            seal_key: keys the digests of samples; without it they are left out.

        Raises:
            StoreVersion: a newer Tocsin wrote it.
            StoreError: it is no database, or damaged.
        """
        with translated():
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
            db = Database(connection, recursive_triggers=False)
            # secure_delete: free pages must not keep what was deleted (P1); full: a commit survives a power cut
            for pragma in (
                "journal_mode = wal",
                "synchronous = full",
                "foreign_keys = on",
                "secure_delete = on",
                "temp_store = memory",
            ):
                connection.execute(f"pragma {pragma}")
            known = [migration.name for migration in MIGRATIONS._migrations]  # no public list of all names
            applied = [migration.name for migration in MIGRATIONS.applied(db)]
            if unknown := [name for name in applied if name not in known]:
                connection.close()
                raise StoreVersion(
                    f"{path.name} was written by a newer Tocsin (step {unknown[-1]})",
                    hint="use that version, or a backup",
                )
            if applied != known:
                MIGRATIONS.apply(db)
        return cls(db, seal_key)

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One write transaction, taken at once so that it cannot fail half-way for another writer."""
        if self._together:
            yield
            return
        with translated():
            self.db.conn.execute("begin immediate")
            try:
                yield
            except BaseException:
                if self.db.conn.in_transaction:
                    self.db.conn.execute("rollback")
                raise
            try:
                self.db.conn.execute("commit")
            except BaseException:
                if self.db.conn.in_transaction:
                    self.db.conn.execute("rollback")
                raise

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All that is written inside is kept at once, or, where anything inside or the keeping fails, none of it."""
        with self._writing():
            self._together = True
            try:
                yield
            finally:
                self._together = False

    def _rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        with translated():
            return list(self.db.query(sql, values))

    def _one(self, sql: str, *values: Any) -> dict[str, Any] | None:
        rows = self._rows(sql, *values)
        return rows[0] if rows else None

    # --- sources -------------------------------------------------------------------------------------------------

    def put_source(self, name: str, digest: str, enabled: bool, now: datetime) -> None:
        """Make a source known, or note its new definition; a change of either is in the audit chain."""
        old = self._one("select digest, enabled from source where name = ?", name)
        if old == {"digest": digest, "enabled": int(enabled)}:
            return
        with self._writing():
            self.db.execute(
                "insert into source (name, digest, enabled, added) values (?, ?, ?, ?)"
                " on conflict (name) do update set digest = excluded.digest, enabled = excluded.enabled",
                (name, digest, int(enabled), stamp(now)),
            )
            self.log.append("source", "changed" if old else "added", name, now)

    def set_enabled(self, name: str, enabled: bool, now: datetime) -> None:
        """Switch a source on or off."""
        with self._writing():
            self.db.execute("update source set enabled = ? where name = ?", (int(enabled), name))
            self.log.append("source", "enabled" if enabled else "disabled", name, now)

    def remove_source(self, name: str, now: datetime) -> None:
        """Forget that a source is watched; its posts stay known."""
        with self._writing():
            self.db.execute("delete from source where name = ?", (name,))
            self.log.append("source", "removed", name, now)

    def sources(self) -> list[SourceState]:
        """Every known source, by name."""
        rows = self._rows(
            """
            select source.name, enabled, failures,
              exists (select 1 from crawl where crawl.source = name and crawl.state in ('queued', 'leased')) as running,
              (select max(started) from crawl where crawl.source = name) as last_start,
              (select max(started) from crawl where crawl.source = name and crawl.state = 'done') as last_success,
              (select error from crawl where crawl.source = name and ended is not null
                 order by ended desc limit 1) as error,
              (select count(*) from post where post.source = name) as posts,
              (select count(*) from post where post.source = name and due is not null) as due,
              (select max(first_seen) from post
                 where post.source = name and handed = 1 and seen_version = '' and failures = 0) as handed
            from source order by name
            """
        )
        return [
            SourceState(
                name=row["name"],
                enabled=bool(row["enabled"]),
                state="running"
                if row["running"]
                else "failing"
                if row["failures"]
                else "ok"
                if row["last_success"]
                else "new",
                failures=row["failures"],
                running=bool(row["running"]),
                last_start=_time(row["last_start"]),
                last_success=_time(row["last_success"]),
                error=row["error"] or "",
                posts=row["posts"],
                due=row["due"],
                handed=_time(row["handed"]),
            )
            for row in rows
        ]

    def first_crawl(self, source: str) -> bool:
        """Whether no crawl of this source has ended well yet: what it finds is the quiet baseline."""
        return self._one("select 1 as one from crawl where source = ? and state = 'done' limit 1", source) is None

    # --- crawls --------------------------------------------------------------------------------------------------

    def queue_crawl(self, source: str, reason: str, now: datetime) -> str:
        """Note that a crawl is wanted; returns its id."""
        crawl = secrets.token_hex(8)
        with self._writing():
            self.db.table("crawl").insert(
                {"id": crawl, "source": source, "reason": reason, "state": "queued", "queued": stamp(now)}
            )
        return crawl

    def lease_crawl(self, crawl: str, owner: str, until: datetime, now: datetime) -> int:
        """Take a queued crawl; returns the fence that every later write must show.

        Raises:
            LeaseLost: somebody else has it, or another crawl of the same source runs.
        """
        with self._writing():
            row = self._one("select source, state, fence from crawl where id = ?", crawl)
            if row is None or row["state"] != "queued":
                raise LeaseLost("the crawl is not queued any more")
            other = self._one(
                "select owner from crawl where source = ? and state = 'leased' and lease_until > ?",
                row["source"],
                stamp(now),
            )
            if other is not None:
                self.db.execute("update crawl set state = 'expired', ended = ? where id = ?", (stamp(now), crawl))
                busy = str(other["owner"])
            else:
                busy = ""
                self.db.execute(
                    "update crawl set state = 'leased', started = ?, owner = ?, lease_until = ?, fence = fence + 1"
                    " where id = ?",
                    (stamp(now), owner, stamp(until), crawl),
                )
        if busy:
            raise LeaseLost(
                f"{row['source']} is being crawled by {busy}", hint="wait for it, or look at: tocsin status"
            )
        return int(row["fence"]) + 1

    def _fenced(self, crawl: str, fence: int) -> None:
        row = self._one("select state, fence from crawl where id = ?", crawl)
        if row is None or row["state"] != "leased" or row["fence"] != fence:
            raise LeaseLost("the crawl was taken over or ended; it must stop without writing")

    def renew(self, crawl: str, fence: int, until: datetime) -> None:
        """Keep a lease; raises LeaseLost if it is no longer ours."""
        with self._writing():
            self._fenced(crawl, fence)
            self.db.execute("update crawl set lease_until = ? where id = ?", (stamp(until), crawl))

    def expire_leases(self, now: datetime) -> list[str]:
        """End crawls whose owner stopped renewing; returns their ids. Their posts stay due."""
        return self._expire("state = 'leased' and lease_until <= ?", [stamp(now)], now)

    def release_dead(self, alive: Callable[[str], bool], now: datetime) -> list[str]:
        """End crawls whose owner is known to be gone, without waiting for the lease."""
        owners = [row["owner"] for row in self._rows("select distinct owner from crawl where state = 'leased'")]
        dead = [owner for owner in owners if not alive(owner)]
        if not dead:
            return []
        return self._expire(f"state = 'leased' and owner in ({','.join('?' * len(dead))})", dead, now)

    def _expire(self, where: str, values: list[Any], now: datetime) -> list[str]:
        if not self._rows(f"select 1 from crawl where {where} limit 1", *values):  # noqa: S608 - fixed texts above
            return []
        with self._writing():
            gone = self._rows(f"select id, source from crawl where {where}", *values)  # noqa: S608 - the same
            for row in gone:
                self.db.execute(
                    "update crawl set state = 'expired', ended = ?, error = 'the process that ran it ended'"
                    " where id = ?",
                    (stamp(now), row["id"]),
                )
        return [row["id"] for row in gone]

    def finish_crawl(
        self,
        crawl: str,
        fence: int,
        state: str,
        counts: Mapping[str, Any],
        error: str,
        events: Sequence[Event],
        route: Route,
        now: datetime,
    ) -> int:
        """End a crawl as `done` or `failed` with its events; returns how many events were new."""
        with self._writing():
            self._fenced(crawl, fence)
            self.db.execute(
                "update crawl set state = ?, ended = ?, counts = ?, error = ? where id = ?",
                (state, stamp(now), json.dumps(dict(counts)), error, crawl),
            )
            self.db.execute(
                "update source set failures = case when ? then 0 else failures + 1 end"
                " where name = (select source from crawl where id = ?)",
                (state == "done", crawl),
            )
            return self._insert_events(events, route, now)

    def crawls(self, *, source: str = "", limit: int = 50) -> list[dict[str, Any]]:
        """The latest crawls, newest first, counts decoded."""
        rows = self._rows("select * from crawl where ? in ('', source) order by queued desc limit ?", source, limit)
        return [{**row, "counts": json.loads(row["counts"])} for row in rows]

    # --- posts ---------------------------------------------------------------------------------------------------

    def record_listed(self, crawl: str, fence: int, source: str, posts: Sequence[PostRow], now: datetime) -> Listed:
        """Note the posts of one page of a listing; all that must be examined are due from now on.

        A post is to be examined when it is not known, when its version is another one, or when it is still due.
        """
        examine: list[str] = []
        changed: list[str] = []
        settled: list[str] = []
        with self._writing():
            self._fenced(crawl, fence)
            for post in posts:
                old = self._one(
                    "select version, seen_version, settled, handed, due is not null as due from post where id = ?",
                    post.id,
                )
                if old is None:
                    self.db.table("post").insert(
                        {
                            "id": post.id,
                            "source": source,
                            "address": post.address,
                            "version": post.version,
                            "seen_version": "",
                            "due": post.due,
                            "first_seen": stamp(now),
                            "last_seen": stamp(now),
                            "first_crawl": crawl,
                        }
                    )
                    examine.append(post.id)
                    continue
                if old["settled"]:
                    settled.append(post.id)
                again = bool(old["due"]) or old["seen_version"] != post.version
                if again:
                    examine.append(post.id)
                    # what a link said of a post is less than what its own listing says: that is no change
                    if old["seen_version"] not in {"", post.version} and not old["handed"]:
                        changed.append(post.id)
                self.db.execute(
                    "update post set version = ?, address = ?, last_seen = ?, due = case when ? then ? else due end,"
                    " handed = 0 where id = ?",
                    (post.version, post.address, stamp(now), again, post.due, post.id),
                )
        return Listed(tuple(examine), tuple(changed), len(settled), tuple(settled))

    def record_walked(self, crawl: str, fence: int) -> None:
        """Note that the walk of the listing ended: all posts that it saw are settled.

        Posts that came by a link are not: they were on no listing, and must not end a walk.
        """
        with self._writing():
            self._fenced(crawl, fence)
            self.db.execute("update crawl set walked = 1 where id = ?", (crawl,))
            self.db.execute(
                "update post set settled = 1 where settled = 0 and handed = 0"
                " and source = (select source from crawl where id = ?)",
                (crawl,),
            )

    def settled_posts(self, source: str) -> int:
        """How many posts of a source are settled."""
        row = self._one("select count(*) as n from post where source = ? and settled = 1", source)
        return int(row["n"]) if row else 0

    def last_new(self, source: str) -> datetime | None:
        """When a post of the source's own listing was last seen for the first time."""
        row = self._one("select max(first_seen) as at from post where source = ? and handed = 0", source)
        return _time(row["at"]) if row else None

    def due_posts(self, source: str) -> list[bytes]:
        """The sealed posts that wait for their examination, oldest first, those that failed before last."""
        rows = self._rows(
            "select due from post where source = ? and due is not null order by failures, first_seen, rowid", source
        )
        return [bytes(row["due"]) for row in rows]

    def commit_post(
        self,
        crawl: str,
        fence: int,
        source: str,
        post: PostRow,
        findings: Sequence[Finding],
        events: Sequence[Event],
        route: Route,
        now: datetime,
        *,
        failed: bool = False,
        links: Sequence[tuple[str, PostRow]] = (),
    ) -> int:
        """Keep the findings of a post with its events and alerts, and mark it seen: all or nothing.

        Args:
            crawl: its crawl.
            fence: what `lease_crawl` gave for it.
            source: name of the source.
            post: the post; it need not have been listed (local files).
            findings: one per sample of the post.
            events: what happened; an event whose id is known counts a sighting and makes no alert.
            route: channels of an event.
            now: aware UTC.
            failed: the post could not be examined: it stays due.
            links: posts of other sources that it led to, each with its source: due there from now on.

        Returns:
            How many events were new.

        Raises:
            LeaseLost: the fence is not current; nothing was kept.
            StoreFull: no space; nothing was kept.
        """
        with self._writing():
            self._fenced(crawl, fence)
            self.db.execute(
                "insert into post (id, source, address, version, seen_version, first_seen, last_seen, first_crawl)"
                " values (?, ?, ?, ?, '', ?, ?, ?) on conflict (id) do nothing",
                (post.id, source, post.address, post.version, stamp(now), stamp(now), crawl),
            )
            if failed:
                self.db.execute(
                    "update post set failures = failures + 1, last_seen = ? where id = ?", (stamp(now), post.id)
                )
            else:
                # a version that was listed while this one was examined stays due
                self.db.execute(
                    "update post set seen_version = ?, failures = 0, last_seen = ?,"
                    " due = case when version = ? then null else due end where id = ?",
                    (post.version, stamp(now), post.version, post.id),
                )
            for number, finding in enumerate(findings):
                self.db.table("finding").insert(
                    {
                        "id": finding_id(post, number),
                        "post": post.id,
                        "crawl": crawl,
                        "at": stamp(now),
                        "body": json.dumps(self._rested(finding).to_json()),
                        "fingerprint": finding.fingerprint,
                    },
                    replace=True,
                )
            for other, linked in links:
                self.db.execute(
                    "insert into post (id, source, address, version, seen_version, due, first_seen, last_seen,"
                    " first_crawl, handed) values (?, ?, ?, ?, '', ?, ?, ?, ?, 1) on conflict (id) do nothing",
                    (linked.id, other, linked.address, linked.version, linked.due, stamp(now), stamp(now), crawl),
                )
            return self._insert_events(events, route, now)

    def _rested(self, finding: Finding) -> Finding:
        """The finding as it may rest: no names, no bare digest, no sealed proof (that lies in `evidence/`)."""
        digest = ""
        if self._seal_key is not None and finding.sha256:
            digest = keyed_sha256(self._seal_key, finding.sha256)
        return replace(
            finding,
            path="",
            sha256=digest,
            sealed="",
            members=tuple(self._rested(member) for member in finding.members),
        )

    def findings(self, *, post: str = "", crawl: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """The latest findings as they rest, newest first."""
        rows = self._rows(
            "select * from finding where ? in ('', post) and ? in ('', crawl) order by at desc limit ?",
            post,
            crawl,
            limit,
        )
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    def known_fingerprint(self, fingerprint: str, post: str) -> bool:
        """Whether the same set of canaries already hit in another post."""
        return (
            self._one("select 1 as one from finding where fingerprint = ? and post <> ? limit 1", fingerprint, post)
            is not None
        )

    # --- events and states ---------------------------------------------------------------------------------------

    def commit_events(
        self, events: Sequence[Event], route: Route, now: datetime, *, crawl: str = "", fence: int = 0
    ) -> int:
        """Keep events outside a post; with a crawl its fence is checked. Returns how many were new."""
        with self._writing():
            if crawl:
                self._fenced(crawl, fence)
            return self._insert_events(events, route, now)

    def _insert_events(self, events: Sequence[Event], route: Route, now: datetime) -> int:
        new = 0
        for event in events:
            cursor = self.db.execute(
                "insert into event (id, kind, severity, at, source, incident, post, address, facts, last_seen)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing",
                (
                    event.id,
                    event.kind,
                    event.severity,
                    stamp(event.at),
                    event.source,
                    event.incident,
                    event.post,
                    event.address,
                    json.dumps(dict(event.facts)),
                    stamp(now),
                ),
            )
            if cursor.rowcount == 0:
                self.db.execute(
                    "update event set sightings = sightings + 1, last_seen = ? where id = ?", (stamp(now), event.id)
                )
                continue
            new += 1
            self.outbox.add(event.id, route(event), now)
        return new

    def open_state(self, event: Event, subject: str, route: Route, now: datetime) -> bool:
        """Begin a lasting state with its event; False if it has begun already (then only a sighting is counted)."""
        key = (event.source, event.kind.value, subject)
        with self._writing():
            old = self._one("select event from state where source = ? and kind = ? and subject = ?", *key)
            if old is not None:
                self.db.execute(
                    "update event set sightings = sightings + 1, last_seen = ? where id = ?", (stamp(now), old["event"])
                )
                return False
            self._insert_events([event], route, now)
            self.db.execute("insert into state values (?, ?, ?, ?, ?, ?)", (*key, stamp(now), stamp(now), event.id))
        return True

    def close_state(
        self,
        source: str,
        kind: EventKind,
        subject: str,
        make: Callable[[OpenState], Event],
        route: Route,
        now: datetime,
    ) -> bool:
        """End a lasting state with the event that `make` gives for it; False if it had not begun."""
        row = self._one(
            "select * from state where source = ? and kind = ? and subject = ?", source, kind.value, subject
        )
        if row is None:
            return False
        with self._writing():
            self._insert_events([make(_state(row))], route, now)
            self.db.execute(
                "delete from state where source = ? and kind = ? and subject = ?", (source, kind.value, subject)
            )
        return True

    def remind(self, before: datetime, make: Callable[[OpenState], Event], route: Route, now: datetime) -> int:
        """Tell every lasting state again that was last told before a time; returns how many."""
        rows = self._rows("select * from state where told <= ?", stamp(before))
        for row in rows:
            with self._writing():
                self._insert_events([make(_state(row))], route, now)
                self.db.execute(
                    "update state set told = ? where source = ? and kind = ? and subject = ?",
                    (stamp(now), row["source"], row["kind"], row["subject"]),
                )
        return len(rows)

    def states(self, source: str | None = None) -> list[OpenState]:
        """Lasting states that have not ended."""
        rows = self._rows("select * from state where ?1 is null or source = ?1 order by began", source)
        return [_state(row) for row in rows]

    def event(self, event: str) -> tuple[Event, dict[str, Any]] | None:
        """An event by its id or the beginning of one, with its sightings and acknowledgement; None if there is none."""
        rows = self._rows("select * from event where substr(id, 1, ?) = ? limit 2", len(event), event)
        if len(rows) != 1:
            return None
        return _event(rows[0]), {name: rows[0][name] for name in ("sightings", "last_seen", "acked")}

    def events(self, *, limit: int = 100, kind: str = "") -> list[Event]:
        """The latest events, newest first."""
        rows = self._rows("select * from event where ? in ('', kind) order by at desc, rowid desc limit ?", kind, limit)
        return [_event(row) for row in rows]

    def ack(self, event: str, who: str, now: datetime) -> None:
        """Note that a person has taken an event up."""
        with self._writing():
            self.db.execute("update event set acked = ? where id = ?", (stamp(now), event))
            self.log.append(who, "acknowledged", event, now)

    # --- incidents -----------------------------------------------------------------------------------------------

    def put_incident(self, incident: Incident, now: datetime) -> None:
        """Keep an incident, new or changed."""
        body = json.dumps({"clients": incident.clients, "sources": incident.sources, "words": incident.words})
        with self._writing():
            self.db.execute(
                "insert into incident values (?, ?, ?, ?)"
                " on conflict (id) do update set name = excluded.name, body = excluded.body",
                (incident.id, incident.name, body, stamp(now)),
            )
            self.log.append("incident", "kept", incident.name, now)

    def incidents(self) -> list[Incident]:
        """All incidents, oldest first."""
        return [
            Incident(
                row["id"],
                row["name"],
                *(tuple(json.loads(row["body"])[key]) for key in ("clients", "sources", "words")),
            )
            for row in self._rows("select * from incident order by added")
        ]

    def incident_of(self, source: str) -> str:
        """Id of the incident that names a source, else of the only incident, else ''."""
        incidents = self.incidents()
        for incident in incidents:
            if source in incident.sources:
                return incident.id
        return incidents[0].id if len(incidents) == 1 else ""

    # --- audit and purge -----------------------------------------------------------------------------------------

    def audit(self, actor: str, action: str, detail: str, now: datetime) -> None:
        """Append to the audit chain."""
        with self._writing():
            self.log.append(actor, action, detail, now)

    def verify_audit(self) -> list[str]:
        """What is broken in the audit chain; empty when it is whole."""
        with translated():
            return self.log.verify()

    def purge(self, before: datetime, now: datetime, *, dry_run: bool = False) -> tuple[int, int]:
        """Delete findings and events older than a time; returns their numbers.

        Posts stay known by their keyed ids, so that nothing old rings again; events that wait for delivery or whose
        state lasts stay as well.
        """
        keep = (
            "at < ? and id not in (select event from state) and not exists"
            " (select 1 from alert where alert.event = event.id and alert.state <> 'sent')"
        )
        findings = self._rows("select count(*) as n from finding where at < ?", stamp(before))[0]["n"]
        events = self._rows(f"select count(*) as n from event where {keep}", stamp(before))[0]["n"]  # noqa: S608 - fixed
        if not dry_run:
            with self._writing():
                self.db.execute("delete from finding where at < ?", (stamp(before),))
                self.db.execute(
                    f"delete from alert where event in (select id from event where {keep})",  # noqa: S608 - fixed
                    (stamp(before),),
                )
                self.db.execute(f"delete from event where {keep}", (stamp(before),))  # noqa: S608 - fixed
                self.log.append("purge", "deleted", f"{findings} findings, {events} events before {stamp(before)}", now)
            with translated():
                self.db.execute("pragma wal_checkpoint(truncate)")
        return findings, events


def _state(row: Mapping[str, Any]) -> OpenState:
    return OpenState(
        row["source"],
        EventKind(row["kind"]),
        row["subject"],
        datetime.fromisoformat(row["began"]),
        datetime.fromisoformat(row["told"]),
        row["event"],
    )


def finding_id(post: PostRow, number: int) -> str:
    """Id of a finding: the same sample of the same version of a post has the same one, however often it is examined."""
    return hashlib.sha256(f"finding\0{post.id}\0{post.version}\0{number}".encode()).hexdigest()[:32]
