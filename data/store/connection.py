"""The database file: opened, brought to its present shape, written in transactions, its errors told as ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlite_utils import Database

from data.errors import StoreBusy, StoreError, StoreFull, StoreVersion
from data.store.audit import Audit
from data.store.migrations import MIGRATIONS
from data.store.outbox import Outbox

BUSY_SECONDS = 30.0


def stamp(at: datetime) -> str:
    """The text form of an aware time; text order is time order."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def time_of(text: str | None) -> datetime | None:
    """The inverse of `stamp`; None for none."""
    return None if text is None else datetime.fromisoformat(text)


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


class Connection:
    """The database of one home, opened; one writer at a time, each change in one transaction."""

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
            try:
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
                    raise StoreVersion(
                        f"{path.name} was written by a newer Tocsin (step {unknown[-1]})",
                        hint="use that version, or a backup",
                    )
                if applied != known:
                    MIGRATIONS.apply(db)
            except BaseException:
                connection.close()
                raise
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
