"""Binary logs of MySQL and MariaDB: every row that was inserted, changed or deleted, and every statement.

A row event has no names of columns unless the server was told to write them (`binlog_row_metadata=FULL`).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zstandard

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.databases.mysql.mysql_values import COMPRESSED, MysqlType, read_types, read_value
from crawler.readers.databases.table_batcher import MIN_FILE, BlobReader, TableBatcher

FORMAT = "mysql_binlog"
EMBEDDED_SEARCH = "all"

_MAGIC = b"\xfebin"
_HEADER = 19
_QUERY, _FORMAT_DESCRIPTION, _TABLE_MAP, _QUERY_COMPRESSED, _START_ENCRYPTION = 2, 15, 19, 165, 164
_USER_VARIABLE, _TRANSACTION = 14, 40
# parts of a file that a statement LOAD DATA loads
_FIRST_BLOCK, _NEXT_BLOCK = 17, 9
# events that hold no values of tables: beginnings, ends and numbers of transactions, names of logs, states of servers
_WITHOUT_VALUES = frozenset((0, 1, 3, 4, 5, 7, 11, 13, 16, 18, 27, 28, 29, *range(33, 39), 41, 42, 160, 161, 162, 163))
# kind of event: (bytes of extra header of version 2, rows before and after a change, compressed)
_ROWS = {
    23: (False, False, False), 24: (False, True, False), 25: (False, False, False),
    30: (True, False, False), 31: (True, True, False), 32: (True, False, False),
    166: (False, False, True), 167: (False, True, True), 168: (False, False, True),
    169: (True, False, True), 170: (True, True, True), 171: (True, False, True),
}  # fmt: skip
_COLUMN_NAMES = 4
_COMPRESSION, _TEXT_VARIABLE = 2, 0
_MAX_EVENT, _MAX_TABLES = 2**28, 10_000
# statements are read together, as a dump
_MAX_STATEMENTS = 2**22
# values of one event that are held as rows
_MAX_CELLS = 2**18
_ZSTD = 0


@dataclass(frozen=True, slots=True)
class _Table:
    name: bytes
    types: Sequence[MysqlType]
    names: Sequence[str] | None


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the magic bytes and the event that describes the format."""
    return 0.99 if head.startswith(_MAGIC) and head[8:9] == bytes([_FORMAT_DESCRIPTION]) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the rows of all events, and statements as text."""
    source.read(len(_MAGIC))
    log = _Log(source, out, limits)
    try:
        for kind, body in _events(source, log):
            log.take(kind, body)
    finally:
        log.finish()


def _events(source: Source, log: _Log) -> Iterator[tuple[int, bytes]]:
    while header := source.read(_HEADER):
        size = int.from_bytes(header[9:13], "little")
        if len(header) < _HEADER or size < _HEADER:
            raise Damaged("cut" if len(header) < _HEADER else "damaged", "an event of the log is cut off or damaged")
        if size > _MAX_EVENT:
            if source.skip(size - _HEADER) < size - _HEADER:
                raise Damaged("cut", "the log ends inside an event")
            log.problems.add("size", f"an event exceeds {_MAX_EVENT} bytes and was not read")
            continue
        body = source.read(size - _HEADER)
        if len(body) < size - _HEADER:
            raise Damaged("cut", "the log ends inside an event")
        yield header[4], body


class _Log:
    """Reads the events of one log."""

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self._out = out
        self._batches = TableBatcher(out, limits)
        self.problems = ProblemCounter()
        self._tables: dict[int, _Table | None] = {}
        self._checksum = 0
        self._source = source
        self._statements: list[bytes] = []
        self._held = 0
        self._loaded: list[bytes] = []
        self._loaded_bytes = 0
        self._blobs = BlobReader(out, self.problems)

    def finish(self) -> None:
        """Send the last rows and report the problems."""
        self._read_statements()
        self._read_loaded()
        self._batches.flush()
        self.problems.report(self._out)

    def take(self, kind: int, body: bytes) -> None:
        """Read one event."""
        if kind == _FORMAT_DESCRIPTION:
            # the last byte before the checksum says whether every event has one
            self._checksum = 4 if len(body) > 5 and body[-5] == 1 else 0
            return
        if kind == _START_ENCRYPTION:
            raise Damaged("locked", "the log is encrypted")
        body = body[: len(body) - self._checksum]
        try:
            if kind == _TRANSACTION:
                self._take_transaction(body)
            else:
                self._take_event(kind, body)
        except (IndexError, ValueError):
            self.problems.add("damaged", "an event of the log is damaged")
        except Damaged as error:
            self.problems.add(error.code, str(error))

    def _take_event(self, kind: int, body: bytes) -> None:
        if kind == _TABLE_MAP:
            self._take_table(body)
        elif kind in _ROWS:
            self._take_rows(body, *_ROWS[kind])
        elif kind in (_QUERY, _QUERY_COMPRESSED):
            self._take_statement(body, is_compressed=kind == _QUERY_COMPRESSED)
        elif kind in (_FIRST_BLOCK, _NEXT_BLOCK):
            self._take_block(body[4:], is_first=kind == _FIRST_BLOCK)
        elif kind == _USER_VARIABLE:
            self._take_variable(body)
        elif kind not in _WITHOUT_VALUES:
            self.problems.add("unread", "events of a kind that is not known were not read")

    def _take_transaction(self, body: bytes) -> None:
        """The events of a transaction that MySQL 8 compressed (`binlog_transaction_compression`); they have no checksums."""
        at, is_zstd = 0, False
        while field := body[at]:
            length, at = _packed(body, at + 1)
            if field == _COMPRESSION:
                is_zstd = _packed(body, at)[0] == _ZSTD
            at += length
        data = _unpacked_zstd(body[at + 1 :]) if is_zstd else body[at + 1 :]
        if data is None:
            self.problems.add("size", f"an event exceeds {_MAX_EVENT} bytes and was not read")
            return
        at = 0
        while at < len(data):
            size = int.from_bytes(data[at + 9 : at + 13], "little")
            if size < _HEADER or at + size > len(data):
                raise Damaged("damaged", "an event of the log is damaged")
            self._take_event(data[at + 4], data[at + _HEADER : at + size])
            at += size

    def _take_block(self, data: bytes, *, is_first: bool) -> None:
        if is_first or self._loaded_bytes > _MAX_STATEMENTS:
            self._read_loaded()
        self._loaded.append(data)
        self._loaded_bytes += len(data)

    def _read_loaded(self) -> None:
        loaded, self._loaded, self._loaded_bytes = self._loaded, [], 0
        if loaded:
            read_member(Source(iter(loaded), "", self._source.amplification), self._out)

    def _take_variable(self, body: bytes) -> None:
        """The value of a variable that the next statement uses."""
        at = 4 + int.from_bytes(body[:4], "little")
        is_null, kind = body[at], body[at + 1]
        if not is_null and kind == _TEXT_VARIABLE:
            size = int.from_bytes(body[at + 6 : at + 10], "little")
            self._out.text(repair(body[at + 10 : at + 10 + size]) + b"\n")

    def _take_table(self, body: bytes) -> None:
        number, at = int.from_bytes(body[:6], "little"), 8
        parts = []
        for _ in range(2):
            parts.append(body[at + 1 : at + 1 + body[at]])
            at += 2 + body[at]
        count, at = _packed(body, at)
        if count > 4096 or at + count > len(body):
            raise Damaged("damaged", "the description of a table is damaged")
        kinds, at = body[at : at + count], at + count
        size, at = _packed(body, at)
        if len(self._tables) >= _MAX_TABLES:
            self._tables.clear()
        self._tables[number] = None
        types = read_types(kinds, body[at : at + size])
        if any(each.kind in COMPRESSED for each in types):
            self.problems.add("unread", "values of compressed columns were not read")
        at += size + (count + 7) // 8
        names = None
        while at < len(body):
            field = body[at]
            length, at = _packed(body, at + 1)
            if field == _COLUMN_NAMES:
                names = _names(body[at : at + length], count)
            at += length
        self._tables[number] = _Table(b".".join(parts), types, names)

    def _take_rows(self, body: bytes, has_extra: bool, is_change: bool, is_compressed: bool) -> None:
        number, at = int.from_bytes(body[:6], "little"), 8
        if has_extra:
            at += int.from_bytes(body[8:10], "little")
        count, at = _packed(body, at)
        width = (count + 7) // 8
        bitmaps = [body[at : at + width]]
        at += width
        if is_change:
            bitmaps.append(body[at : at + width])
            at += width
        # the last event of a statement has the number of no table
        if number == 0xFFFFFF and not count:
            return
        table = self._tables.get(number)
        if table is None or count != len(table.types):
            self.problems.add("unread", "rows of a table that the log does not describe were not read")
            return
        data = _unpacked(body[at:]) if is_compressed else body[at:]
        if data is None:
            self.problems.add("size", f"an event exceeds {_MAX_EVENT} bytes and was not read")
            return
        rows: list[list[bytes]] = []
        place = turn = begin = 0
        try:
            while place < len(data):
                row, place = _row(data, place, table.types, bitmaps[turn % len(bitmaps)])
                turn += 1
                rows.append([self._blobs.without_file(value) if len(value) >= MIN_FILE else value for value in row])
                if len(rows) * count > _MAX_CELLS:
                    self._add(table, rows, place - begin)
                    rows, begin = [], place
        finally:
            # the rows before a damaged one are whole
            self._add(table, rows, place - begin)

    def _add(self, table: _Table, rows: list[list[bytes]], size: int) -> None:
        if rows and table.types:
            self._batches.add(table.name, table.names, [list(column) for column in zip(*rows, strict=True)], size)

    def _take_statement(self, body: bytes, *, is_compressed: bool) -> None:
        base, status = body[8], int.from_bytes(body[11:13], "little")
        statement: bytes | None = body[13 + status + base + 1 :]
        if is_compressed and statement is not None:
            statement = _unpacked(statement)
        if statement is None:
            self.problems.add("size", f"an event exceeds {_MAX_EVENT} bytes and was not read")
        elif statement not in (b"BEGIN", b"COMMIT"):
            self._statements.append(statement + b";\n")
            self._held += len(statement)
            if self._held > _MAX_STATEMENTS:
                self._read_statements()

    def _read_statements(self) -> None:
        statements, self._statements, self._held = self._statements, [], 0
        if statements:
            read_member(Source(iter(statements), "statements.sql", self._source.amplification), self._out)


def _names(data: bytes, count: int) -> list[str] | None:
    found, at = [], 0
    while at < len(data):
        size, at = _packed(data, at)
        found.append(data[at : at + size].decode("utf-8", "replace"))
        at += size
    return found if len(found) == count else None


def _row(data: bytes, at: int, types: Sequence[MysqlType], present: bytes) -> tuple[list[bytes], int]:
    """A row, and where the next one begins; values that are NULL or not written are empty."""
    shown = [bool(present[number // 8] >> number % 8 & 1) for number in range(len(types))]
    width = (sum(shown) + 7) // 8
    nulls = int.from_bytes(data[at : at + width], "little")
    at += width
    row = []
    for column, is_shown in zip(types, shown, strict=True):
        value = b""
        if is_shown:
            if not nulls & 1:
                value, at = read_value(data, at, column)
            nulls >>= 1
        row.append(value)
    if not any(shown):
        raise Damaged("damaged", "an event of the log is damaged")
    return row, at


def _packed(data: bytes, at: int) -> tuple[int, int]:
    """A number of one, three, four or nine bytes, and where it ends."""
    first = data[at]
    size = {252: 2, 253: 3, 254: 8}.get(first, 0)
    if not size:
        return first, at + 1
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def _unpacked(data: bytes) -> bytes | None:
    """What MariaDB compressed: a byte with the size of the length, the length, a zlib stream; None if it is too long."""
    width = data[0] & 7
    size = int.from_bytes(data[1 : 1 + width], "big")
    if size > _MAX_EVENT:
        return None
    try:
        return zlib.decompressobj().decompress(data[1 + width :], max(1, size))
    except zlib.error as error:
        raise Damaged("damaged", "an event of the log is damaged") from error


def _unpacked_zstd(data: bytes) -> bytes | None:
    """What MySQL compressed; None if it is too long."""
    try:
        found: bytes = (
            zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(io.BytesIO(data)).read(_MAX_EVENT + 1)
        )
    except zstandard.ZstdError as error:
        raise Damaged("damaged", "an event of the log is damaged") from error
    return found if len(found) <= _MAX_EVENT else None
