"""Tables of an HTML page: collects their rows and decides whether they hold data, a form or the page's layout.

`html_page` reads the tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output

# The kind of a table is decided from this many rows, and its rows are sent in batches of this size.
BATCH_ROWS = 500
# Cells of data are short and have one or two lines; a table with a larger share of longer cells is layout.
_MAX_CELL, _MAX_LINES = 500, 3
_LONG_SHARE = 0.2
_BREAK = "\x01"
_SPACE = re.compile(r"[ \t\r\n\f\u00a0\x01]+")
_SPACE_TO_MEND = re.compile(r"[\t\r\n\f\u00a0\x01]|  ")
_MAX_PENDING_CHARS = 2**20


class HtmlTable:
    """Collects the rows of one table while the page is read.

    Attributes:
        cell: pieces of the text of the open cell; None between cells.
        cell_size: characters of the open cell.
        is_layout: whether the table only arranges the layout of the page; its cells are then sent as text.
    """

    def __init__(self, limits: Limits) -> None:
        self.cell: list[str] | None = None
        self.cell_size = 0
        self.is_layout = False
        self._limits = limits
        self._rows: list[list[str]] = []
        self._row: list[str] | None = None
        self._beyond: list[str] = []  # cells of the open row beyond the last column
        self._row_size = 0
        self._header_cells = 0  # of the open row
        self._first_is_header = False
        self._columns: list[str] | None = None
        self._size = 0
        self._had_rows = False  # rows were collected and sent before
        self._sent_header = False  # rows were sent as a table

    @property
    def is_full(self) -> bool:
        """Whether the collected rows should be sent."""
        return len(self._rows) >= BATCH_ROWS or self._size > _MAX_PENDING_CHARS

    @property
    def is_cell_long(self) -> bool:
        """Whether the open cell is longer than any cell of data: it holds the page, or its end is missing."""
        return self.cell_size > _MAX_PENDING_CHARS

    @property
    def is_row_long(self) -> bool:
        """Whether the open row is longer than any row of data, and should be ended: its end may be missing."""
        return self._row_size > _MAX_PENDING_CHARS

    def begin_row(self) -> None:
        """Begin a row, and end the open one if it has not ended."""
        self.end_row()
        self._row = []

    def end_row(self) -> None:
        """End the open row."""
        self.end_cell()
        row, self._row = self._row, None
        beyond, self._beyond, self._row_size = self._beyond, [], 0
        if not row:
            return
        if beyond:
            row[-1] = " ".join([row[-1], *beyond])
        if not self._rows and not self._had_rows:
            self._first_is_header = self._header_cells == len(row)
        self._header_cells = 0
        self._rows.append(row)

    def add_row(self, cells: list[str], header_cells: int) -> None:
        """Add a whole row, and end the open one; so many of its cells are header cells."""
        self.begin_row()
        if len(cells) > self._limits.max_columns:
            most = self._limits.max_columns - 1
            cells = [*cells[:most], " ".join(cells[most:])]
        self._row, self._header_cells = cells, header_cells
        self._size += sum(map(len, cells))
        self.end_row()

    def begin_cell(self, *, head: bool, span: int) -> None:
        """Begin a cell that spans `span` columns; `head` if it is a header cell."""
        self.end_cell()
        if self._row is None:
            self._row = []
        self._row += [""] * (min(span, self._limits.max_columns) - 1)
        self._header_cells += span if head else 0
        self.cell, self.cell_size = [], 0

    def end_cell(self) -> None:
        """End the open cell."""
        if self.cell is None or self._row is None:
            return
        text = "".join(self.cell).strip(" \n\x01")
        self.cell = None
        self._size += len(text) + 1
        self._row_size += len(text) + 1
        if len(self._row) < self._limits.max_columns:
            self._row.append(text)
        else:
            # joined when the row ends: a string that grows with each of a million cells is copied a million times
            self._beyond.append(text)

    def clear(self) -> None:
        """Forget the collected rows, which were sent."""
        self._had_rows = self._had_rows or bool(self._rows)
        self._rows, self._size = [], 0

    def as_text(self, role_of: Callable[[str], str]) -> str:
        """The rows as text, with block boundaries, if they are no table of data; else ''.

        Args:
            role_of: the column role that a header word announces, or ''. With it a form, which is a table of labels and
                values, is recognised.
        """
        rows = self._rows
        if self._sent_header and not self.is_layout:
            return ""
        cells = [cell for row in rows for cell in row if cell]
        if not cells:
            return ""
        pairs = [row for row in rows if len(row) == 2]
        if len(pairs) == len(rows) and not self._first_is_header:
            labels = sum(bool(role_of(row[0]) or row[0].rstrip().endswith(":")) for row in pairs)
            if labels * 2 > len(rows) and labels > sum(bool(role_of(row[1])) for row in pairs):
                return _BREAK.join(f"{row[0].rstrip(' :')} : {row[1]}" for row in rows)
        long = sum(len(cell) > _MAX_CELL or cell.count("\n") + cell.count(_BREAK) >= _MAX_LINES for cell in cells)
        single = max(map(len, rows)) == 1
        if self.is_layout or single or long > _LONG_SHARE * len(cells):
            return (_BREAK * 3).join((_BREAK * 3 if long else " | ").join(row) for row in rows)
        return ""

    def send_rows(self, out: Output) -> None:
        """Send the rows as a table; a first row of header cells names the columns."""
        kept = self._rows
        if any(_SPACE_TO_MEND.search("".join(row)) for row in kept):
            kept = [[_SPACE.sub(" ", cell) for cell in row] for row in kept]
        rows = [[cell.strip().encode("utf-8", "replace") for cell in row] for row in kept]
        rows = [row for row in rows if any(row)]
        if not rows:
            return
        if not self._sent_header:
            self._sent_header = True
            if self._first_is_header and len(rows) > 1:
                self._columns = [cell.decode() for cell in rows.pop(0)]
            out.header(self._columns)
        if self._columns is not None:
            width = max(map(len, rows))
            if width > len(self._columns):
                self._columns += [""] * (width - len(self._columns))
                out.header(self._columns)
            rows = [row + [b""] * (len(self._columns) - len(row)) for row in rows]
        out.rows(rows)
