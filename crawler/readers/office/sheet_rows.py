"""Writes the cells of a sheet, which may be at any place, as rows of a table without wide gaps.

Only the columns that hold values are output, in the order in which they first occur. So a cell in the last of 16,384
columns does not produce a row of 16,384 cells.
"""

from __future__ import annotations

from collections.abc import Sequence

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output

# rows that are collected before they are output
_MAX_WAITING = 2048
# cells, including empty ones, that are output at once
_MAX_CELLS = 2**20

SheetRow = dict[int, bytes]
"""The values of one row by the columns of the sheet, counted from 0."""


class SheetRows:
    """Writes the rows of one sheet.

    Attributes:
        wide: how many rows have so many columns that their last output column holds several values.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.wide = 0
        self._out = out
        self._most = limits.max_columns
        self._columns: dict[int, int] = {}
        self._waiting: list[list[bytes]] = []
        self._begun = False

    def output_columns(self, columns: Sequence[int]) -> list[int] | None:
        """The output columns of columns of the sheet; None if there are too many columns."""
        for column in columns:
            if column not in self._columns:
                if len(self._columns) >= self._most - 1:
                    return None
                self._columns[column] = len(self._columns)
        return [self._columns[column] for column in columns]

    def add(self, row: SheetRow) -> None:
        """Add one row; a row without values is skipped."""
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
        if len(self._waiting) >= _MAX_WAITING or len(cells) * len(self._waiting) > _MAX_CELLS:
            self.flush()

    def add_columns(self, places: Sequence[int], columns: Sequence[Sequence[bytes]]) -> None:
        """Write many rows, given as columns of equal length; `places` are their output columns (`output_columns`)."""
        self.flush()
        self._begin()
        count = len(columns[0])
        filled: list[Sequence[bytes]] = [[b""] * count] * (max(places) + 1)
        for place, column in zip(places, columns, strict=True):
            filled[place] = column
        self._out.columns(filled)

    def flush(self) -> None:
        """Write the rows that are waiting."""
        if self._waiting:
            self._begin()
            rows, self._waiting = self._waiting, []
            self._out.rows(rows)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._out.header(None)
