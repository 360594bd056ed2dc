"""Tables of a SQL dump on their way to row frames: few headers, full batches, valid UTF-8; parsing is left to others."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import MAX_ROWS, MAX_VALUES, Limits
from crawler.readers.core.output import Output

# the record pass judges what a column holds by the first rows of a batch: rows of tables that take turns are kept back
# until there are enough of them, within these bounds
MAX_WAITING = 2**22
MAX_TABLES = 64
# a value above this size goes out as text, and its beginning stays in the row
MAX_CELL = 2**18


class Rows:
    """Rows of one table that wait."""

    def __init__(self, columns: tuple[str, ...] | None, width: int) -> None:
        self.columns = columns
        self.width = width
        self.count = 0
        self.cells: list[list[bytes]] = [[] for _ in range(width)]


class Tables:
    """The tables of one dump.

    Attributes:
        wide: rows with more columns than the limit.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.wide = 0
        self._waiting: dict[tuple[bytes, tuple[str, ...] | None, int], Rows] = {}
        self._size = 0
        self._open: tuple[bytes, tuple[str, ...] | None, int] | None = None

    def add(self, table: bytes, names: Sequence[str] | None, columns: list[Sequence[bytes]], size: int) -> None:
        """Take rows, given by column.

        Args:
            table: its name.
            names: of its columns, as far as they are known.
            columns: of equal length.
            size: bytes of the dump that they were read from.
        """
        if len(columns) > self.limits.max_columns:
            most = self.limits.max_columns - 1
            self.wide += len(columns[0])
            columns = [*columns[:most], [b",".join(rest) for rest in zip(*columns[most:], strict=True)]]
        width = len(columns)
        known = _fitting(names, width)
        key = table, known, width
        waiting = self._waiting.get(key)
        if waiting is None:
            if len(self._waiting) >= MAX_TABLES:
                self.flush()
            waiting = self._waiting[key] = Rows(known, width)
        for cells, more in zip(waiting.cells, columns, strict=True):
            cells.extend(more)
        waiting.count += len(columns[0])
        self._size += size
        if waiting.count >= MAX_ROWS:
            self._give(key)
        if self._size > MAX_WAITING:
            self.flush()

    def flush(self) -> None:
        """Give out all that waits."""
        for key in list(self._waiting):
            self._give(key)
        self._size = 0

    def _give(self, key: tuple[bytes, tuple[str, ...] | None, int]) -> None:
        rows = self._waiting.pop(key)
        if key != self._open:
            self._open = key
            self.out.header(rows.columns)
        columns = [self._column(cells) for cells in rows.cells]
        if sum(sum(map(len, column)) for column in columns) > MAX_VALUES:
            self._shorten(columns)
        self.out.columns(columns)

    @staticmethod
    def _column(cells: list[bytes]) -> list[bytes]:
        text = b"\n".join(cells)
        repaired = repair(text)
        if repaired == text:
            return cells
        # a value that is no UTF-8 is repaired by itself, and lines are what is
        whole = text.count(b"\n") == len(cells) - 1
        return repaired.split(b"\n") if whole else [repair(cell) for cell in cells]

    def _shorten(self, columns: list[list[bytes]]) -> None:
        """Keep rows within what a frame may hold."""
        for row in range(len(columns[0])):
            size = sum(len(column[row]) for column in columns)
            most = MAX_CELL if size <= MAX_VALUES else min(MAX_CELL, MAX_VALUES // len(columns))
            if size <= most:
                continue
            for column in columns:
                cell = column[row]
                if len(cell) > most:
                    self.out.text(cell + b"\n")
                    # never in the middle of a letter
                    column[row] = cell[:most].decode("utf-8", "ignore").encode()


def _fitting(names: Sequence[str] | None, width: int) -> tuple[str, ...] | None:
    """Names for so many columns: too few or too many of them mean that the rows are not what was announced."""
    if names is None:
        return None
    return tuple(names) if len(names) == width else None
