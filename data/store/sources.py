"""The sources that the store knows, and a summary of their crawls and posts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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


class Sources:
    """The sources in table `source`."""

    def __init__(self, database: Database, audit: AuditChain) -> None:
        self._database, self._audit = database, audit

    def put(self, name: str, digest: str, enabled: bool, now: datetime) -> None:
        """Store a source, or the new digest of its definition; every change is recorded in the audit chain."""
        old = self._database.first_row("select digest, enabled from source where name = ?", name)
        if old == {"digest": digest, "enabled": int(enabled)}:
            return
        with self._database.transaction():
            self._database.execute(
                "insert into source (name, digest, enabled, added) values (?, ?, ?, ?)"
                " on conflict (name) do update set digest = excluded.digest, enabled = excluded.enabled",
                (name, digest, int(enabled), stamp(now)),
            )
            self._audit.record("source", "changed" if old else "added", name, now)

    def states(self, *, counts: bool = True) -> list[SourceState]:
        """Every known source, by name.

        Args:
            counts: without them, `posts` and `due` are 0. Counting reads one entry of an index for each post.
        """
        rows = self._database.rows(
            """
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
            from source order by name
            """
        )
        posts = self._count_posts("1") if counts else {}
        due = self._count_posts("due is not null") if counts else {}
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
                posts=posts.get(row["name"], 0),
                due=due.get(row["name"], 0),
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
