"""The cells of a sheet of an Office Open XML workbook as rows; strings, styles and parts are left to the workbook.

Sheets are read in blocks of whole rows. Nearly all blocks have one shape, which one expression tells and takes apart by
column; any other block, damaged ones too, is read tag by tag.
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
from crawler.readers.office.sheet_rows import Row, SheetRows
from crawler.readers.office.sheet_values import PLAIN, Numbers, unescaped
from crawler.readers.structured.xml_tokens import parse_attributes, split_blocks, tokenize, unescape_xml

MAX_COLUMN = 16_384
# wider blocks are read tag by tag: the expression grows with each column
_MAX_SHAPE = 64
# a sheet with more blocks of other shapes is read tag by tag to its end
_MAX_MISSES = 16
_LETTERS = re.compile(rb"<(?:[^\s<>:/\"'=]*:)?c r=\"([A-Z]{1,3})[0-9]")
_PLACE = re.compile(rb"\s*([A-Za-z]{1,3})[0-9]{1,9}\s*$")
_PREFIX = re.compile(rb"<([^\s<>:/\"'=?!]+:)?worksheet[\s>]")
_TRUTH = {b"0": b"false", b"1": b"true"}
_NUMERIC = frozenset([b"", b"n"])
_TEXT = frozenset([b"str", b"inlineStr"])


class Strings:
    """The shared strings of a workbook.

    Attributes:
        values: by index. missing: cells that name a string that is not there.
    """

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.missing = 0

    def get(self, index: bytes) -> bytes:
        """The string that a cell names, '' where there is none."""
        if index.isdigit() and len(index) < 12 and int(index) < len(self.values):
            return self.values[int(index)]
        self.missing += 1
        return b""

    def all(self, indexes: Sequence[bytes]) -> list[bytes]:
        """As `get` for many."""
        # a minus sign would count from the end
        if b"".join(indexes).isdigit():
            try:
                return list(map(self.values.__getitem__, map(int, indexes)))
            except (IndexError, ValueError):
                pass
        return list(map(self.get, indexes))


def column_number(letters: bytes) -> int:
    """0 for A, 16383 for XFD."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number - 1


class SheetReader:
    """The cells of one sheet."""

    def __init__(self, out: Output, limits: Limits, strings: Strings, numbers: Numbers) -> None:
        self.rows = SheetRows(out, limits)
        self._strings = strings
        self._numbers = numbers
        self._prefix = b""
        self._end = b""
        self._misses = 0
        self._known: list[bytes] = []
        self._cells = _Cells(self.rows, strings, numbers)

    def read(self, source: Source) -> None:
        """All rows."""
        found = _PREFIX.search(as_utf8(source.peek(8192)))
        self._prefix = (found[1] if found else None) or b""
        self._end = b"</" + self._prefix + b"row>"
        for block in split_blocks(source, self._end):
            self._block(block)
        self._cells.finish()
        self.rows.flush()

    def _block(self, block: bytes) -> None:
        start = max(0, block.find(b"<" + self._prefix + b"row"))
        stop = block.rfind(self._end) + len(self._end)
        if stop > start and not self._cells.open:
            self._cells.take(tokenize(block[:start]))
            if not self._by_shape(block[start:stop]):
                self._cells.take(tokenize(block[start:stop]))
            block = block[stop:]
        self._cells.take(tokenize(block))

    def _by_shape(self, block: bytes) -> bool:
        """Give out the rows of a block of the usual shape; False if it has another."""
        if self._misses > _MAX_MISSES:
            return False
        for shape in (self._known, None):
            if shape is None:
                shape = sorted({*_LETTERS.findall(block), *self._known}, key=column_number)
                if shape == self._known:
                    break
                self._known = shape
            if not 0 < len(shape) <= _MAX_SHAPE:
                continue
            found = _shape(self._prefix, tuple(shape)).findall(block)
            if sum(map(len, map(itemgetter(0), found))) == len(block):
                return self._columns(list(zip(*found, strict=True)), b"&" in block or b"_x" in block)
        self._misses += 1
        return False

    def _columns(self, found: Sequence[Sequence[bytes]], escaped: bool) -> bool:
        places = self.rows.places([column_number(letters) for letters in self._known])
        if places is None:
            return False
        values = [self._column(found[at : at + 3], escaped) for at in range(1, len(found), 3)]
        self.rows.whole(places, values)
        return True

    def _column(self, found: Sequence[Sequence[bytes]], escaped: bool) -> Sequence[bytes]:
        styles, types, values = found
        kinds = set(types)
        if kinds == {b"s"}:
            return self._strings.all(values)
        if kinds <= _NUMERIC:
            shown_as = {self._numbers.style(style) for style in set(styles)}
            if len(shown_as) == 1:
                return self._numbers.column(values, shown_as.pop())
        elif kinds <= _TEXT:
            return [unescaped(unescape_xml(value)) for value in values] if escaped and _odd(values) else values
        shown_cell = self._cells.shown
        return [
            shown_cell(kind, style, value) if value else b""
            for style, kind, value in zip(styles, types, values, strict=True)
        ]


