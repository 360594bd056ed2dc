"""Spreadsheets that are text: flat OpenDocument (.fods), Gnumeric, SYLK (.slk), whose cells tell their places, and DIF."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crawler.readers.core.encoding import Lines, as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office.ods import MAX_COLUMN, OdsSheetReader
from crawler.readers.office.sheet_rows import SheetRow, SheetRows
from crawler.readers.structured.xml_tokens import parse_attributes, root_name, token_blocks, unescape_xml

_FLAT_SHEET = b"oasis.opendocument.spreadsheet"
_SYLK_FIELD = re.compile(rb";([A-Z])((?:;;|[^;])*)")
_SYLK_BEGIN = b"ID;P"
_DIF_BEGIN = re.compile(
    rb"TABLE\s*\n0,\d+\s*\n\"[^\n]*\"\s*\n(?:VECTORS|TUPLES|LABEL|DATA|COMMENT|SIZE|UNITS|PERIODICITY)\s*\n"
)
_DIF_NUMBER = re.compile(rb"\s*(-?\d)\s*,\s*([^\s]*)\s*")


class _PlacedCells:
    """Rows of a sheet whose cells tell their places; a row is sent when a cell of another one comes."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self._rows = SheetRows(out, limits)
        self._out = out
        self._limits = limits
        self._row: SheetRow = {}
        self._number = -1

    def add(self, row: int, column: int, value: bytes) -> None:
        """Add a cell."""
        if row != self._number:
            self._end_row()
            self._number = row
        if value and 0 <= column < MAX_COLUMN:
            self._row[column] = value

    def _end_row(self) -> None:
        if self._row:
            self._rows.add(self._row)
        self._row = {}

    def finish(self) -> None:
        """Send the last row."""
        self._end_row()
        self._rows.flush()
        if self._rows.wide:
            columns = self._limits.max_columns
            self._out.problem(
                "columns", f"{self._rows.wide} rows have more than {columns} columns; their last column holds the rest"
            )


@dataclass(frozen=True)
class _FlatSheet:
    """OpenDocument in one file of XML."""

    FORMAT: str = "fods"
    EMBEDDED_SEARCH: str = "all"

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """Nearly sure by the root and the media type."""
        is_sheet = _FLAT_SHEET in head and root_name(as_utf8(head)) == "document"
        return 0.97 if is_sheet else 0.0

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Send the rows of all sheets."""
        reader = OdsSheetReader(out, limits)
        for block in token_blocks(source):
            reader.read_tokens(block)
        reader.finish()


@dataclass(frozen=True)
class _Gnumeric:
    """Gnumeric's own format, which is mostly compressed by gzip."""

    FORMAT: str = "gnumeric"
    EMBEDDED_SEARCH: str = "all"

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """Nearly sure by the name space."""
        return 0.97 if b"gnumeric.org/" in head and root_name(as_utf8(head)) == "Workbook" else 0.0

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Send the cells of all sheets as rows, other texts as text."""
        cells: _PlacedCells | None = None
        place: tuple[int, int] | None = None
        texts: list[bytes] = []
        for block in token_blocks(source):
            for slash, name, attrs, text in block:
                if text:
                    if place is not None:
                        texts.append(unescape_xml(text))
                    elif words := unescape_xml(text).strip():
                        out.text(words + b"\n")
                elif name == b"Cell" and slash:
                    if place is not None and cells is not None:
                        cells.add(*place, b"".join(texts))
                    place = None
                elif name == b"Cell":
                    given = parse_attributes(attrs)
                    row, column = given.get(b"Row", b""), given.get(b"Col", b"")
                    texts = []
                    if row.isdigit() and column.isdigit() and not attrs.endswith(b"/"):
                        place = int(row[:9]), int(column[:9])
                elif name == b"Cells":
                    if cells is not None:
                        cells.finish()
                    cells = None if slash else _PlacedCells(out, limits)
        if cells is not None:
            cells.finish()


@dataclass(frozen=True)
class _Sylk:
    """Microsoft's symbolic link format."""

    FORMAT: str = "sylk"
    EMBEDDED_SEARCH: str = "all"

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """High by its first record."""
        return 0.95 if as_utf8(head[:4096]).lstrip(b"\xef\xbb\xbf").startswith(_SYLK_BEGIN) else 0.0

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Send the cells as rows; formulas and names are text."""
        cells = _PlacedCells(out, limits)
        row = column = 0
        lines = Lines(source, limits.max_line)
        for block in lines.blocks():
            for line in block.split(b"\n"):
                kind = line[:1]
                if kind not in (b"C", b"F") or line[1:2] != b";":
                    if b";K" in line or b";N" in line:
                        out.text(line.replace(b";", b" ") + b"\n")
                    continue
                for field, value in _SYLK_FIELD.findall(line[1:].rstrip(b"\r")):
                    if field == b"Y" and value.isdigit():
                        row = int(value[:9])
                    elif field == b"X" and value.isdigit():
                        column = int(value[:9])
                    elif field == b"K" and kind == b"C":
                        cells.add(row, column - 1, value.replace(b";;", b";").strip(b'"'))
                    elif field == b"A":
                        # a comment
                        out.text(value.replace(b";;", b";") + b"\n")
        cells.finish()
        if lines.cut:
            out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


@dataclass(frozen=True)
class _Dif:
    """Data Interchange Format: the cells of each row one after another, two lines each."""

    FORMAT: str = "dif"
    EMBEDDED_SEARCH: str = "all"

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """High by its first record."""
        return 0.95 if _DIF_BEGIN.match(as_utf8(head[:4096]).lstrip(b"\xef\xbb\xbf")) else 0.0

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Send the cells as rows; the headers before them are text."""
        cells = _PlacedCells(out, limits)
        row, column = -1, 0
        value, in_data = b"", False
        number: tuple[bytes, bytes] | None = None
        header: list[bytes] = []
        lines = Lines(source, limits.max_line)
        for block in lines.blocks():
            for line in block.split(b"\n"):
                line = line.rstrip(b"\r")
                if not in_data:
                    header.append(line)
                    in_data = header[-3:-2] == [b"DATA"]
                elif number is None:
                    found = _DIF_NUMBER.fullmatch(line)
                    if found is None:
                        if line.strip():
                            out.text(line + b"\n")
                        continue
                    number = found[1], found[2]
                else:
                    kind, given = number
                    number = None
                    if kind == b"-1":
                        row, column = row + (line.strip() == b"BOT"), 0
                        continue
                    value = given if kind == b"0" else line
                    if value.startswith(b'"') and value.endswith(b'"') and len(value) > 1:
                        value = value[1:-1].replace(b'""', b'"')
                    cells.add(row, column, value)
                    column += 1
        cells.finish()
        if words := [line for line in header if line.strip(b'"-0123456789, ')]:
            out.text(b"\n".join(words) + b"\n")
        if not in_data:
            out.problem("cut", "the table ends before its rows", incomplete=True)
        if lines.cut:
            out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


READERS = (_FlatSheet(), _Gnumeric(), _Sylk(), _Dif())
