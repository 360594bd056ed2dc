"""Rows of cells that stand anywhere in a sheet, as rows of a table: columns are numbered as they come, so that width costs nothing.

A cell in the last of 16,384 columns makes no row of 16,384 cells.
"""

from __future__ import annotations

from collections.abc import Sequence

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output

# rows that wait for their frame
_WAITING = 2048
# cells, empty ones included, that are laid out at once
_MAX_AREA = 2**20

Row = dict[int, bytes]


class SheetRows:
    """The rows of one sheet on their way out.

    Attributes:
        wide: rows whose values do not all have a column of their own, for there are too many columns.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.wide = 0
        self._out = out
        self._most = limits.max_columns
        self._columns: dict[int, int] = {}
        self._waiting: list[list[bytes]] = []
        self._begun = False

    def places(self, columns: Sequence[int]) -> list[int] | None:
        """Where columns of the sheet stand in rows that go out; None where there are too many."""
        for column in columns:
            if column not in self._columns:
                if len(self._columns) >= self._most - 1:
                    return None
                self._columns[column] = len(self._columns)
        return [self._columns[column] for column in columns]

    def add(self, row: Row) -> None:
        """One row by columns of the sheet; nothing for a row without values."""
        places: dict[int, bytes] = {}
        rest: list[bytes] = []
        for column, value in row.items():
            if not value:
                continue
            place = self._columns.get(column)
            if place is None:
                if len(self._columns) >= self._most - 1:
                    rest.append(value)
                    continue
                place = self._columns[column] = len(self._columns)
            places[place] = value
        if rest:
            places[self._most - 1] = b" ".join(rest)
            self.wide += len(rest) > 1
        if not places:
            return
        cells = [b""] * (max(places) + 1)
        for place, value in places.items():
            cells[place] = value
        self._waiting.append(cells)
        if len(self._waiting) >= _WAITING or len(cells) * len(self._waiting) > _MAX_AREA:
            self.flush()

    def whole(self, places: Sequence[int], columns: Sequence[Sequence[bytes]]) -> None:
        """Many rows by column, the columns where `places` says."""
        self.flush()
        self._begin()
        count = len(columns[0])
        filled: list[Sequence[bytes]] = [[b""] * count] * (max(places) + 1)
        for place, column in zip(places, columns, strict=True):
            filled[place] = column
        self._out.columns(filled)

    def flush(self) -> None:
        """Give out what waits."""
        if self._waiting:
            self._begin()
            rows, self._waiting = self._waiting, []
            self._out.rows(rows)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._out.header(None)
