"""Reads OpenDocument spreadsheets: the rows of every sheet, with a bound on repeated cells and rows."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.registry import Reader
from crawler.readers.core.source import Source
from crawler.readers.office import odt, office_package
from crawler.readers.office.office_package import OfficePackage, PackagePart
from crawler.readers.office.sheet_rows import SheetRow, SheetRows
from crawler.readers.office.sheet_values import plain_number
from crawler.readers.structured.xml_tokens import Token, parse_attributes, root_name, token_blocks, unescape_xml

FORMAT = "ods"

MAX_COLUMN = 16_384
# further repetitions of a cell or a row add no information
MAX_REPEATED = 256
_CELLS = (b"table-cell", b"covered-table-cell")
_GROUPING_TO_BLANKS = bytes.maketrans(b".-/", b"   ")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is an OpenDocument spreadsheet, from its first part, which states the media type."""
    return office_package.sniff_document(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the rows of every sheet, and the text of comments, headers and drawings."""
    OfficePackage(source, out, limits).read_parts(_choose_part_reader)


def _choose_part_reader(head: bytes, name: str) -> Reader | None:
    is_xml = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    if is_xml and root_name(as_utf8(head)) == "document-content":
        return _ContentPart("xml")
    return odt.choose_part_reader(head, name)


class _ContentPart(PackagePart):
    """Reads the part that holds all sheets."""

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Output the rows of all sheets."""
        reader = OdsSheetReader(out, limits)
        for block in token_blocks(source):
            reader.read_tokens(block)
        reader.finish()


def _repetitions(attrs: dict[bytes, bytes], name: bytes) -> int:
    text = attrs.get(name, b"1")
    # the first 9 digits of a longer number are already more than any bound
    return max(1, int(text[:9])) if text.isdigit() else 1


class OdsSheetReader:
    """Reads the tokens of all sheets and outputs their rows."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self._out = out
        self._limits = limits
        self._problems = ProblemCounter()
        self._rows = SheetRows(out, limits)
        self._wide = 0
        self._row: SheetRow = {}
        # how often the open row is repeated
        self._row_repetitions = 1
        self._column = 0
        # the attributes of the open cell, its paragraphs so far, and the texts of the open paragraph
        self._cell: dict[bytes, bytes] | None = None
        self._lines: list[bytes] = []
        self._line: list[bytes] = []
        self._open_paragraphs = 0
        self._in_comment = False

    def read_tokens(self, found: Sequence[Token]) -> None:
        """Read the next tags and texts, in order."""
        for slash, name, attrs, text in found:
            if text:
                if self._open_paragraphs:
                    self._line.append(unescape_xml(text))
                continue
            closes_itself = attrs.endswith(b"/")
            if name in _CELLS:
                self._end_cell()
                if not slash:
                    self._cell = parse_attributes(attrs)
                    if closes_itself:
                        self._end_cell()
            elif name in (b"p", b"h"):
                self._begin_or_end_paragraph(bool(slash), closes_itself)
            elif name in (b"s", b"tab") and self._open_paragraphs and not slash:
                self._line.append(b" ")
            elif name == b"annotation":
                self._end_line()
                self._in_comment = not slash and not closes_itself
            elif name == b"table-row":
                self._end_row()
                if not slash:
                    self._row_repetitions = _repetitions(parse_attributes(attrs), b"number-rows-repeated")
            elif name == b"table" and not slash:
                self._end_table()

    def finish(self) -> None:
        """Output the last rows, and report problems."""
        self._end_table()
        self._problems.report(self._out)
        if self._wide:
            columns = self._limits.max_columns
            self._out.problem(
                "columns", f"{self._wide} rows have more than {columns} columns; their last column holds the rest"
            )

    def _begin_or_end_paragraph(self, ends: bool, closes_itself: bool) -> None:
        if not closes_itself:
            self._open_paragraphs = max(0, self._open_paragraphs + (-1 if ends else 1))
        self._end_line()

    def _end_line(self) -> None:
        if not self._line:
            return
        line = b"".join(self._line)
        self._line.clear()
        if self._cell is not None and not self._in_comment:
            self._lines.append(line)
        else:
            self._out.text(line + b"\n")

    def _end_cell(self) -> None:
        self._end_line()
        self._open_paragraphs, self._in_comment = 0, False
        cell, self._cell = self._cell, None
        if cell is None:
            return
        repetitions = _repetitions(cell, b"number-columns-repeated")
        value = _display_value(cell, b" ".join(self._lines))
        self._lines.clear()
        if value:
            if repetitions > MAX_REPEATED:
                self._problems.add("repeated", f"a cell is repeated more than {MAX_REPEATED} times", incomplete=False)
            for column in range(self._column, min(self._column + min(repetitions, MAX_REPEATED), MAX_COLUMN)):
                self._row[column] = value
            if self._column >= MAX_COLUMN:
                self._row[MAX_COLUMN] = self._row.get(MAX_COLUMN, b"") + b" " + value
        self._column += repetitions

    def _end_row(self) -> None:
        self._end_cell()
        if self._row:
            if self._row_repetitions > MAX_REPEATED:
                self._problems.add("repeated", f"a row is repeated more than {MAX_REPEATED} times", incomplete=False)
            for _ in range(min(self._row_repetitions, MAX_REPEATED)):
                self._rows.add(self._row)
            self._row = {}
        self._column, self._row_repetitions = 0, 1

    def _end_table(self) -> None:
        self._end_row()
        self._rows.flush()
        self._wide += self._rows.wide
        self._rows = SheetRows(self._out, self._limits)


def _display_value(cell: dict[bytes, bytes], text: bytes) -> bytes:
    """The exact value of a cell; of a number, its text if that has the same digits with more leading zeros."""
    kind = cell.get(b"value-type", b"")
    if kind in (b"float", b"percentage", b"currency"):
        value = plain_number(cell.get(b"value", b""))
        digits = b"".join(
            text.translate(_GROUPING_TO_BLANKS).replace("\u202f".encode(), b"").replace("\xa0".encode(), b"").split()
        )
        return digits if digits.lstrip(b"0") == value.lstrip(b"0") and value else value or text
    if kind == b"date":
        return cell.get(b"date-value", text).replace(b"T", b" ").removesuffix(b" 00:00:00")
    if kind == b"boolean":
        return cell.get(b"boolean-value", text)
    return text or cell.get(b"string-value", b"")
