"""The parts of binary workbooks (xlsb): cells, shared strings and styles; which part is which is left to `xlsx`.

Source: Microsoft [MS-XLSB].
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office.sheet_rows import Row, SheetRows
from crawler.readers.office.sheet_values import MAX_STYLES, PLAIN, Numbers, Style, style_of
from crawler.readers.office.xls_workbook import packed_number

_ROW, _RK, _BOOL, _REAL, _TEXT, _SHARED = 0, 2, 4, 5, 6, 7
_FORMULA_TEXT, _FORMULA_NUMBER, _FORMULA_BOOL = 8, 9, 10
_ITEM, _FORMAT, _XF, _BEGIN_XFS, _END_XFS, _PROPERTIES = 19, 44, 47, 617, 618, 153
NONE = -1
# a record of this size is none
_MAX_RECORD = 2**24


def records(source: Source) -> Iterator[tuple[int, bytes]]:
    """The records of a part, kind and bytes, up to one that makes no sense, for which `NONE` comes."""
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
            yield NONE, b""
            return


def _text(body: bytes, at: int) -> bytes:
    size = 2 * struct.unpack_from("<I", body, at)[0]
    return body[at + 4 : at + 4 + size].decode("utf-16-le", "replace").encode("utf-8", "replace")


def strings(source: Source) -> Iterator[bytes]:
    """The shared strings in order."""
    for kind, body in records(source):
        if kind == _ITEM:
            yield _text(body, 1) if len(body) >= 5 else b""


def styles(source: Source) -> list[Style]:
    """The styles that cells name by number."""
    codes: dict[int, str] = {}
    found: list[Style] = []
    inside = False
    for kind, body in records(source):
        if kind in (_BEGIN_XFS, _END_XFS):
            inside = kind == _BEGIN_XFS
        elif kind == _FORMAT and len(body) >= 6 and len(codes) < MAX_STYLES:
            codes[struct.unpack_from("<H", body)[0]] = _text(body, 2)[:255].decode()
        elif kind == _XF and inside and len(body) >= 4 and len(found) < MAX_STYLES:
            identity = struct.unpack_from("<H", body, 2)[0]
            found.append(style_of(identity, codes.get(identity, "")))
    return found


def from_1904(source: Source) -> bool:
    """Whether the part of the workbook counts days from 1904."""
    return any(kind == _PROPERTIES and bool(body[:1]) and bool(body[0] & 1) for kind, body in records(source))


class BinarySheet:
    """The cells of one sheet.

    Attributes:
        short: records that are shorter than their kind needs. missing: cells whose shared string is not there.
    """

    def __init__(self, out: Output, limits: Limits, shared: list[bytes], numbers: Numbers) -> None:
        self.rows = SheetRows(out, limits)
        self.short = 0
        self.missing = 0
        self._shared = shared
        self._numbers = numbers
        self._row: Row = {}

    def read(self, source: Source) -> None:
        """All rows."""
        for kind, body in records(source):
            try:
                if kind == _ROW:
                    self._end_row()
                elif kind == NONE:
                    self.short += 1
                elif _RK <= kind <= _FORMULA_BOOL:
                    column, form = struct.unpack_from("<II", body)
                    value = self._value(kind, body, form & 0xFFFFFF)
                    if value:
                        self._row[column] = value
            except struct.error:
                self.short += 1
        self._end_row()
        self.rows.flush()

    def _end_row(self) -> None:
        if self._row:
            self.rows.add(self._row)
            self._row = {}

    def _value(self, kind: int, body: bytes, form: int) -> bytes:
        if kind in (_TEXT, _FORMULA_TEXT):
            return _text(body, 8)
        if kind in (_BOOL, _FORMULA_BOOL):
            return b"true" if body[8:9] == b"\1" else b"false"
        if kind == _SHARED:
            index: int = struct.unpack_from("<I", body, 8)[0]
            if index < len(self._shared):
                return self._shared[index]
            self.missing += 1
            return b""
        if kind not in (_RK, _REAL, _FORMULA_NUMBER):
            return b""
        number = packed_number(body, 8) if kind == _RK else struct.unpack_from("<d", body, 8)[0]
        style = self._numbers.style(b"%d" % form) if form < MAX_STYLES else PLAIN
        return self._numbers.shown(repr(number).encode(), style)
