"""Reads the cells of a sheet of an Office Open XML workbook as rows; `xlsx` handles strings, styles and parts.

Sheets are read in blocks of whole rows. Programs write nearly all rows in one regular form; one regular expression
matches all rows of such a block and captures their values by column. Any other block, including damaged ones, is read
tag by tag.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office.sheet_rows import SheetRow, SheetRows
from crawler.readers.office.sheet_values import PLAIN_STYLE, NumberFormatter, unescape_characters
from crawler.readers.structured.xml_tokens import Token, parse_attributes, split_blocks, tokenize, unescape_xml

MAX_COLUMN = 16_384
# blocks with more columns are read tag by tag, because the regular expression grows with each column
_MAX_REGULAR_COLUMNS = 64
# after more irregular blocks than this, a sheet is read tag by tag to its end
_MAX_IRREGULAR_BLOCKS = 16
_COLUMN_LETTERS = re.compile(rb"<(?:[^\s<>:/\"'=]*:)?c r=\"([A-Z]{1,3})[0-9]")
_CELL_REFERENCE = re.compile(rb"\s*([A-Za-z]{1,3})[0-9]{1,9}\s*$")
_PREFIX = re.compile(rb"<([^\s<>:/\"'=?!]+:)?worksheet[\s>]")
_BOOLEANS = {b"0": b"false", b"1": b"true"}
# types of cells
_NUMERIC = frozenset([b"", b"n"])
_TEXT = frozenset([b"str", b"inlineStr"])


class SharedStrings:
    """The shared strings of a workbook.

    Attributes:
        values: the strings by index.
        missing: how many cells refer to a string that is missing.
    """

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.missing = 0

    def get(self, index: bytes) -> bytes:
        """The string with this index, as written in a cell; b'' if it is missing."""
        if index.isdigit() and len(index) < 12 and int(index) < len(self.values):
            return self.values[int(index)]
        self.missing += 1
        return b""

    def get_all(self, indexes: Sequence[bytes]) -> list[bytes]:
        """As `get` for many indexes."""
        # only digits: a negative index would count from the end of the list
        if b"".join(indexes).isdigit():
            try:
                return list(map(self.values.__getitem__, map(int, indexes)))
            except (IndexError, ValueError):
                pass
        return list(map(self.get, indexes))


def column_number(letters: bytes) -> int:
    """The number of a column from its letters: 0 for A, 16383 for XFD."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number - 1


class SheetReader:
    """Reads the cells of one sheet and outputs its rows."""

    def __init__(self, out: Output, limits: Limits, strings: SharedStrings, numbers: NumberFormatter) -> None:
        self.rows = SheetRows(out, limits)
        self._strings = strings
        self._numbers = numbers
        self._prefix = b""
        self._end = b""
        self._irregular_blocks = 0
        # the letters of all columns of the sheet so far
        self._columns: list[bytes] = []
        self._cells = _TagReader(self.rows, strings, numbers)

    def read(self, source: Source) -> None:
        """Output all rows of the sheet."""
        found = _PREFIX.search(as_utf8(source.peek(8192)))
        self._prefix = (found[1] if found else None) or b""
        self._end = b"</" + self._prefix + b"row>"
        for block in split_blocks(source, self._end):
            self._read_block(block)
        self._cells.finish()
        self.rows.flush()

    def _read_block(self, block: bytes) -> None:
        start = max(0, block.find(b"<" + self._prefix + b"row"))
        stop = block.rfind(self._end) + len(self._end)
        if stop > start and not self._cells.row_is_open:
            self._cells.read_tokens(tokenize(block[:start]))
            if not self._read_regular_rows(block[start:stop]):
                self._cells.read_tokens(tokenize(block[start:stop]))
            block = block[stop:]
        self._cells.read_tokens(tokenize(block))

    def _read_regular_rows(self, block: bytes) -> bool:
        """Output the rows of a block and return True if all have the regular form; otherwise only return False."""
        if self._irregular_blocks > _MAX_IRREGULAR_BLOCKS:
            return False
        # first try the columns known so far, then add the columns that occur in this block
        for columns in (self._columns, None):
            if columns is None:
                columns = sorted({*_COLUMN_LETTERS.findall(block), *self._columns}, key=column_number)
                if columns == self._columns:
                    break
                self._columns = columns
            if not 0 < len(columns) <= _MAX_REGULAR_COLUMNS:
                continue
            found = _regular_row(self._prefix, tuple(columns)).findall(block)
            if sum(map(len, map(itemgetter(0), found))) == len(block):
                return self._write_columns(list(zip(*found, strict=True)), b"&" in block or b"_x" in block)
        self._irregular_blocks += 1
        return False

    def _write_columns(self, found: Sequence[Sequence[bytes]], escaped: bool) -> bool:
        places = self.rows.output_columns([column_number(letters) for letters in self._columns])
        if places is None:
            return False
        values = [self._display_column(found[at : at + 3], escaped) for at in range(1, len(found), 3)]
        self.rows.add_columns(places, values)
        return True

    def _display_column(self, found: Sequence[Sequence[bytes]], escaped: bool) -> Sequence[bytes]:
        styles, types, values = found
        kinds = set(types)
        if kinds == {b"s"}:
            return self._strings.get_all(values)
        if kinds <= _NUMERIC:
            number_styles = {self._numbers.style_at(style) for style in set(styles)}
            if len(number_styles) == 1:
                return self._numbers.format_column(values, number_styles.pop())
        elif kinds <= _TEXT:
            if escaped and _may_be_escaped(values):
                return [unescape_characters(unescape_xml(value)) for value in values]
            return values
        display = self._cells.display_value
        return [
            display(kind, style, value) if value else b""
            for style, kind, value in zip(styles, types, values, strict=True)
        ]


