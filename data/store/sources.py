"""The sources that the store knows, and a summary of their crawls and posts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from data.store.audit import AuditChain
from data.store.database import Database, parse_stamp, stamp


@dataclass(frozen=True, slots=True)
class SourceState:
    """What the store knows of a source.

    Attributes:
        state: `new` (no crawl has ended well), `running`, `ok` or `failing`. failures: failed crawls in a row.
        last_start: start of the latest crawl. last_success: start of the latest crawl that ended well.
        error: of the latest crawl that ended, '' for none.
        posts: posts that are known. due: posts that still have to be examined.
        handed: when another source last handed over a link to this one that no crawl has tried yet; else None.
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
class HostLink:
    """A host to which a post links: keyed id, its name if that may be stored, its sealed name, and data files there."""

    id: str
    name: str
    sealed: bytes = field(repr=False)
    files: int


@dataclass(frozen=True, slots=True)
class HostOfLinks:
    """A host to which posts link.

    Attributes:
        id: keyed. name: '' if it is only known sealed. sealed: its name.
        posts: that link to it, by source. files: links to data files there.
        first, last: when it was linked.
    """

    id: str
    name: str
    sealed: bytes = field(repr=False)
    posts: Mapping[str, int]
    files: int
    first: datetime
    last: datetime


# Posting rates are averages that forget with these time constants: a usual week, and a busy evening.
USUAL, RECENT = timedelta(days=7), timedelta(hours=3)


def averaged(value: float, weight: float, new: int, days: float, span: timedelta) -> tuple[float, float]:
    """An average of posts a day, and its weight, after so many new posts in some days; it forgets within `span`.

    Value by weight is the rate: both begin with 0, so that the first days count as much as they should.
    """
    keep = math.exp(-days / (span / timedelta(days=1)))
    return value * keep + (1 - keep) * new / days, weight * keep + (1 - keep)


# New posts of one visit are a surge if they are at least so many, and so many times what the usual rate lets expect, which is
# known after so many days.
SURGE_POSTS, SURGE_TIMES, SURGE_KNOWN_DAYS = 5, 5.0, 1.0


