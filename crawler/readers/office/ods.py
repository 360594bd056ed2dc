"""OpenDocument spreadsheets: the rows of every sheet; repeated cells and rows are bounded."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import Reader
from crawler.readers.core.source import Source
from crawler.readers.core.special_members import ProblemCounter
from crawler.readers.office import odt, office_package
from crawler.readers.office.office_package import Package, Part
from crawler.readers.office.sheet_rows import Row, SheetRows
from crawler.readers.office.sheet_values import plain_number
from crawler.readers.structured.xml_tokens import Token, parse_attributes, root_name, token_blocks, unescape_xml

FORMAT = "ods"

MAX_COLUMN = 16_384
# the same value in more cells, the same row more often than this says nothing new
MAX_REPEATED = 256
_CELLS = (b"table-cell", b"covered-table-cell")
_GROUPING = bytes.maketrans(b".-/", b"   ")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its first part, which says what it is."""
    return office_package.sure(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give the rows of every sheet out, and the text of comments, headers and drawings."""

    def pick(head: bytes, name: str) -> Reader | None:
        is_content = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        if is_content and root_name(as_utf8(head)) == "document-content":
            return _Content("xml")
        return odt.pick(head, name)

    Package(source, out, limits).read(pick)


class _Content(Part):
    """The part with all sheets."""

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Their rows."""
        sheets = _Sheets(out, limits)
        for block in token_blocks(source):
            sheets.take(block)
        sheets.finish()


def _repeated(attrs: dict[bytes, bytes], name: bytes) -> int:
    text = attrs.get(name, b"1")
    # a number of more digits is as large as any
    return max(1, int(text[:9])) if text.isdigit() else 1


class _Sheets:
    """Sheets on their way out."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self._out = out
        self._limits = limits
        self._notes = ProblemCounter()
        self._rows = SheetRows(out, limits)
        self._wide = 0
        self._row: Row = {}
        self._times = 1
        self._column = 0
        self._cell: dict[bytes, bytes] | None = None
        self._lines: list[bytes] = []
        self._line: list[bytes] = []
        self._in_line = 0
        self._note = False

    def take(self, found: Sequence[Token]) -> None:
        """Tags and texts in order."""
        for slash, name, attrs, text in found:
            if text:
                if self._in_line:
                    self._line.append(unescape_xml(text))
                continue
            alone = attrs.endswith(b"/")
            if name in _CELLS:
                self._end_cell()
                if not slash:
                    self._cell = parse_attributes(attrs)
                    if alone:
                        self._end_cell()
            elif name in (b"p", b"h"):
                self._paragraph(bool(slash), alone)
            elif name in (b"s", b"tab") and self._in_line and not slash:
                self._line.append(b" ")
            elif name == b"annotation":
                self._end_line()
                self._note = not slash and not alone
            elif name == b"table-row":
                self._end_row()
                if not slash:
                    self._times = _repeated(parse_attributes(attrs), b"number-rows-repeated")
            elif name == b"table" and not slash:
                self._end_table()

    def finish(self) -> None:
        """The part is over."""
        self._end_table()
        self._notes.report(self._out)
        if self._wide:
            self._out.problem(
                "columns",
                f"{self._wide} rows have more than {self._limits.max_columns} columns; the last holds the rest",
            )

    def _paragraph(self, ends: bool, alone: bool) -> None:
        if not alone:
            self._in_line = max(0, self._in_line + (-1 if ends else 1))
        self._end_line()

    def _end_line(self) -> None:
        if not self._line:
            return
        line = b"".join(self._line)
        self._line.clear()
        if self._cell is not None and not self._note:
            self._lines.append(line)
        else:
            self._out.text(line + b"\n")

    def _end_cell(self) -> None:
        self._end_line()
        self._in_line, self._note = 0, False
        cell, self._cell = self._cell, None
        if cell is None:
            return
        times = _repeated(cell, b"number-columns-repeated")
        value = _shown(cell, b" ".join(self._lines))
        self._lines.clear()
        if value:
            if times > MAX_REPEATED:
                self._notes.add("repeated", f"a cell is repeated more than {MAX_REPEATED} times", incomplete=False)
            for column in range(self._column, min(self._column + min(times, MAX_REPEATED), MAX_COLUMN)):
                self._row[column] = value
            if self._column >= MAX_COLUMN:
                self._row[MAX_COLUMN] = self._row.get(MAX_COLUMN, b"") + b" " + value
        self._column += times

    def _end_row(self) -> None:
        self._end_cell()
        if self._row:
            if self._times > MAX_REPEATED:
                self._notes.add("repeated", f"a row is repeated more than {MAX_REPEATED} times", incomplete=False)
            for _ in range(min(self._times, MAX_REPEATED)):
                self._rows.add(self._row)
            self._row = {}
        self._column, self._times = 0, 1

    def _end_table(self) -> None:
        self._end_row()
        self._rows.flush()
        self._wide += self._rows.wide
        self._rows = SheetRows(self._out, self._limits)


def _shown(cell: dict[bytes, bytes], text: bytes) -> bytes:
    """What a cell shows: its exact value, or its text where that has all digits and more zeros."""
    kind = cell.get(b"value-type", b"")
    if kind in (b"float", b"percentage", b"currency"):
        value = plain_number(cell.get(b"value", b""))
        digits = b"".join(
            text.translate(_GROUPING).replace("\u202f".encode(), b"").replace("\xa0".encode(), b"").split()
        )
        return digits if digits.lstrip(b"0") == value.lstrip(b"0") and value else value or text
    if kind == b"date":
        return cell.get(b"date-value", text).replace(b"T", b" ").removesuffix(b" 00:00:00")
    if kind == b"boolean":
        return cell.get(b"boolean-value", text)
    return text or cell.get(b"string-value", b"")
