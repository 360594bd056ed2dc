"""SQLite databases, opened in memory: the rows of every table.

The byte pass examines the freed pages. The schema of a hostile file is code. Only plain columns of plain tables are
ever selected: no view, no generated column, no function, nothing that could run a trigger or a table-valued module.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from crawler.readers.core.encoding import text_of
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, read_embedded_in_values, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.databases.sqlite_pages import unused_ranges
from crawler.readers.databases.table_batcher import BlobReader, TableBatcher

FORMAT = "sqlite"

MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
MAX_TABLES = 10_000
BATCH_ROWS = 1000
# Hostile rows can share the pages of long values. All rows together may have at most `MAX_RATIO` times as many bytes as
# the file, plus `RATIO_ALLOWANCE`.
MAX_RATIO, RATIO_ALLOWANCE = 16, 2**22
# SQLite calls the progress handler after this many steps of its virtual machine. A sound table needs far fewer steps
# than the limit, which is 64 for each byte of the file.
PROGRESS_STEPS = 100_000
_SQLITE_LIMITS = (
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
    # A damaged entry of the schema must not hide the tables of the other entries.
    "PRAGMA writable_schema=ON",
)
_ALLOWED_ACTIONS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})
# a byte that is not UTF-8, as Python's surrogateescape decodes it
_INVALID_BYTE = re.compile("[\udc80-\udcff]")
_CREATE_TABLE = re.compile(r"\s*CREATE\s+TABLE\b", re.IGNORECASE)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 if the head begins with the signature of SQLite, else 0.0."""
    return 1.0 if head.startswith(MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send all rows of all tables."""
    held = source.read_all(limits.hold)
    if len(held) < _HEADER_BYTES:
        raise Damaged("cut", "the file ends inside its header")
    for start, stop in unused_ranges(held):
        read_embedded(held[start:stop], source, out, at=0 if start else 1)
    with search_if_damaged(held, source, out):
        database = _DatabaseReader(held, source, out, limits)
    del held
    try:
        database.read()
    finally:
        database.tables.flush()
        database.problems.report(out)
        database.close()


class _DatabaseReader:
    """Reads the tables of one database; `tables` collects the rows, `problems` the problems."""

    def __init__(self, held: bytearray, source: Source, out: Output, limits: Limits) -> None:
        self.out = out
        self._source = source
        self.tables = TableBatcher(out, limits)
        self.problems = ProblemCounter()
        self._blobs = BlobReader(out, self.problems)
        self._given = 0
        self._max_given = MAX_RATIO * len(held) + RATIO_ALLOWANCE
        self._steps = 0
        self._max_steps = 64 * len(held) // PROGRESS_STEPS + 1000
        self._is_listing = False
        self._repair_header(held)
        self._db = self._open(held)
        if self._repair_names(held):
            self._db.close()
            self._db = self._open(held)

    def _open(self, held: bytearray) -> sqlite3.Connection:
        base = sqlite3.connect(":memory:", isolation_level=None)
        try:
            base.deserialize(held)
            for category, most in _SQLITE_LIMITS:
                base.setlimit(category, most)
            for setting in _SETTINGS:
                base.execute(setting)
        except sqlite3.Error as error:
            base.close()
            raise Damaged("damaged", "SQLite cannot open the file") from error
        # This tells the types apart: TEXT values arrive as bytearray, BLOB values as bytes.
        base.text_factory = bytearray
        base.set_authorizer(self._authorize)
        base.set_progress_handler(self._count_steps, PROGRESS_STEPS)
        return base

    def _repair_names(self, held: bytearray) -> bool:
        """Replace bytes of the schema that are not UTF-8 by letters: SQL can only name tables and columns in UTF-8.

        Returns:
            Whether any bytes of `held` were replaced.
        """
        try:
            schema = self._db.execute("SELECT name, tbl_name, sql FROM sqlite_schema").fetchall()
        except sqlite3.Error:
            # `_names` reports the damage.
            return False
        is_changed = False
        for row in schema:
            name, table, sql = (bytes(each) if isinstance(each, bytearray) else b"" for each in row)
            for text in (name + table, sql):
                decoded = text.decode("utf-8", "surrogateescape")
                if decoded.isascii() or (clean := _INVALID_BYTE.sub(_letter, decoded)) == decoded:
                    continue
                at = held.find(text)
                if at >= 0:
                    held[at : at + len(text)] = clean.encode()
                    is_changed = True
        return is_changed

    def close(self) -> None:
        """Close the database and free its memory."""
        self._db.close()

    def _repair_header(self, held: bytearray) -> None:
        """Correct the numbers of the header that contradict the file, and pad the last page."""
        size = int.from_bytes(held[16:18], "big")
        size = 65_536 if size == 1 else size
        if size < 512 or size & (size - 1):
            self.problems.add("suspicious", "the page size in the header is invalid; the usual one is tried")
            size = 4096
            held[16:18] = size.to_bytes(2, "big")
        # These bytes say that a write-ahead log exists beside the file; SQLite would not open the file without it.
        held[18:20] = b"\1\1"
        if rest := len(held) % size:
            self.problems.add("cut", "the last page is incomplete")
            held.extend(bytes(size - rest))
        pages = len(held) // size
        claimed = int.from_bytes(held[28:32], "big")
        if claimed and claimed != pages and held[24:28] == held[92:96]:
            if claimed > pages:
                self.problems.add("cut", "the file has fewer pages than its header says")
            else:
                self.problems.add("suspicious", "the file has more pages than its header says", incomplete=False)
        held[28:32] = pages.to_bytes(4, "big")
        held[92:96] = held[24:28]

    def _authorize(self, action: int, one: str | None, _two: str | None, _db: str | None, inner: str | None) -> int:
        """Refuse everything except reading tables; `inner` names the view or trigger that asks, if any."""
        if inner is None and (
            action in _ALLOWED_ACTIONS
            or (self._is_listing and action == sqlite3.SQLITE_PRAGMA and one == "table_xinfo")
        ):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _count_steps(self) -> int:
        """Progress handler of SQLite: a result other than 0 ends the statement."""
        self._steps += 1
        return int(self._steps > self._max_steps)

    def read(self) -> None:
        """Read all tables."""
        for number, name in enumerate(self._names()):
            if number >= MAX_TABLES:
                self.problems.add("tables", f"more than {MAX_TABLES} tables; the others are not read")
                break
            self._read_table(name)

    def _names(self) -> list[str]:
        try:
            found = self._db.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
            ).fetchall()
        except sqlite3.Error:
            self.problems.add("damaged", "the list of tables is damaged")
            return []
        names = []
        for name, sql in found:
            if (
                isinstance(name, bytearray)
                and isinstance(sql, bytearray)
                and _CREATE_TABLE.match(sql.decode("utf-8", "replace"))
            ):
                names.append(name.decode("utf-8", "replace"))
        return [name for name in names if not name.startswith("sqlite_stat")]

    def _read_table(self, name: str) -> None:
        table = _quoted(name)
        try:
            self._is_listing = True
            # The field `hidden`, each[6], marks hidden columns of virtual tables and generated columns.
            info = self._db.execute(f"PRAGMA main.table_xinfo({table})").fetchall()
        except sqlite3.Error:
            info = []
        finally:
            self._is_listing = False
        columns = [bytes(each[1]).decode("utf-8", "replace") for each in info if each[6] == 0]
        if not columns:
            self.problems.add("damaged", "the columns of a table are unknown")
            return
        key = next((word for word in ("rowid", "_rowid_", "oid") if word not in map(str.lower, columns)), "")
        selected = ", ".join(map(_quoted, columns))
        select = f"SELECT {selected} FROM main.{table} NOT INDEXED"  # noqa: S608 - names are quoted
        with_key = select.replace("SELECT ", f"SELECT {key}, ", 1)
        if not key or not self._is_valid(with_key):
            # a table without row ids, or one whose columns hide them
            key, with_key = "", select
        last: Any = None
        try:
            for rows in self._fetch_batches(f"{with_key} ORDER BY {key}" if key else select):
                self._send_rows(name, columns, [row[1:] for row in rows] if key else rows)
                last = rows[-1][0]
        except sqlite3.Error:
            if self._steps > self._max_steps:
                raise Damaged(
                    "suspicious", "reading the tables takes too many steps; their pages probably form a loop"
                ) from None
            self.problems.add("damaged", "a table is damaged; some of its rows are missing")
            if key:
                self._read_backwards(f"{with_key} ORDER BY {key} DESC", name, columns, last)

    def _is_valid(self, select: str) -> bool:
        """Whether SQLite can compile a statement, because all selected columns exist."""
        try:
            self._db.execute(f"EXPLAIN {select}").close()
        except sqlite3.Error:
            return False
        return True

    def _read_backwards(self, select: str, name: str, columns: Sequence[str], last: Any) -> None:
        """Read the rows after a damaged place, from the end of the table on."""
        try:
            for rows in self._fetch_batches(select, 1):
                if last is not None and rows[0][0] <= last:
                    return
                self._send_rows(name, columns, [row[1:] for row in rows])
        except sqlite3.Error:
            # the same damaged place, reached from the other side
            return

    def _fetch_batches(self, select: str, count: int = BATCH_ROWS) -> Iterator[list[tuple[Any, ...]]]:
        """Rows in batches of up to `count`; rows before a damaged place are yielded before its error is raised."""
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

    def _send_rows(self, table: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        columns = [[self._to_bytes(value) for value in column] for column in zip(*rows, strict=True)]
        read_embedded_in_values(columns, self._source, self.out)
        size = sum(sum(map(len, column)) for column in columns)
        self._given += size
        if self._given > self._max_given:
            raise Damaged("ratio", "the rows are far larger than the file")
        self.tables.add(table.encode(), names, list(columns), size)

    def _to_bytes(self, value: Any) -> bytes:
        if value is None:
            return b""
        if type(value) is bytearray:
            return bytes(value)
        if type(value) is bytes:
            return self._read_blob(value)
        return str(value).encode()

    def _read_blob(self, data: bytes) -> bytes:
        text = text_of(data)
        if text is not None:
            return text
        self._blobs.read_file(data)
        return b""


def _letter(invalid: re.Match[str]) -> str:
    """The letter that replaces a byte: read as Latin-1, in which most such names were written, without its accent."""
    byte = ord(invalid[0]) - 0xDC00
    plain = unicodedata.normalize("NFD", chr(byte))[0]
    return plain if plain.isascii() else chr(ord("a") + byte % 26)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
