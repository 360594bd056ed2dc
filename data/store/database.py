"""The SQLite file of a home: opening and migrating it, transactions, statements, and SQLite's errors as ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

# sqlite_utils loads numpy if it is there, to store its numbers. We store none, and loading it takes as long as
# everything else that `tocsin status` does.
_without_numpy = "numpy" not in sys.modules
if _without_numpy:
    sys.modules["numpy"] = None  # type: ignore[assignment]  # importing it fails from now on
try:
    import sqlite_utils
finally:
    if _without_numpy:
        del sys.modules["numpy"]

from data.errors import StoreBusy, StoreError, StoreFull, StoreVersion  # noqa: E402 - after the above
from data.store.migrations import MIGRATIONS  # noqa: E402 - imports sqlite_utils

BUSY_SECONDS = 30.0
# secure_delete: free pages must not keep deleted data (P1). synchronous = full: a commit survives a power cut.
_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = on",
    "secure_delete = on",
    "temp_store = memory",
)


def stamp(at: datetime) -> str:
    """The text form in which the database keeps an aware time; text order is time order."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def parse_stamp(text: str | None) -> datetime | None:
    """The inverse of `stamp`; None for None."""
    return None if text is None else datetime.fromisoformat(text)


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Raise SQLite's errors as `StoreBusy`, `StoreFull` or `StoreError`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StoreBusy(
                "another process is writing to the database", hint="try again; see what is running: tocsin status"
            ) from error
        if code.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise StoreFull(
                "the disk is full or cannot be written to", hint="free some space; nothing of this change was stored"
            ) from error
        raise StoreError(f"the database failed with {code or 'an unknown error'}", hint="run: tocsin doctor") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorname", "") or type(error).__name__
        raise StoreError(f"the database cannot be used ({code})", hint="restore tocsin.db from a backup") from error


class Database:
    """The open database of one home. One process writes at a time, and every write happens inside `transaction`."""

    def __init__(self, wrapped: sqlite_utils.Database) -> None:
        self._wrapped = wrapped
        self.connection: sqlite3.Connection = wrapped.conn
        self._in_transaction = False
        self._after_commit: list[Callable[[], None]] = []

    @classmethod
    def open(cls, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> Self:
        """Open the database, or create it with mode 0600, and bring its schema up to date.

        Args:
            path: of the file.
            busy_seconds: how long a statement waits for another process that is writing.

        Raises:
            StoreVersion: a newer Tocsin wrote it.
            StoreError: the file is not a database, or it is damaged.
        """
        with translated_errors():
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, timeout=busy_seconds)
            try:
                wrapped = sqlite_utils.Database(connection, recursive_triggers=False)
                for pragma in _PRAGMAS:
                    connection.execute(f"pragma {pragma}")
                known = [migration.name for migration in MIGRATIONS._migrations]  # no public list of all names
                applied = [migration.name for migration in MIGRATIONS.applied(wrapped)]
                if unknown := [name for name in applied if name not in known]:
                    raise StoreVersion(
                        f"{path.name} was written by a newer Tocsin (migration {unknown[-1]})",
                        hint="use that version, or restore a backup",
                    )
                if applied != known:
                    MIGRATIONS.apply(wrapped)
            except BaseException:
                connection.close()
                raise
        return cls(wrapped)

    def close(self) -> None:
        """Close the database."""
        self._wrapped.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Store everything written inside the block, or nothing of it if the block or the commit fails.

        A block inside another one joins the outer transaction: it is committed with the outer block. The write lock is
        taken at the beginning, so that no transaction fails half-way because another process started to write.
        """
        if self._in_transaction:
            yield
            return
        with translated_errors():
            self.connection.execute("begin immediate")
            self._in_transaction = True
            try:
                yield
                self.connection.execute("commit")
            except BaseException:
                # some errors of SQLite, such as a full disk, have ended the transaction already
                if self.connection.in_transaction:
                    self.connection.execute("rollback")
                self._after_commit.clear()
                raise
            finally:
                self._in_transaction = False
        done, self._after_commit = self._after_commit, []
        for call in done:
            call()

    def when_committed(self, call: Callable[[], None]) -> None:
        """Call a function once the current transaction is committed, and never if it is not."""
        self._after_commit.append(call)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement that writes; outside `transaction` it is committed at once."""
        cursor: sqlite3.Cursor = self._wrapped.execute(sql, values)
        return cursor

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values."""
        self.connection.executemany(sql, rows)

    def insert(self, table: str, row: Mapping[str, Any], *, replace: bool = False) -> None:
        """Insert one row given by column names; with `replace` it takes the place of a row with the same key."""
        # sqlite_utils would look the table up in the schema for each row, which took a third of a commit
        columns, places = ", ".join(f"[{name}]" for name in row), ", ".join("?" * len(row))
        verb = "insert or replace" if replace else "insert"
        self.execute(f"{verb} into [{table}] ({columns}) values ({places})", tuple(row.values()))

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """All rows of a query, each as a dictionary by column name."""
        with translated_errors():
            return list(self._wrapped.query(sql, values))

    def first_row(self, sql: str, *values: Any) -> dict[str, Any] | None:
        """The first row of a query, or None."""
        rows = self.rows(sql, *values)
        return rows[0] if rows else None

    def integrity_problems(self) -> list[str]:
        """What SQLite finds wrong with the structure of the file and with references between rows; empty if nothing."""
        with translated_errors():
            found = [row[0] for row in self.connection.execute("pragma integrity_check(10)")]
            broken = self.connection.execute("pragma foreign_key_check").fetchone()
        problems = [] if found == ["ok"] else [" ".join(str(line).split()) for line in found]
        return [*problems, *(["a row refers to one that does not exist"] if broken else [])]
