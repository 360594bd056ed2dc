"""What the watch-list and the releases of a home should be, so that lost ones are not taken for none.

Of the watch-list the audit chain has the counts since its last change, of the releases a table has the ids.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from data.errors import StoreError, StoreFull

if TYPE_CHECKING:
    from data.store.audit import AuditChain
    from data.store.database import Database

ACTION = "watch-list changed"
_LATEST = "select detail from audit where action = ? order by seq desc limit 1"


@dataclass(frozen=True, slots=True)
class WatchlistCounts:
    """What a watch-list holds.

    Attributes:
        bundles: how many were ever imported. retired: how many of them are retired.
        clients: how many have active canaries. canaries: active ones. tags: of active canaries.
    """

    bundles: int
    retired: int
    clients: int
    canaries: int
    tags: int

    @classmethod
    def of(cls, bundles: Sequence[Mapping[str, Any]]) -> Self:
        """Count the entries of a watch-list's manifest."""
        active = [bundle for bundle in bundles if not bundle["retired"]]
        return cls(
            len(bundles),
            len(bundles) - len(active),
            len({bundle["client"] for bundle in active if bundle["canaries"]}),
            sum(int(bundle["canaries"]) for bundle in active),
            sum(int(bundle.get("tags", 0)) for bundle in active),
        )

    @classmethod
    def _parse(cls, detail: str) -> Self:
        value = json.loads(detail)
        return cls(**{name: int(value[name]) for name in cls.__slots__})


class WatchlistHistory:
    """The entries about the watch-list in the audit chain."""

    def __init__(self, audit: AuditChain) -> None:
        self._audit = audit

    def record(self, actor: str, counts: WatchlistCounts, now: datetime) -> None:
        """Record what the watch-list holds from now on."""
        self._audit.record(actor, ACTION, json.dumps(asdict(counts)), now)


class ExpectedReleases:
    """The releases in table `release`; retired ones are among them, because their manifests are kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, releases: Iterable[str]) -> None:
        """Expect some releases from now on."""
        with self._database.transaction():
            self._database.execute_many("insert or ignore into release (id) values (?)", [(each,) for each in releases])

    def forget(self, release: str) -> bool:
        """No longer expect a release; whether it was expected."""
        with self._database.transaction():
            return self._database.execute("delete from release where id = ?", (release,)).rowcount > 0


def latest_watchlist_counts(path: Path) -> WatchlistCounts | None:
    """What the watch-list held when it last changed; None if nothing was ever recorded, or without a database.

    Args:
        path: of the database.

    Raises:
        StoreError: the database cannot be read.
    """
    rows = _read(path, _LATEST, (ACTION,))
    try:
        return WatchlistCounts._parse(rows[0][0]) if rows else None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"an entry about the watch-list in {path.name} is damaged", hint="restore tocsin.db from a backup"
        ) from error


def expected_releases(path: Path) -> frozenset[str]:
    """Ids of the releases that a home should hold; none without a database, or in one of an earlier version.

    Args:
        path: of the database.

    Raises:
        StoreError: the database cannot be read.
    """
    return frozenset(row[0] for row in _read(path, "select id from release"))


def _address(path: Path) -> str:
    """The address by which SQLite opens a database for reading."""
    address = path.resolve().as_uri()
    if not os.statvfs(path).f_flag & os.ST_RDONLY:
        # a connection that may only read would leave the files of the write-ahead log behind
        return f"{address}?mode=rw"
    # SQLite makes files of shared memory beside a database with a write-ahead log, unless it is told that nobody writes;
    # with a log that is not part of the database yet it would then read an older state
    logged = path.with_name(f"{path.name}-wal")
    return f"{address}?mode=ro" + ("" if logged.exists() and logged.stat().st_size else "&immutable=1")


def _read(path: Path, sql: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query; none without a database or its table. Loads nothing that a command without a store needs not."""
    if not path.exists():
        return []
    try:
        with contextlib.closing(sqlite3.connect(_address(path), uri=True, timeout=10)) as opened:
            opened.execute("pragma query_only = on")
            return opened.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return []
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            # SQLite makes files of shared memory even for a reader, which a full disk has no room for
            raise StoreFull(
                f"{path.name} cannot be read: the disk is full or does not answer ({error})",
                hint="free some space; run: tocsin doctor",
            ) from error
        raise StoreError(f"{path.name} cannot be read: {error}", hint="run: tocsin doctor") from error
