"""The text of parts of documents: paragraphs as lines, tables as rows, frames of one cell as lines; which parts there are is left to packages.

Word, PowerPoint, drawings in workbooks and OpenDocument call paragraphs and tables alike once prefixes are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office.office_package import Part
from crawler.readers.office.sheet_rows import SheetRows
from crawler.readers.structured.xml_tokens import Token, parse_attributes, token_blocks, unescape_xml

# lines wait for their frame
_WAITING = 65_536
# a cell keeps no more text than this for its row
_MAX_CELL = 65_536
# tables inside tables beyond this are text of the cell they stand in
_MAX_NESTED = 16
_WAITING_ROWS = 4096
_MAX_SPACES = 100

_PARAGRAPHS = frozenset([b"p", b"h", b"comment", b"si", b"threadedComment"])
_TABLES = frozenset([b"tbl", b"table"])
_ROWS = frozenset([b"tr", b"table-row"])
_CELLS = frozenset([b"tc", b"table-cell", b"covered-table-cell"])
_SIGNS = {b"tab": b"\t", b"br": b"\n", b"cr": b"\n", b"line-break": b"\n", b"noBreakHyphen": b"-", b"s": b" "}
# numbers that place pictures, not text
_SKIPPED = frozenset(
    [b"posOffset", b"align", b"pctWidth", b"pctHeight", b"pctPosHOffset", b"pctPosVOffset", b"binData"]
)


class TextPart(Part):
    """A part whose text is what people wrote."""

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Its lines, and the rows of its tables."""
        text = _Text(out, limits)
        for block in token_blocks(source):
            text.take(block)
        text.finish()


@dataclass(slots=True)
class _Table:
    """A table that is open."""

    rows: list[list[bytes]] = field(default_factory=list)
    row: list[bytes] = field(default_factory=list)
    cell: list[bytes] = field(default_factory=list)
    size: int = 0
    begun: SheetRows | None = None


class _Text:
    """Text on its way out."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self._out = out
        self._limits = limits
        self._line: list[bytes] = []
        self._size = 0
        self._ready: list[bytes] = []
        self._have = 0
        self._open = 0
        self._skipping = 0
        self._tables: list[_Table] = []
        self._deeper = 0

    def take(self, found: Sequence[Token]) -> None:
        """Tags and texts in order."""
        for slash, name, attrs, text in found:
            if text:
                if not self._skipping and (self._open or text.strip()):
                    self._add(unescape_xml(text))
            elif attrs.endswith(b"/"):
                if name in _SIGNS:
                    self._sign(name, attrs)
                elif name in _CELLS:
                    self._end_cell()
            elif slash:
                self._closed(name)
            else:
                self._opened(name)

    def finish(self) -> None:
        """The part is over."""
        while self._tables:
            self._end_table()
        self._end_line()
        self._flush()

    def _opened(self, name: bytes) -> None:
        if name in _PARAGRAPHS:
            self._end_line()
            self._open += 1
        elif name in _SIGNS:
            self._sign(name, b"")
        elif name in _SKIPPED:
            self._skipping += 1
        elif name in _TABLES:
            self._end_line()
            if len(self._tables) < _MAX_NESTED:
                self._tables.append(_Table())
            else:
                self._deeper += 1
        elif name in _CELLS and not self._deeper:
            self._end_line()

    def _closed(self, name: bytes) -> None:
        if name in _PARAGRAPHS:
            self._end_line()
            self._open = max(0, self._open - 1)
        elif name in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        elif name in _TABLES:
            self._end_line()
            if self._deeper:
                self._deeper -= 1
            elif self._tables:
                self._end_table()
        elif name in _ROWS and not self._deeper:
            self._end_row()
        elif name in _CELLS and not self._deeper:
            self._end_cell()
        elif not self._open:
            self._end_line()

    def _sign(self, name: bytes, attrs: bytes) -> None:
        if not self._open:
            return
        sign = _SIGNS[name]
        if sign == b"\n":
            self._end_line()
        elif name == b"s":
            count = parse_attributes(attrs).get(b"c", b"1")
            self._add(sign * min(int(count) if count.isdigit() and len(count) < 6 else 1, _MAX_SPACES))
        else:
            self._add(sign)

    def _add(self, text: bytes) -> None:
        self._line.append(text)
        self._size += len(text)
        if self._size > self._limits.max_line:
            self._end_line()

    def _end_line(self) -> None:
        if self._line:
            line = b"".join(self._line)
            self._line.clear()
            self._size = 0
            if line.strip():
                self._put(line)

    def _put(self, line: bytes) -> None:
        """A whole line: into the cell that is open, or out."""
        table = self._tables[-1] if self._tables else None
        if table is not None and table.size + len(line) < _MAX_CELL:
            table.cell.append(line)
            table.size += len(line)
            return
        self._ready.append(line)
        self._have += len(line) + 1
        if self._have > _WAITING:
            self._flush()

    def _end_cell(self) -> None:
        self._end_line()
        if self._tables:
            table = self._tables[-1]
            table.row.append(b"\n".join(table.cell))
            table.cell.clear()
            table.size = 0

    def _end_row(self) -> None:
        self._end_line()
        if not self._tables:
            return
        table = self._tables[-1]
        if table.cell:
            self._end_cell()
        if any(table.row):
            table.rows.append(table.row)
        table.row = []
        if len(table.rows) >= _WAITING_ROWS:
            self._rows(table)

    def _end_table(self) -> None:
        self._end_row()
        table = self._tables.pop()
        if table.begun is None and (len(table.rows) == 1 or all(len(row) == 1 for row in table.rows)):
            # a frame around text
            for row in table.rows:
                for cell in filter(None, row):
                    self._put(cell)
        else:
            self._rows(table)

    def _rows(self, table: _Table) -> None:
        self._flush()
        table.begun = table.begun or SheetRows(self._out, self._limits)
        for row in table.rows:
            table.begun.add(dict(enumerate(row)))
        table.begun.flush()
        table.rows = []

    def _flush(self) -> None:
        if self._ready:
            self._out.text(b"\n".join(self._ready) + b"\n")
            self._ready.clear()
            self._have = 0
