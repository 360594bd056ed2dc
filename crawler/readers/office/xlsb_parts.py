"""Reads the parts of binary workbooks (xlsb): cells, shared strings and styles; `xlsx` decides which part is which.

Source: Microsoft [MS-XLSB].
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office.sheet_rows import SheetRow, SheetRows
from crawler.readers.office.sheet_values import (
    MAX_STYLES,
    PLAIN_STYLE,
    NumberFormatter,
    NumberStyle,
    style_of_format,
)
from crawler.readers.office.xls_workbook import rk_number

_ROW, _RK, _BOOL, _REAL, _TEXT, _SHARED = 0, 2, 4, 5, 6, 7
_FORMULA_TEXT, _FORMULA_NUMBER, _FORMULA_BOOL = 8, 9, 10
_ITEM, _FORMAT, _XF, _BEGIN_XFS, _END_XFS, _PROPERTIES = 19, 44, 47, 617, 618, 153
INVALID = -1
"""The kind that `split_xlsb_records` returns for an invalid record."""
# no valid record is larger
_MAX_RECORD = 2**24


def split_xlsb_records(source: Source) -> Iterator[tuple[int, bytes]]:
    """The records of a part as pairs of kind and bytes; the first invalid record ends them, with the kind `INVALID`."""
    while head := source.peek(6):
        kind, at = head[0], 1
        if kind & 0x80 and len(head) > 1:
            kind, at = kind & 0x7F | (head[1] & 0x7F) << 7, 2
        size = shift = 0
        for byte in head[at : at + 4]:
            size |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if not byte & 0x80:
                break
        source.read(at)
        body = source.read(size) if size <= _MAX_RECORD else b""
        yield kind, body
        if len(body) < size:
            yield INVALID, b""
            return


def _text(body: bytes, at: int) -> bytes:
    size = 2 * struct.unpack_from("<I", body, at)[0]
    return body[at + 4 : at + 4 + size].decode("utf-16-le", "replace").encode("utf-8", "replace")


def read_shared_strings(source: Source) -> Iterator[bytes]:
    """The shared strings, in the order of their indexes."""
    for kind, body in split_xlsb_records(source):
        if kind == _ITEM:
            yield _text(body, 1) if len(body) >= 5 else b""


def read_styles(source: Source) -> list[NumberStyle]:
    """Read the styles of cells, which refer to them by index."""
    codes: dict[int, str] = {}
    found: list[NumberStyle] = []
    inside = False
    for kind, body in split_xlsb_records(source):
        if kind in (_BEGIN_XFS, _END_XFS):
            inside = kind == _BEGIN_XFS
        elif kind == _FORMAT and len(body) >= 6 and len(codes) < MAX_STYLES:
            codes[struct.unpack_from("<H", body)[0]] = _text(body, 2)[:255].decode()
        elif kind == _XF and inside and len(body) >= 4 and len(found) < MAX_STYLES:
            format_id = struct.unpack_from("<H", body, 2)[0]
            found.append(style_of_format(format_id, codes.get(format_id, "")))
    return found


def counts_from_1904(source: Source) -> bool:
    """Whether a workbook counts days from 1904, by its workbook part."""
    return any(
        kind == _PROPERTIES and bool(body[:1]) and bool(body[0] & 1) for kind, body in split_xlsb_records(source)
    )


class BinarySheetReader:
    """Reads the cells of one sheet and outputs its rows.

    Attributes:
        damaged_records: how many records are invalid, or shorter than their type requires.
        missing_strings: how many cells refer to a shared string that is missing.
    """

    def __init__(self, out: Output, limits: Limits, shared: list[bytes], numbers: NumberFormatter) -> None:
        self.rows = SheetRows(out, limits)
        self.damaged_records = 0
        self.missing_strings = 0
        self._shared = shared
        self._numbers = numbers
        self._row: SheetRow = {}

    def read(self, source: Source) -> None:
        """Output all rows of the sheet."""
        for kind, body in split_xlsb_records(source):
            try:
                if kind == _ROW:
                    self._end_row()
                elif kind == INVALID:
                    self.damaged_records += 1
                elif _RK <= kind <= _FORMULA_BOOL:
                    column, style = struct.unpack_from("<II", body)
                    value = self._value(kind, body, style & 0xFFFFFF)
                    if value:
                        self._row[column] = value
            except struct.error:
                self.damaged_records += 1
        self._end_row()
        self.rows.flush()

    def _end_row(self) -> None:
        if self._row:
            self.rows.add(self._row)
            self._row = {}

    def _value(self, kind: int, body: bytes, style_index: int) -> bytes:
        if kind in (_TEXT, _FORMULA_TEXT):
            return _text(body, 8)
        if kind in (_BOOL, _FORMULA_BOOL):
            return b"true" if body[8:9] == b"\1" else b"false"
        if kind == _SHARED:
            index: int = struct.unpack_from("<I", body, 8)[0]
            if index < len(self._shared):
                return self._shared[index]
            self.missing_strings += 1
            return b""
        if kind not in (_RK, _REAL, _FORMULA_NUMBER):
            return b""
        number = rk_number(body, 8) if kind == _RK else struct.unpack_from("<d", body, 8)[0]
        style = self._numbers.style_at(b"%d" % style_index) if style_index < MAX_STYLES else PLAIN_STYLE
        return self._numbers.format_number(repr(number).encode(), style)
