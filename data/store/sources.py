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
            counts: without them, `posts` and `due` are 0. Counting reads all posts.
        """
        rows = self._database.rows(
            """
            select source.name, enabled, failures,
              exists (select 1 from crawl where crawl.source = name and crawl.state in ('queued', 'leased')) as running,
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
        posts: dict[str, tuple[int, int]] = {}
        if counts:
            # one pass over all posts, not one for each source
            counted = self._database.rows(
                "select source, count(*) as posts, count(due) as due from post group by source"
            )
            posts = {row["source"]: (row["posts"], row["due"]) for row in counted}
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
                posts=posts.get(row["name"], (0, 0))[0],
                due=posts.get(row["name"], (0, 0))[1],
                handed=parse_stamp(row["handed"]),
            )
            for row in rows
        ]


def _state(running: bool, failures: int, last_success: str | None) -> str:
    if running:
        return "running"
    if failures:
        return "failing"
    return "ok" if last_success else "new"
