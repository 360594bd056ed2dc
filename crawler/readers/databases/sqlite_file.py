"""SQLite databases, opened in memory: the rows of every table; what lies in freed pages is left to the byte pass.

The schema of a hostile file is code. Only plain columns of plain tables are ever selected: no view, no generated column, no
function, nothing that a trigger or a table-valued module could do.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from crawler.readers.core.encoding import text_of
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, read_embedded_in_values, read_member, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.registry import choose
from crawler.readers.core.source import Source
from crawler.readers.databases.sqlite_pages import unused
from crawler.readers.databases.table_batcher import TableBatcher

FORMAT = "sqlite"

MAGIC = b"SQLite format 3\0"
_HEADER = 100
MAX_TABLES = 10_000
MAX_MEMBERS = 10_000
ROWS = 1000
# Rows may share the pages of long values: what all tables give together is at most so many times the file, and more than
# `SMALL`. A program's step of SQLite is not a byte, but an honest table needs far fewer steps for each.
RATIO, SMALL = 16, 2**22
STEPS = 100_000
_LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, 2**28),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 2**20),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 2),
    (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 8),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_SETTINGS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA temp_store=2",
    "PRAGMA query_only=ON",
    # a schema that cannot be read in one place must not hide the tables in the others
    "PRAGMA writable_schema=ON",
)
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})
# a byte that is no UTF-8, as Python writes it
_STRAY = re.compile("[\udc80-\udcff]")
_TABLE = re.compile(r"\s*CREATE\s+TABLE\b", re.IGNORECASE)
_MEMBERS = frozenset({"text", "delimited", "unknown"})


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its signature."""
    return 1.0 if head.startswith(MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out all rows of all tables."""
    held = source.read_all(limits.hold)
    if len(held) < _HEADER:
        raise Damaged("cut", "it ends within its header")
    for start, stop in unused(held):
        read_embedded(held[start:stop], source, out, at=0 if start else 1)
    with search_if_damaged(held, source, out):
        database = _Database(held, source, out, limits)
    del held
    try:
        database.read()
    finally:
        database.tables.flush()
        database.notes.report(out)
        database.close()


class _Database:
    """One database."""

    def __init__(self, held: bytearray, source: Source, out: Output, limits: Limits) -> None:
        self.out = out
        self._source = source
        self.tables = TableBatcher(out, limits)
        self.notes = ProblemCounter()
        self._members = 0
        self._given = 0
        self._most = RATIO * len(held) + SMALL
        self._steps = 0
        self._most_steps = 64 * len(held) // STEPS + 1000
        self._listing = False
        self._put_right(held)
        self._db = self._opened(held)
        if self._spell(held):
            self._db.close()
            self._db = self._opened(held)

    def _opened(self, held: bytearray) -> sqlite3.Connection:
        base = sqlite3.connect(":memory:", isolation_level=None)
        try:
            base.deserialize(held)
            for category, most in _LIMITS:
                base.setlimit(category, most)
            for setting in _SETTINGS:
                base.execute(setting)
        except sqlite3.Error as error:
            base.close()
            raise Damaged("damaged", "SQLite does not open it") from error
        # TEXT comes as bytearray, BLOB as bytes
        base.text_factory = bytearray
        base.set_authorizer(self._authorize)
        base.set_progress_handler(self._step, STEPS)
        return base

    def _spell(self, held: bytearray) -> bool:
        """Give letters to bytes of the schema that are no UTF-8, in which alone SQL can name a table or column."""
        try:
            schema = self._db.execute("SELECT name, tbl_name, sql FROM sqlite_schema").fetchall()
        except sqlite3.Error:
            # told where its tables are listed
            return False
        spelt = False
        for row in schema:
            name, table, sql = (bytes(each) if isinstance(each, bytearray) else b"" for each in row)
            for text in (name + table, sql):
                told = text.decode("utf-8", "surrogateescape")
                if told.isascii() or (clean := _STRAY.sub(_letter, told)) == told:
                    continue
                at = held.find(text)
                if at >= 0:
                    held[at : at + len(text)] = clean.encode()
                    spelt = True
        return spelt

    def close(self) -> None:
        """Forget it."""
        self._db.close()

    def _put_right(self, held: bytearray) -> None:
        """Make the header say what the file is."""
        size = int.from_bytes(held[16:18], "big")
        size = 65_536 if size == 1 else size
        if size < 512 or size & (size - 1):
            self.notes.add("suspicious", "its page size is none; the usual one is tried")
            size = 4096
            held[16:18] = size.to_bytes(2, "big")
        # a log beside it, which is not here, is no reason not to open it
        held[18:20] = b"\1\1"
        if rest := len(held) % size:
            self.notes.add("cut", "its last page is not whole")
            held.extend(bytes(size - rest))
        pages = len(held) // size
        claimed = int.from_bytes(held[28:32], "big")
        if claimed and claimed != pages and held[24:28] == held[92:96]:
            if claimed > pages:
                self.notes.add("cut", "it has fewer pages than its header says")
            else:
                self.notes.add("suspicious", "it has more pages than its header says", incomplete=False)
        held[28:32] = pages.to_bytes(4, "big")
        held[92:96] = held[24:28]

    def _authorize(self, action: int, one: str | None, _two: str | None, _db: str | None, inner: str | None) -> int:
        """Refuse all but reading tables; `inner` names a view or trigger that asks."""
        if inner is None and (
            action in _ALLOWED or (self._listing and action == sqlite3.SQLITE_PRAGMA and one == "table_xinfo")
        ):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _step(self) -> int:
        self._steps += 1
        return int(self._steps > self._most_steps)

    def read(self) -> None:
        """All tables."""
        for number, name in enumerate(self._names()):
            if number >= MAX_TABLES:
                self.notes.add("tables", f"it has more than {MAX_TABLES} tables")
                break
            self._table(name)

    def _names(self) -> list[str]:
        try:
            found = self._db.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
            ).fetchall()
        except sqlite3.Error:
            self.notes.add("damaged", "its list of tables is damaged")
            return []
        names = []
        for name, sql in found:
            if (
                isinstance(name, bytearray)
                and isinstance(sql, bytearray)
                and _TABLE.match(sql.decode("utf-8", "replace"))
            ):
                names.append(name.decode("utf-8", "replace"))
        return [name for name in names if not name.startswith("sqlite_stat")]

    def _table(self, name: str) -> None:
        table = _quoted(name)
        try:
            self._listing = True
            # hidden: columns of modules, and those that are computed
            info = self._db.execute(f"PRAGMA main.table_xinfo({table})").fetchall()
        except sqlite3.Error:
            info = []
        finally:
            self._listing = False
        columns = [bytes(each[1]).decode("utf-8", "replace") for each in info if each[6] == 0]
        if not columns:
            self.notes.add("damaged", "what a table holds is not known")
            return
        key = next((word for word in ("rowid", "_rowid_", "oid") if word not in map(str.lower, columns)), "")
        select = f"SELECT {', '.join(map(_quoted, columns))} FROM main.{table} NOT INDEXED"  # noqa: S608 - names are quoted
        with_key = select.replace("SELECT ", f"SELECT {key}, ", 1)
        if not key or not self._has(with_key):
            # a table without rowid, or one that hides it
            key, with_key = "", select
        last: Any = None
        try:
            for rows in self._rows(f"{with_key} ORDER BY {key}" if key else select):
                self._give(name, columns, [row[1:] for row in rows] if key else rows)
                last = rows[-1][0]
        except sqlite3.Error:
            if self._steps > self._most_steps:
                raise Damaged("suspicious", "reading its tables has no end") from None
            self.notes.add("damaged", "a table is damaged; rows of it are missing")
            if key:
                self._backwards(f"{with_key} ORDER BY {key} DESC", name, columns, last)

    def _has(self, select: str) -> bool:
        """Whether what is selected is there at all."""
        try:
            self._db.execute(f"EXPLAIN {select}").close()
        except sqlite3.Error:
            return False
        return True

    def _backwards(self, select: str, name: str, columns: Sequence[str], last: Any) -> None:
        """The rows behind a damaged place, from the end of the table."""
        try:
            for rows in self._rows(select, 1):
                if last is not None and rows[0][0] <= last:
                    return
                self._give(name, columns, [row[1:] for row in rows])
        except sqlite3.Error:
            # the same place, met from behind
            return

    def _rows(self, select: str, count: int = ROWS) -> Iterator[list[tuple[Any, ...]]]:
        """Rows in batches; those before damage come before its error."""
        cursor = self._db.execute(select)
        while True:
            rows: list[tuple[Any, ...]] = []
            try:
                while len(rows) < count and (row := cursor.fetchone()) is not None:
                    rows.append(row)
            except sqlite3.Error:
                if rows:
                    yield rows
                raise
            if not rows:
                return
            yield rows

    def _give(self, table: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        columns = [[self._value(value) for value in column] for column in zip(*rows, strict=True)]
        read_embedded_in_values(columns, self._source, self.out)
        size = sum(sum(map(len, column)) for column in columns)
        self._given += size
        if self._given > self._most:
            raise Damaged("ratio", "its rows are far larger than the file")
        self.tables.add(table.encode(), names, list(columns), size)

    def _value(self, value: Any) -> bytes:
        if value is None:
            return b""
        if type(value) is bytearray:
            return bytes(value)
        if type(value) is bytes:
            return self._blob(value)
        return str(value).encode()

    def _blob(self, data: bytes) -> bytes:
        text = text_of(data)
        if text is not None:
            return text
        reader = choose(data[:65_536], "")
        if reader is not None and reader.FORMAT not in _MEMBERS:
            self._members += 1
            if self._members > MAX_MEMBERS:
                self.notes.add("unread", "files in its tables beyond a limit are not opened")
            else:
                read_member(Source(iter([data])), self.out)
        return b""


def _letter(stray: re.Match[str]) -> str:
    """As Latin-1, without its accent: what most such names were written in."""
    byte = ord(stray[0]) - 0xDC00
    plain = unicodedata.normalize("NFD", chr(byte))[0]
    return plain if plain.isascii() else chr(ord("a") + byte % 26)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
