"""Tables of a page while they are read: whether they hold data, a form or the page's layout; tags are `html_page`."""

from __future__ import annotations

import re
from collections.abc import Callable

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output

# what a table is, is judged by so many rows, and given out in batches of as many
BATCH = 500
# cells of data are short and hold a line or two
_MAX_CELL, _MAX_LINES = 500, 3
_LONG_SHARE = 0.2
_BREAK = "\x01"
_SPACE = re.compile(r"[ \t\r\n\f\u00a0\x01]+")
_MOST = 2**20


class Table:
    """One table; cells collect words as lists of pieces.

    Attributes:
        cell: the open cell, None between cells. arranges: it only arranges the page: all its cells are text.
    """

    def __init__(self, limits: Limits) -> None:
        self.cell: list[str] | None = None
        self.arranges = False
        self._limits = limits
        self._rows: list[list[str]] = []
        self._row: list[str] | None = None
        self._heads = 0  # header cells of the open row
        self._first_is_head = False
        self._columns: list[str] | None = None
        self._size = 0
        self._begun = False  # rows were collected before
        self._headed = False  # rows went out as a table

    @property
    def is_full(self) -> bool:
        """Whether it is time to give rows out."""
        return len(self._rows) >= BATCH or self._size > _MOST

    def begin_row(self) -> None:
        """A row begins; one that has not ended ends here."""
        self.end_row()
        self._row = []

    def end_row(self) -> None:
        """The open row is over."""
        self.end_cell()
        row, self._row = self._row, None
        if not row:
            return
        if not self._rows and not self._begun:
            self._first_is_head = self._heads == len(row)
        self._heads = 0
        self._rows.append(row)

    def begin_cell(self, *, head: bool, span: int) -> None:
        """A cell begins, over `span` columns."""
        self.end_cell()
        if self._row is None:
            self._row = []
        self._row += [""] * (min(span, self._limits.max_columns) - 1)
        self._heads += span if head else 0
        self.cell = []

    def end_cell(self) -> None:
        """The open cell is over."""
        if self.cell is None or self._row is None:
            return
        text = "".join(self.cell).strip(" \n\x01")
        self.cell = None
        self._size += len(text)
        if len(self._row) < self._limits.max_columns:
            self._row.append(text)
        else:
            self._row[-1] += " " + text

    def clear(self) -> None:
        """The rows were given out."""
        self._begun = self._begun or bool(self._rows)
        self._rows, self._size = [], 0

    def as_text(self, role_of: Callable[[str], str]) -> str:
        """The rows as text, with soft breaks, where they are no table of data; else ''.

        Args:
            role_of: what a word promises as a header: a table of labels and values is a form.
        """
        rows = self._rows
        cells = [cell for row in rows for cell in row if cell]
        if not cells:
            return ""
        if self._headed and not self.arranges:
            return ""
        pairs = [row for row in rows if len(row) == 2]
        if len(pairs) == len(rows) and not self._first_is_head:
            labels = sum(bool(role_of(row[0]) or row[0].rstrip().endswith(":")) for row in pairs)
            if labels * 2 > len(rows) and labels > sum(bool(role_of(row[1])) for row in pairs):
                return _BREAK.join(f"{row[0].rstrip(' :')} : {row[1]}" for row in rows)
        long = sum(len(cell) > _MAX_CELL or cell.count("\n") + cell.count(_BREAK) >= _MAX_LINES for cell in cells)
        single = max(map(len, rows)) == 1
        if self.arranges or single or long > _LONG_SHARE * len(cells):
            return (_BREAK * 3).join((_BREAK * 3 if long else " | ").join(row) for row in rows)
        return ""

    def give_rows(self, out: Output) -> None:
        """Give the rows out as a table; a first row of header cells names the columns."""
        rows = [[_SPACE.sub(" ", cell).strip().encode("utf-8", "replace") for cell in row] for row in self._rows]
        rows = [row for row in rows if any(row)]
        if not rows:
            return
        if not self._headed:
            self._headed = True
            if self._first_is_head and len(rows) > 1:
                self._columns = [cell.decode() for cell in rows.pop(0)]
            out.header(self._columns)
        if self._columns is not None:
            width = max(map(len, rows))
            if width > len(self._columns):
                self._columns += [""] * (width - len(self._columns))
                out.header(self._columns)
            rows = [row + [b""] * (len(self._columns) - len(row)) for row in rows]
        out.rows(rows)
