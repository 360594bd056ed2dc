"""Reads the text of a part of a document: paragraphs become lines, tables rows, and tables of one cell or row lines.

Word, PowerPoint, drawings in workbooks and OpenDocument use the same names for paragraphs and tables, apart from their
prefixes. The readers of the formats decide which parts hold text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office.office_package import PackagePart
from crawler.readers.office.sheet_rows import SheetRows
from crawler.readers.structured.xml_tokens import Token, parse_attributes, token_blocks, unescape_xml

# bytes of lines that are collected before they are output
_MAX_WAITING = 65_536
# bytes of text that a cell has in its row; further text is output as lines
_MAX_CELL = 65_536
# the text of tables nested deeper than this belongs to the cell around them
_MAX_NESTED = 16
# rows of a table that are collected before they are output
_MAX_WAITING_ROWS = 4096
_MAX_SPACES = 100

_PARAGRAPHS = frozenset([b"p", b"h", b"comment", b"si", b"threadedComment"])
_TABLES = frozenset([b"tbl", b"table"])
_ROWS = frozenset([b"tr", b"table-row"])
_CELLS = frozenset([b"tc", b"table-cell", b"covered-table-cell"])
_SPACING = {b"tab": b"\t", b"br": b"\n", b"cr": b"\n", b"line-break": b"\n", b"noBreakHyphen": b"-", b"s": b" "}
# elements that hold positions of pictures, or pictures, instead of text
_SKIPPED = frozenset(
    [b"posOffset", b"align", b"pctWidth", b"pctHeight", b"pctPosHOffset", b"pctPosVOffset", b"binData"]
)


class TextPart(PackagePart):
    """Reads a part that holds text that people wrote."""

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Output the lines of the part, and the rows of its tables."""
        reader = _TextReader(out, limits)
        for block in token_blocks(source):
            reader.read_tokens(block)
        reader.finish()


@dataclass(slots=True)
class _Table:
    """An open table.

    Attributes:
        rows: complete rows that wait. row: the cells of the open row. cell: the lines of the open cell.
        cell_size: bytes of these lines.
        writer: writes the rows; None before the first rows are written.
    """

    rows: list[list[bytes]] = field(default_factory=list)
    row: list[bytes] = field(default_factory=list)
    cell: list[bytes] = field(default_factory=list)
    cell_size: int = 0
    writer: SheetRows | None = None


class _TextReader:
    """Reads the tokens of a part and outputs its lines and tables."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self._out = out
        self._limits = limits
        # the texts of the open line, and their bytes
        self._line: list[bytes] = []
        self._size = 0
        # complete lines outside of tables, and their bytes
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._open_paragraphs = 0
        self._open_skipped = 0
        self._tables: list[_Table] = []
        # open tables beyond `_MAX_NESTED`
        self._tables_too_deep = 0

    def read_tokens(self, found: Sequence[Token]) -> None:
        """Read the next tags and texts, in order."""
        for slash, name, attrs, text in found:
            if text:
                if not self._open_skipped and (self._open_paragraphs or text.strip()):
                    self._add_text(unescape_xml(text))
            elif attrs.endswith(b"/"):
                if name in _SPACING:
                    self._add_spacing(name, attrs)
                elif name in _CELLS:
                    self._end_cell()
            elif slash:
                self._close_tag(name)
            else:
                self._open_tag(name)

    def finish(self) -> None:
        """Output the tables and lines that are still open."""
        while self._tables:
            self._end_table()
        self._end_line()
        self._write_lines()

    def _open_tag(self, name: bytes) -> None:
        if name in _PARAGRAPHS:
            self._end_line()
            self._open_paragraphs += 1
        elif name in _SPACING:
            self._add_spacing(name, b"")
        elif name in _SKIPPED:
            self._open_skipped += 1
        elif name in _TABLES:
            self._end_line()
            if len(self._tables) < _MAX_NESTED:
                self._tables.append(_Table())
            else:
                self._tables_too_deep += 1
        elif name in _CELLS and not self._tables_too_deep:
            self._end_line()

    def _close_tag(self, name: bytes) -> None:
        if name in _PARAGRAPHS:
            self._end_line()
            self._open_paragraphs = max(0, self._open_paragraphs - 1)
        elif name in _SKIPPED:
            self._open_skipped = max(0, self._open_skipped - 1)
        elif name in _TABLES:
            self._end_line()
            if self._tables_too_deep:
                self._tables_too_deep -= 1
            elif self._tables:
                self._end_table()
        elif name in _ROWS and not self._tables_too_deep:
            self._end_row()
        elif name in _CELLS and not self._tables_too_deep:
            self._end_cell()
        elif not self._open_paragraphs:
            self._end_line()

    def _add_spacing(self, name: bytes, attrs: bytes) -> None:
        """Add the character that an element such as `tab` stands for; outside of paragraphs it stands for nothing."""
        if not self._open_paragraphs:
            return
        char = _SPACING[name]
        if char == b"\n":
            self._end_line()
        elif name == b"s":
            count = parse_attributes(attrs).get(b"c", b"1")
            self._add_text(char * min(int(count) if count.isdigit() and len(count) < 6 else 1, _MAX_SPACES))
        else:
            self._add_text(char)

    def _add_text(self, text: bytes) -> None:
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
                self._add_line(line)

    def _add_line(self, line: bytes) -> None:
        """Add a complete line to the open cell, or to the lines that wait."""
        table = self._tables[-1] if self._tables else None
        if table is not None and table.cell_size + len(line) < _MAX_CELL:
            table.cell.append(line)
            table.cell_size += len(line)
            return
        self._waiting.append(line)
        self._waiting_size += len(line) + 1
        if self._waiting_size > _MAX_WAITING:
            self._write_lines()

    def _end_cell(self) -> None:
        self._end_line()
        if self._tables:
            table = self._tables[-1]
            table.row.append(b"\n".join(table.cell))
            table.cell.clear()
            table.cell_size = 0

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
        if len(table.rows) >= _MAX_WAITING_ROWS:
            self._write_rows(table)

    def _end_table(self) -> None:
        self._end_row()
        table = self._tables.pop()
        if table.writer is None and (len(table.rows) == 1 or all(len(row) == 1 for row in table.rows)):
            # a table of one row or one column is a frame around text
            for row in table.rows:
                for cell in filter(None, row):
                    self._add_line(cell)
        else:
            self._write_rows(table)

    def _write_rows(self, table: _Table) -> None:
        self._write_lines()
        table.writer = table.writer or SheetRows(self._out, self._limits)
        for row in table.rows:
            table.writer.add(dict(enumerate(row)))
        table.writer.flush()
        table.rows = []

    def _write_lines(self) -> None:
        if self._waiting:
            self._out.text(b"\n".join(self._waiting) + b"\n")
            self._waiting.clear()
            self._waiting_size = 0
