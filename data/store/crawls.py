"""Crawls of sources, and their leases.

A *lease* is the right to write for one crawl until a time; whoever runs the crawl keeps renewing it. The *fence* is the
number that a lease gives: it grows with every lease of the crawl, and every later write of the crawl must show it. A
process that lost its lease, because it was suspended for example, shows an old fence and cannot write any more.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from data.errors import LeaseLost
from data.store.database import Database, stamp

# Code and reason of a crawl that nobody ended.
EXPIRED, EXPIRED_ERROR = "expired", "the process that ran the crawl ended, or stopped, before the crawl did"
# A crawl is leased as soon as it is queued; one that stays queued longer was left behind by a process that ended.
MAX_QUEUED = timedelta(minutes=1)
# So many crawls of each source are kept, however old they are.
KEPT = 20
# So many old crawls are deleted in one transaction.
PRUNED_TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class ExpiredCrawl:
    """A crawl that nobody ended.

    Attributes:
        id: of the crawl. source: its name. failures: failed crawls of the source in a row, this one included.
    """

    id: str
    source: str
    failures: int


class Crawls:
    """The crawls in table `crawl`. A crawl is `queued`, `leased`, `done`, `failed` or `expired`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(self, source: str, reason: str, now: datetime) -> str:
        """Note that a source is to be crawled; returns the id of the crawl."""
        crawl = secrets.token_hex(8)
        with self._database.transaction():
            self._database.insert(
                "crawl", {"id": crawl, "source": source, "reason": reason, "state": "queued", "queued": stamp(now)}
            )
        return crawl

    def lease(self, crawl: str, owner: str, until: datetime, now: datetime) -> int:
        """Take the lease of a queued crawl; returns the fence.

        Raises:
            LeaseLost: another process has the lease, or another crawl of the same source is running.
        """
        with self._database.transaction():
            row = self._database.first_row("select source, state, fence from crawl where id = ?", crawl)
            if row is None or row["state"] != "queued":
                raise LeaseLost("the crawl is not queued any more")
            other = self._database.first_row(
                "select owner from crawl where source = ? and state = 'leased' and lease_until > ?",
                row["source"],
                stamp(now),
            )
            if other is None:
                self._database.execute(
                    "update crawl set state = 'leased', started = ?, owner = ?, lease_until = ?, fence = fence + 1"
                    " where id = ?",
                    (stamp(now), owner, stamp(until), crawl),
                )
            else:
                self._database.execute(
                    "update crawl set state = 'expired', ended = ? where id = ?", (stamp(now), crawl)
                )
        # raised only here: the transaction that ends this crawl must be committed
        if other is not None:
            raise LeaseLost(
                f"{row['source']} is being crawled by {other['owner']}",
                hint="wait until that crawl ends; see: tocsin status",
            )
        return int(row["fence"]) + 1

    def check_fence(self, crawl: str, fence: int) -> None:
        """Raise LeaseLost unless the fence is that of the crawl's current lease."""
        row = self._database.first_row("select state, fence from crawl where id = ?", crawl)
        if row is None or row["state"] != "leased" or row["fence"] != fence:
            raise LeaseLost("another process took the crawl over, or it has ended; this process must stop writing")

    def renew(self, crawl: str, fence: int, until: datetime) -> None:
        """Extend a lease; raises LeaseLost if the fence is not current."""
        with self._database.transaction():
            self.check_fence(crawl, fence)
            self._database.execute("update crawl set lease_until = ? where id = ?", (stamp(until), crawl))

    def release(self, crawl: str, fence: int, reason: str, now: datetime) -> None:
        """End a crawl that is stopped on purpose as `expired`; that is no failure of its source. Its posts stay due.

        Raises:
            LeaseLost: the fence is not current.
        """
        with self._database.transaction():
            self.check_fence(crawl, fence)
            self._database.execute(
                "update crawl set state = 'expired', ended = ?, error = ? where id = ?", (stamp(now), reason, crawl)
            )

    def expire_leases(self, now: datetime, *, owner: str = "", running: Collection[str] = ()) -> list[ExpiredCrawl]:
        """End the crawls that nobody runs any more, and count a failure of their sources. Their posts stay due.

        Args:
            now: aware UTC.
            owner: of the caller. It knows which of its crawls run, so the time of their leases does not matter: a
                system clock that is set forward ends no crawl.
            running: sources that the caller is crawling.
        """
        mine = f"source in ({','.join('?' * len(running))})"
        return self._expire(
            f"(state = 'leased' and case when owner = ? then not {mine} else lease_until <= ? end)"
            f" or (state = 'queued' and queued <= ? and not {mine})",
            [owner, *running, stamp(now), stamp(now - MAX_QUEUED), *running],
            now,
        )

    def expire_dead_owners(self, alive: Callable[[str], bool], now: datetime) -> list[ExpiredCrawl]:
        """End the crawls whose owner is not alive, without waiting for the end of the lease; else as `expire_leases`."""
        rows = self._database.rows("select distinct owner from crawl where state = 'leased'")
        dead = [row["owner"] for row in rows if not alive(row["owner"])]
        if not dead:
            return []
        return self._expire(f"state = 'leased' and owner in ({','.join('?' * len(dead))})", dead, now)

    def _expire(self, where: str, values: list[Any], now: datetime) -> list[ExpiredCrawl]:
        # the daemon asks every second: it takes the write lock only if there is something to expire
        if not self._database.rows(f"select 1 from crawl where {where} limit 1", *values):  # noqa: S608 - fixed text
            return []
        expired = []
        with self._database.transaction():
            rows = self._database.rows(f"select id, source from crawl where {where}", *values)  # noqa: S608 - the same
            for row in rows:
                self._database.execute(
                    "update crawl set state = 'expired', ended = ?, error = ?, counts = ? where id = ?",
                    (stamp(now), EXPIRED_ERROR, json.dumps({"code": EXPIRED}), row["id"]),
                )
                self._database.execute("update source set failures = failures + 1 where name = ?", (row["source"],))
                self.note_trouble(row["source"], now, EXPIRED, EXPIRED_ERROR)
                source = self._database.first_row("select failures from source where name = ?", row["source"])
                expired.append(ExpiredCrawl(row["id"], row["source"], source["failures"] if source else 1))
        return expired

    def end(self, crawl: str, fence: int, state: str, now: datetime, *, counts: Mapping[str, Any], error: str) -> str:
        """End a crawl as `done` or `failed`, and count or reset the failures of its source, whose name it returns."""
        with self._database.transaction():
            self.check_fence(crawl, fence)
            self._database.execute(
                "update crawl set state = ?, ended = ?, counts = ?, error = ? where id = ?",
                # most counts of most crawls are 0, and there are millions of crawls
                (state, stamp(now), json.dumps({name: n for name, n in counts.items() if n}), error, crawl),
            )
            self._database.execute(
                "update source set failures = case when ? then 0 else failures + 1 end"
                " where name = (select source from crawl where id = ?)",
                (state == "done", crawl),
            )
            [row] = self._database.rows("select source from crawl where id = ?", crawl)
            if state != "done":
                self.note_trouble(row["source"], now, str(counts.get("code", "")), error)
        return str(row["source"])

    def note_trouble(self, source: str, now: datetime, code: str, reason: str) -> None:
        """Note what was wrong with the latest crawl of a source that did not end well, or had to be made again."""
        row = {"source": source, "at": stamp(now), "code": code, "reason": reason}
        self._database.insert("trouble", row, replace=True)

    def prune(self, before: datetime) -> Iterator[int]:
        """Delete crawls that were queued before a time and have ended, in steps; yields how many each step deleted.

        The newest ones of each source stay, and the last one that ended well. Each step is a transaction of at most
        `PRUNED_TOGETHER` crawls, so that nobody waits long for the write lock, nor for whoever calls this.
        """
        for source in self._sources_before(before):
            newest = self._database.rows(
                "select queued from crawl where source = ? order by queued desc limit 1 offset ?", source, KEPT - 1
            )
            if not newest:
                continue
            deleted = PRUNED_TOGETHER
            while deleted == PRUNED_TOGETHER:
                with self._database.transaction():
                    deleted = self._database.execute(
                        "delete from crawl where id in (select id from crawl where source = ?1 and queued < ?2"
                        " and ended is not null and id is not (select id from crawl where source = ?1"
                        " and state = 'done' order by queued desc limit 1) order by queued limit ?3)",
                        (source, min(stamp(before), newest[0]["queued"]), PRUNED_TOGETHER),
                    ).rowcount
                if deleted:
                    yield deleted

    def _sources_before(self, before: datetime) -> list[str]:
        """The sources with a crawl that was queued before a time; one step of an index for each source."""
        rows = self._database.rows(
            "with recursive each (name) as (select min(source) from crawl"
            " union all select (select min(source) from crawl where source > name) from each where name is not null)"
            " select name from each where name is not null"
            " and exists (select 1 from crawl where source = name and queued < ?)",
            stamp(before),
        )
        return [row["name"] for row in rows]

    def none_done(self, source: str) -> bool:
        """Whether no crawl of a source has ended well yet; what the first one finds is the quiet baseline."""
        row = self._database.first_row("select 1 as one from crawl where source = ? and state = 'done' limit 1", source)
        return row is None

    def latest(self, *, source: str = "", limit: int = 50) -> list[dict[str, Any]]:
        """The latest crawls of a source, or of all sources for '', newest first, with their counts decoded; those that are 0 are left out."""
        # a source that is given is found by an index
        where, values = ("where source = ?", (source,)) if source else ("", ())
        rows = self._database.rows(f"select * from crawl {where} order by queued desc limit ?", *values, limit)  # noqa: S608 - fixed text
        return [{**row, "counts": json.loads(row["counts"])} for row in rows]
