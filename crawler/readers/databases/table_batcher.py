"""Collects the rows of the tables of a database into full batches of valid UTF-8, so that few headers are sent.

The readers of the formats parse the rows. Files that stand in rows as values become members of the file of the database.
"""

from __future__ import annotations

from collections.abc import Sequence

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import HEAD, MAX_ROWS, MAX_VALUES, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.registry import choose
from crawler.readers.core.source import Source
from crawler.readers.databases.unnamed_columns import text_or_none

# The record pass infers what a column contains from the first rows of a batch. If a dump alternates between tables,
# their rows are held back until a batch is full, up to this many bytes of the dump and this many tables.
MAX_PENDING_BYTES = 2**22
MAX_PENDING_TABLES = 64
# A longer value is sent as text, and only its beginning stays in the row.
MAX_CELL_BYTES = 2**18
# Files that are values.
MAX_MEMBERS = 10_000
_NOT_MEMBERS = frozenset({"text", "delimited", "unknown"})
MIN_FILE = 64
"""Numbers, keys and digests have fewer bytes than files."""
_TableKey = tuple[bytes, tuple[str, ...] | None, int]
"""Name, column names (None if unknown) and width of a table."""


class PendingRows:
    """Rows of one table that were not sent yet, stored by column."""

    def __init__(self, columns: tuple[str, ...] | None, width: int) -> None:
        self.columns = columns
        self.width = width
        self.count = 0
        self.cells: list[list[bytes]] = [[] for _ in range(width)]


class TableBatcher:
    """Sends the rows of all tables of one file in batches.

    Attributes:
        wide: number of rows that have more columns than the limit.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.wide = 0
        self._pending: dict[_TableKey, PendingRows] = {}
        self._size = 0
        self._open: _TableKey | None = None

    def add(self, table: bytes, names: Sequence[str] | None, columns: list[Sequence[bytes]], size: int) -> None:
        """Add rows of a table, given by column.

        Args:
            table: name of the table.
            names: names of its columns; None if unknown.
            columns: the values, one sequence for each column, all of the same length.
            size: number of bytes of the dump that the rows were read from.
        """
        if len(columns) > self.limits.max_columns:
            last = self.limits.max_columns - 1
            self.wide += len(columns[0])
            columns = [*columns[:last], [b",".join(rest) for rest in zip(*columns[last:], strict=True)]]
        width = len(columns)
        header = _matching_names(names, width)
        key = table, header, width
        pending = self._pending.get(key)
        if pending is None:
            if len(self._pending) >= MAX_PENDING_TABLES:
                self.flush()
            pending = self._pending[key] = PendingRows(header, width)
        for cells, more in zip(pending.cells, columns, strict=True):
            cells.extend(more)
        pending.count += len(columns[0])
        self._size += size
        if pending.count >= MAX_ROWS:
            self._send(key)
        if self._size > MAX_PENDING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send all pending rows."""
        for key in list(self._pending):
            self._send(key)
        self._size = 0

    def _send(self, key: _TableKey) -> None:
        rows = self._pending.pop(key)
        if key != self._open:
            self._open = key
            self.out.header(rows.columns)
        columns = [self._repair_column(cells) for cells in rows.cells]
        if sum(sum(map(len, column)) for column in columns) > MAX_VALUES:
            self._shorten(columns)
        self.out.columns(columns)

    @staticmethod
    def _repair_column(cells: list[bytes]) -> list[bytes]:
        text = b"\n".join(cells)
        repaired = repair(text)
        if repaired == text:
            return cells
        # `repair` works line by line: if every cell is one line, each was repaired by itself.
        is_one_line_each = text.count(b"\n") == len(cells) - 1
        return repaired.split(b"\n") if is_one_line_each else [repair(cell) for cell in cells]

    def _shorten(self, columns: list[list[bytes]]) -> None:
        """Shorten long values, so that the rows fit into a frame; each shortened value is also sent whole, as text."""
        for row in range(len(columns[0])):
            size = sum(len(column[row]) for column in columns)
            most = MAX_CELL_BYTES if size <= MAX_VALUES else min(MAX_CELL_BYTES, MAX_VALUES // len(columns))
            if size <= most:
                continue
            for column in columns:
                cell = column[row]
                if len(cell) > most:
                    self.out.text(cell + b"\n")
                    # The cut may split a character, which is dropped.
                    column[row] = cell[:most].decode("utf-8", "ignore").encode()


def _matching_names(names: Sequence[str] | None, width: int) -> tuple[str, ...] | None:
    """The names if there are exactly `width` of them; any other number means that they describe other rows."""
    if names is None:
        return None
    return tuple(names) if len(names) == width else None


class BlobReader:
    """Reads binary values of the tables of one file.

    Args:
        out: takes the members.
        problems: counts the files that were too many to be read.
    """

    def __init__(self, out: Output, problems: ProblemCounter) -> None:
        self._out = out
        self._problems = problems
        self._members = 0

    def read_file(self, data: bytes) -> bool:
        """Read a value as a member if it is a file of a known format; False if it is none."""
        reader = choose(data[:HEAD], "")
        if reader is None or reader.FORMAT in _NOT_MEMBERS:
            return False
        self._members += 1
        if self._members > MAX_MEMBERS:
            self._problems.add("unread", f"only {MAX_MEMBERS} files in tables are read; the others are not")
        else:
            read_member(Source(iter([data])), self._out)
        return True

    def without_file(self, value: bytes) -> bytes:
        """A value whose type is unknown: b'' if it is a file, which is read then; otherwise the value itself."""
        if len(value) < MIN_FILE or text_or_none(value) is not None:
            return value
        return b"" if self.read_file(value) else value
