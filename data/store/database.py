"""The SQLite file of a home: opening and migrating it, transactions, statements, and SQLite's errors as ours."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from data.errors import StoreBusy, StoreError, StoreFull, StoreVersion
from data.store import migrations

BUSY_SECONDS = 30.0
# Steps of SQLite's machine, some milliseconds, after which a check asks whether to go on.
PROGRESS_STEPS = 100_000
# secure_delete: free pages must not keep deleted data (P1). synchronous = full: a commit survives a power cut.
_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = on",
    "secure_delete = on",
    "temp_store = memory",
)


# all rows of one commit have the same time
@functools.lru_cache(maxsize=16)
def stamp(at: datetime) -> str:
    """The text form in which the database keeps an aware time; text order is time order."""
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")


def parse_stamp(text: str | None) -> datetime | None:
    """The inverse of `stamp`; None for None."""
    return None if text is None else datetime.fromisoformat(text)


_NOT_WRITABLE = (
    "the database cannot be used where nothing can be written: SQLite keeps files beside it, even to read it"
)
_MAKE_WRITABLE = "make the home writable for the user who runs this (doctor says what is wrong), or copy it with  cp -a  and use the copy"


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Raise SQLite's errors, and those of its file, as `StoreBusy`, `StoreFull` or `StoreError`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(f"the database cannot be made: {error.strerror}", hint="free some space") from error
        raise StoreError(f"the database cannot be made: {error.strerror}", hint=_MAKE_WRITABLE) from error
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
        if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise StoreError(_NOT_WRITABLE, hint=_MAKE_WRITABLE) from error
        raise StoreError(f"the database failed with {code or 'an unknown error'}", hint="run: tocsin doctor") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorname", "") or type(error).__name__
        raise StoreError(f"the database cannot be used ({code})", hint="restore tocsin.db from a backup") from error
    except UnicodeDecodeError as error:
        # of a stored value, or of a name in the schema, which SQLite's own message would show
        raise StoreError(
            "the database is damaged: it holds text that is no UTF-8", hint="restore tocsin.db from a backup"
        ) from error


class Database:
    """The open database of one home. One process writes at a time, and every write happens inside `transaction`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
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
            # no isolation level: the driver begins no transaction by itself
            connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
            try:
                for pragma in _PRAGMAS:
                    connection.execute(f"pragma {pragma}")
                known, applied = list(migrations.STEPS), migrations.applied(connection)
                if unknown := [name for name in applied if name not in known]:
                    raise StoreVersion(
                        f"{path.name} was written by a newer Tocsin (migration {unknown[-1]})",
                        hint="use that version, or restore a backup",
                    )
                if applied != known:
                    if applied and set(applied) >= migrations.REMOVING:
                        keep_copy(connection, path, applied[-1])
                    migrations.apply(connection)
            except BaseException:
                connection.close()
                raise
        return cls(connection)

    @classmethod
    def open_read_only(cls, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> Self:
        """Open the database of a home so that no statement can change it; its schema must be up to date.

        Raises:
            StoreVersion: another version of Tocsin wrote it.
            StoreError: there is no such file, or it is no database.
        """
        with translated_errors():
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=busy_seconds, isolation_level=None
            )
            try:
                connection.execute("pragma query_only = on")
                connection.execute("pragma temp_store = memory")
                if migrations.applied(connection) != list(migrations.STEPS):
                    raise StoreVersion(
                        f"{path.name} was written by another version of Tocsin", hint="restart this program"
                    )
            except BaseException:
                connection.close()
                raise
        return cls(connection)

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Store everything written inside the block, or nothing of it if the block or the commit fails.

        A block inside another one joins the outer transaction: it is committed with the outer block. The write lock is
        taken at the beginning, so that no transaction fails half-way because another process started to write.
        """
        return contextlib.nullcontext() if self._in_transaction else self._outer_transaction()

    @contextlib.contextmanager
    def _outer_transaction(self) -> Iterator[None]:
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
        return self.connection.execute(sql, values)

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values."""
        self.connection.executemany(sql, rows)

    def insert(self, table: str, row: Mapping[str, Any], *, replace: bool = False) -> None:
        """Insert one row given by column names; with `replace` it takes the place of a row with the same key."""
        columns, places = ", ".join(f"[{name}]" for name in row), ", ".join("?" * len(row))
        verb = "insert or replace" if replace else "insert"
        self.execute(f"{verb} into [{table}] ({columns}) values ({places})", tuple(row.values()))

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """All rows of a query, each as a dictionary by column name."""
        return self._rows(sql, values)

    def named_rows(self, sql: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """As `rows`, for a query whose values have names (`:name`)."""
        return self._rows(sql, values)

    def _rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> list[dict[str, Any]]:
        with translated_errors():
            cursor = self.connection.execute(sql, values)
            columns = [column[0] for column in cursor.description]
            return [dict(zip(columns, row, strict=True)) for row in cursor]

    def each_row(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one by one, as tuples: for many rows, or if the caller stops early."""
        with translated_errors():
            yield from self.connection.execute(sql, values)

    def first_row(self, sql: str, *values: Any) -> dict[str, Any] | None:
        """The first row of a query, or None."""
        rows = self.rows(sql, *values)
        return rows[0] if rows else None

    def integrity_problems(self, stop: Callable[[], bool] = lambda: False) -> list[str]:
        """What is wrong with the file; empty if nothing.

        SQLite walks all pages and compares each row with all of its index entries: since an index of each table holds
        all columns (`data.store.migrations.copy_rows`), a flipped bit in a stored value is found. References between
        rows and the schema, of which there is no copy in the file, are checked too. Other processes and threads read and
        write meanwhile.

        Args:
            stop: is asked now and then whether to give the check up.

        Raises:
            StoreError: the file is so damaged that it cannot be checked, or the check was given up.
        """
        self.connection.set_progress_handler(stop, PROGRESS_STEPS)
        try:
            with translated_errors():
                found = [row[0] for row in self.connection.execute("pragma integrity_check(10)")]
                broken = self.connection.execute("pragma foreign_key_check").fetchone()
                schema = _schema(self.connection)
        finally:
            self.connection.set_progress_handler(None, 0)
        problems = [] if found == ["ok"] else [" ".join(str(line).split()) for line in found]
        problems += ["a row refers to one that does not exist"] if broken else []
        return [*problems, *(["the schema is not that of this version"] if not schema >= _expected_schema() else [])]


def copies_of(path: Path) -> list[Path]:
    """The copies that were made before migrations of a database."""
    return sorted(path.parent.glob(f"{path.name}.before-*"))


def keep_copy(connection: sqlite3.Connection, path: Path, version: str) -> None:
    """Keep a copy of a database as it was at a version, in place of older copies; it is complete if it exists.

    Raises:
        StoreFull: there is no room for it.
    """
    copy = path.with_name(f"{path.name}.before-{version}")
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        # SQLite writes into an empty file; the copy holds no free pages
        connection.execute("vacuum main into ?", (str(part),))
    except (OSError, sqlite3.OperationalError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise
        raise StoreFull(
            f"the schema must be brought up to date, but no copy of {path.name} can be made before that",
            hint=f"free {path.stat().st_size // 2**20 + 1} MiB; nothing was changed",
        ) from error
    for older in copies_of(path):
        older.unlink()
    part.rename(copy)


def _schema(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """The definitions of all tables and indexes, without spaces; also of those indexes that SQLite makes for keys."""
    rows = connection.execute(
        "select type, name, tbl_name, sql from sqlite_master"
        " where name not like '%sqlite_%' or name like 'sqlite_autoindex_%'"
    )
    return {tuple("".join(str(value).split()) for value in row) for row in rows}


@functools.cache
def _expected_schema() -> frozenset[tuple[str, ...]]:
    """The definitions that the migrations make in a new database."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        migrations.apply(connection)
        return frozenset(_schema(connection))