def _may_be_escaped(values: Sequence[bytes]) -> bool:
    """Whether any of the values may hold references or escapes."""
    joined = b"".join(values)
    return b"&" in joined or b"_x" in joined


@lru_cache(maxsize=8)
def _regular_row(prefix: bytes, columns: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """A pattern that matches a row with cells in these columns, in order.

    It captures the whole row, and then the style, the type and the value of each cell.
    """
    p = re.escape(prefix)
    cell = (
        rb"(?:<%(p)sc r=\"%(letters)s[0-9]+\"(?: s=\"([0-9]+)\")?(?: t=\"([A-Za-z]+)\")?"
        rb"(?:/>|>(?:<%(p)sf[^<>]*(?:/>|>[^<]*</%(p)sf>))?"
        rb"(?:<%(p)s(?:v|is><%(p)st)(?: xml:space=\"preserve\")?>([^<]*)</%(p)s(?:v|t></%(p)sis)>|<%(p)sv/>)?"
        rb"</%(p)sc>))?"
    )
    cells = b"".join(cell % {b"p": p, b"letters": letters} for letters in columns)
    return re.compile(rb"(<%(p)srow(?: [^<>/]*)?>%(cells)s</%(p)srow>\s*)" % {b"p": p, b"cells": cells})


class _TagReader:
    """Reads cells tag by tag and outputs their rows.

    Attributes:
        row_is_open: a row has begun and not ended.
    """

    def __init__(self, rows: SheetRows, strings: SharedStrings, numbers: NumberFormatter) -> None:
        self.row_is_open = False
        self._rows = rows
        self._strings = strings
        self._numbers = numbers
        self._row: SheetRow = {}
        self._column = -1
        self._style = b""
        self._type = b""
        self._value: list[bytes] = []
        self._in_value = False

    def read_tokens(self, found: Sequence[Token]) -> None:
        """Read the next tags and texts, in order."""
        for slash, name, attrs, text in found:
            if text:
                if self._in_value:
                    self._value.append(text)
            elif name in (b"v", b"t"):
                self._in_value = not slash and not attrs.endswith(b"/")
            elif name == b"c":
                self._end_cell()
                if not slash:
                    self._begin_cell(attrs)
            elif name == b"row":
                self.finish()
                self.row_is_open = not slash and not attrs.endswith(b"/")

    def _begin_cell(self, attrs: bytes) -> None:
        found = parse_attributes(attrs)
        reference = _CELL_REFERENCE.match(found.get(b"r", b""))
        self._column = column_number(reference[1]) if reference else self._column + 1
        self._style, self._type = found.get(b"s", b""), found.get(b"t", b"")

    def _end_cell(self) -> None:
        if self._value:
            raw = b"".join(self._value)
            self._value.clear()
            value = self.display_value(self._type, self._style, raw.strip() if self._type not in _TEXT else raw)
            if self._column in self._row:
                # two cells with one reference: keep both values
                value = self._row[self._column] + b" " + value
            self._row[self._column] = value
        self._in_value = False

    def finish(self) -> None:
        """Output the open row, if there is one."""
        self._end_cell()
        if self._row:
            self._rows.add(self._row)
            self._row = {}
        self._column = -1
        self.row_is_open = False

    def display_value(self, kind: bytes, style: bytes, value: bytes) -> bytes:
        """The value of a cell as the cell displays it."""
        if kind == b"s":
            return self._strings.get(value)
        if kind in (b"", b"n"):
            number_style = self._numbers.style_at(style) if style.isdigit() else PLAIN_STYLE
            return self._numbers.format_number(value, number_style)
        if kind == b"b":
            return _BOOLEANS.get(value, value)
        if kind == b"d":
            return value.replace(b"T", b" ").removesuffix(b" 00:00:00")
        return unescape_characters(unescape_xml(value))