def in_surge(new: int, expected: float, observed_days: float) -> int:
    """How many of the new posts of a visit came in a surge: all or none."""
    known = observed_days >= SURGE_KNOWN_DAYS
    return new if known and new >= SURGE_POSTS and new > SURGE_TIMES * expected else 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a source posts.

    Attributes:
        at: end of the latest crawl that ended well. days: how long the source has been observed.
        usual, recent: new posts a day, over weeks and over hours. rows: of the latest listing that had any.
        surged: those of the usual ones that came in surges.
    """

    at: datetime
    days: float
    usual: float
    recent: float
    rows: int
    surged: float = 0.0


class Sources:
    """The sources in table `source`."""

    def __init__(self, database: Database, audit: AuditChain) -> None:
        self._database, self._audit = database, audit

    def put(
        self, name: str, digest: str, enabled: bool, now: datetime, *, platform: str = "", via: str = "direct"
    ) -> None:
        """Store a source, or the new digest of its definition; every change is recorded in the audit chain."""
        old = self._database.first_row("select digest, enabled, platform, via from source where name = ?", name)
        new = {"digest": digest, "enabled": int(enabled), "platform": platform, "via": via}
        if old == new:
            return
        with self._database.transaction():
            self._database.execute(
                "insert into source (name, digest, enabled, added, platform, via) values (?, ?, ?, ?, ?, ?)"
                " on conflict (name) do update set digest = excluded.digest, enabled = excluded.enabled,"
                " platform = excluded.platform, via = excluded.via,"
                " alone = case when digest = excluded.digest then alone else '' end",
                (name, digest, int(enabled), stamp(now), platform, via),
            )
            if old is None or (old["digest"], old["enabled"]) != (digest, int(enabled)):
                self._audit.record("source", "changed" if old else "added", name, now)

    def alone(self, name: str) -> str:
        """Why a source is crawled in a process of its own, a word; '' if it may share one."""
        row = self._database.first_row("select alone from source where name = ?", name)
        return str(row["alone"]) if row is not None else ""

    def all_alone(self) -> dict[str, str]:
        """Why each source that is crawled in a process of its own is, by its name."""
        return {
            row["name"]: row["alone"] for row in self._database.rows("select name, alone from source where alone <> ''")
        }

    def set_alone(self, name: str, reason: str) -> None:
        """Crawl a source in a process of its own until its definition changes; an earlier reason stays."""
        with self._database.transaction():
            self._database.execute("update source set alone = ? where name = ? and alone = ''", (reason, name))

    def state(self, name: str) -> SourceState | None:
        """One source, without the numbers of its posts; None if it is not known."""
        return next(iter(self._states("where source.name = ?", name)), None)

    def groups(self) -> dict[str, tuple[str, str]]:
        """Platform and road of each enabled source, by its name."""
        rows = self._database.rows("select name, platform, via from source where enabled = 1")
        return {row["name"]: (row["platform"], row["via"]) for row in rows}

    def robots(self, name: str) -> bytes:
        """The robots.txt files of a source, sealed by the crawl process that learned them; b"" for none."""
        row = self._database.first_row("select sealed from robots where source = ?", name)
        return bytes(row["sealed"]) if row is not None else b""

    def keep_robots(self, name: str, sealed: bytes) -> None:
        """Keep the robots.txt files of a source for its next crawl."""
        with self._database.transaction():
            self._database.execute(
                "insert into robots (source, sealed) values (?, ?)"
                " on conflict (source) do update set sealed = excluded.sealed",
                (name, sealed),
            )

    def note_hosts(self, source: str, post: str, hosts: Sequence[HostLink], now: datetime) -> None:
        """Note the undeclared hosts to which a post links; each counts once for each post."""
        with self._database.transaction():
            for host in hosts:
                self._database.execute(
                    "insert into linked_host (id, name, sealed) values (?, ?, ?) on conflict (id) do nothing",
                    (host.id, host.name, host.sealed),
                )
                self._database.execute(
                    "insert into host_link (source, host, post, files, at) values (?, ?, ?, ?, ?)"
                    " on conflict (source, host, post) do update set files = max(files, excluded.files)",
                    (source, host.id, post, host.files, stamp(now)),
                )

    def forget_hosts(self, before: str) -> None:
        """Delete links to hosts that are older than a stamp."""
        self._database.execute("delete from host_link where at < ?", (before,))
        self._database.execute("delete from linked_host where id not in (select host from host_link)", ())

    def added(self, name: str) -> str:
        """Stamp of the time when a source was first known; '' if it is not."""
        row = self._database.first_row("select added from source where name = ?", name)
        return str(row["added"]) if row is not None else ""

    def linked_hosts(self, since: str = "") -> list[HostOfLinks]:
        """The hosts to which posts link, those of most posts first; only links that were noted since a stamp."""
        found: dict[str, HostOfLinks] = {}
        rows = self._database.rows(
            "select host, name, sealed, source, count(*) as posts, sum(files) as files, min(at) as first,"
            " max(at) as last from host_link join linked_host on linked_host.id = host where at >= ? group by host, source",
            since,
        )
        for row in rows:
            first, last = parse_stamp(row["first"]), parse_stamp(row["last"])
            assert first is not None  # noqa: S101 - never null
            assert last is not None  # noqa: S101 - the same
            old = found.get(row["host"])
            found[row["host"]] = HostOfLinks(
                row["host"],
                row["name"],
                bytes(row["sealed"]),
                {**(old.posts if old else {}), row["source"]: int(row["posts"])},
                int(row["files"]) + (old.files if old else 0),
                min(first, old.first) if old else first,
                max(last, old.last) if old else last,
            )
        return sorted(found.values(), key=lambda host: (-sum(host.posts.values()), host.id))

    def linked_files(self) -> dict[str, tuple[int, int]]:
        """Source -> posts that link to data files which no rule of it reads, and the number of these files."""
        rows = self._database.rows(
            "select source, count(distinct post) as posts, sum(files) as files from host_link where files > 0"
            " group by source"
        )
        return {row["source"]: (int(row["posts"]), int(row["files"])) for row in rows}

    def note_visit(self, name: str, new: int, rows: int, now: datetime) -> None:
        """Count what a crawl that ended well found; the first one, which finds what was there before, tells no rate."""
        old = self._database.first_row("select * from pace where source = ?", name)
        row: dict[str, Any] = dict.fromkeys(("days", "posts", "weight", "recent", "recent_weight", "surged"), 0.0)
        row |= {"source": name, "at": stamp(now), "rows": rows}
        if old is not None:
            days = (now - datetime.fromisoformat(old["at"])).total_seconds() / 86400
            # a clock that was set back tells no rate
            row = {**old, "at": stamp(now), "rows": rows or old["rows"]}
            if days > 0:
                usual = row["posts"] / row["weight"] if row["weight"] else 0.0
                surge = in_surge(new, usual * days, row["days"])
                row["surged"], _ = averaged(row["surged"], row["weight"], surge, days, USUAL)
                row["days"] += days
                for value, weight, span in (("posts", "weight", USUAL), ("recent", "recent_weight", RECENT)):
                    row[value], row[weight] = averaged(row[value], row[weight], new, days, span)
        with self._database.transaction():
            self._database.insert("pace", row, replace=True)

    def paces(self) -> dict[str, Pace]:
        """How fast each source posts, by its name; without those that were crawled once or never."""
        return {
            row["source"]: Pace(
                datetime.fromisoformat(row["at"]),
                row["days"],
                row["posts"] / row["weight"],
                row["recent"] / row["recent_weight"],
                row["rows"],
                row["surged"] / row["weight"],
            )
            for row in self._database.rows("select * from pace where weight > 0 and recent_weight > 0")
        }

    def last_troubles(self) -> dict[str, dict[str, object]]:
        """The latest crawl of each source that failed or that nobody ended: `at`, `code` and `reason`, by its name."""
        return {
            row["source"]: {"at": parse_stamp(row["at"]), "code": row["code"], "reason": row["reason"]}
            for row in self._database.rows("select * from trouble")
        }

    def states(self, *, counts: bool = True) -> list[SourceState]:
        """Every known source, by name.

        Args:
            counts: without them, `posts` and `due` are 0. Counting reads one entry of an index for each post.
        """
        posts = self._count_posts("1") if counts else {}
        due = self._count_posts("due is not null") if counts else {}
        return [
            replace(each, posts=posts.get(each.name, 0), due=due.get(each.name, 0)) if counts else each
            for each in self._states()
        ]

    def _states(self, where: str = "", *values: str) -> list[SourceState]:
        rows = self._database.rows(
            f"""
            select source.name, enabled, failures,
              name in (select source from crawl where state in ('queued', 'leased')) as running,
              (select started from crawl where crawl.source = name and started is not null
                 order by queued desc limit 1) as last_start,
              (select started from crawl where crawl.source = name and started is not null and crawl.state = 'done'
                 order by queued desc limit 1) as last_success,
              (select error from crawl where crawl.source = name and ended is not null
                 order by queued desc limit 1) as error,
              (select max(first_seen) from post
                 where post.source = name and handed = 1 and seen_version = '' and failures = 0) as handed
            from source {where} order by name
            """,  # noqa: S608 - fixed text
            *values,
        )
        return [
            SourceState(
                name=row["name"],
                enabled=bool(row["enabled"]),
                state=_state(bool(row["running"]), row["failures"], row["last_success"]),
                failures=row["failures"],
                running=bool(row["running"]),
                last_start=parse_stamp(row["last_start"]),
                last_success=parse_stamp(row["last_success"]),
                error=row["error"] or "",
                posts=0,
                due=0,
                handed=parse_stamp(row["handed"]),
            )
            for row in rows
        ]

    def _count_posts(self, condition: str) -> dict[str, int]:
        """Posts of each source that meet a condition, which must be one that an index on the source is made for."""
        rows = self._database.rows(f"select source, count(*) as n from post where {condition} group by source")  # noqa: S608 - fixed text
        return {row["source"]: int(row["n"]) for row in rows}


def _state(running: bool, failures: int, last_success: str | None) -> str:
    if running:
        return "running"
    if failures:
        return "failing"
    return "ok" if last_success else "new"
