"""Sources, and their crawls with leases: who crawls what, until when, and how it ended."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.errors import LeaseLost
from data.model import Event
from data.store.connection import stamp, time_of
from data.store.event_log import EventLog, Route


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


class CrawlLog(EventLog):
    """What was looked at, and when."""

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
                last_start=time_of(row["last_start"]),
                last_success=time_of(row["last_success"]),
                error=row["error"] or "",
                posts=row["posts"],
                due=row["due"],
                handed=time_of(row["handed"]),
            )
            for row in rows
        ]

    def first_crawl(self, source: str) -> bool:
        """Whether no crawl of this source has ended well yet: what it finds is the quiet baseline."""
        return self._one("select 1 as one from crawl where source = ? and state = 'done' limit 1", source) is None

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