def _odd(values: Sequence[bytes]) -> bool:
    """True if a value may hold references or escapes."""
    joined = b"".join(values)
    return b"&" in joined or b"_x" in joined


@lru_cache(maxsize=8)
def _shape(prefix: bytes, columns: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Tells rows whose cells stand in these columns in order: the row, then style, type and value of each cell."""
    p = re.escape(prefix)
    cell = (
        rb"(?:<%(p)sc r=\"%(letters)s[0-9]+\"(?: s=\"([0-9]+)\")?(?: t=\"([A-Za-z]+)\")?"
        rb"(?:/>|>(?:<%(p)sf[^<>]*(?:/>|>[^<]*</%(p)sf>))?"
        rb"(?:<%(p)s(?:v|is><%(p)st)(?: xml:space=\"preserve\")?>([^<]*)</%(p)s(?:v|t></%(p)sis)>|<%(p)sv/>)?</%(p)sc>))?"
    )
    cells = b"".join(cell % {b"p": p, b"letters": letters} for letters in columns)
    return re.compile(rb"(<%(p)srow(?: [^<>/]*)?>%(cells)s</%(p)srow>\s*)" % {b"p": p, b"cells": cells})


class _Cells:
    """Cells told tag by tag.

    Attributes:
        open: a row has begun and not ended.
    """

    def __init__(self, rows: SheetRows, strings: Strings, numbers: Numbers) -> None:
        self.open = False
        self._rows = rows
        self._strings = strings
        self._numbers = numbers
        self._row: Row = {}
        self._column = -1
        self._style = b""
        self._type = b""
        self._value: list[bytes] = []
        self._taking = False

    def take(self, found: Sequence[tuple[bytes, bytes, bytes, bytes]]) -> None:
        """Tags and texts in order."""
        for slash, name, attrs, text in found:
            if text:
                if self._taking:
                    self._value.append(text)
            elif name in (b"v", b"t"):
                self._taking = not slash and not attrs.endswith(b"/")
            elif name == b"c":
                self._end_cell()
                if not slash:
                    self._begin_cell(attrs)
            elif name == b"row":
                self.finish()
                self.open = not slash and not attrs.endswith(b"/")

    def _begin_cell(self, attrs: bytes) -> None:
        found = parse_attributes(attrs)
        place = _PLACE.match(found.get(b"r", b""))
        self._column = column_number(place[1]) if place else self._column + 1
        self._style, self._type = found.get(b"s", b""), found.get(b"t", b"")

    def _end_cell(self) -> None:
        if self._value:
            raw = b"".join(self._value)
            self._value.clear()
            value = self.shown(self._type, self._style, raw.strip() if self._type not in _TEXT else raw)
            if self._column in self._row:
                # two cells at one place: neither is lost
                value = self._row[self._column] + b" " + value
            self._row[self._column] = value
        self._taking = False

    def finish(self) -> None:
        """The row is over."""
        self._end_cell()
        if self._row:
            self._rows.add(self._row)
            self._row = {}
        self._column = -1
        self.open = False

    def shown(self, kind: bytes, style: bytes, value: bytes) -> bytes:
        """What a cell shows."""
        if kind == b"s":
            return self._strings.get(value)
        if kind in (b"", b"n"):
            return self._numbers.shown(value, self._numbers.style(style) if style.isdigit() else PLAIN)
        if kind == b"b":
            return _TRUTH.get(value, value)
        if kind == b"d":
            return value.replace(b"T", b" ").removesuffix(b" 00:00:00")
        return unescaped(unescape_xml(value))
