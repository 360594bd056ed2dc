"""Workbooks of Excel before 2007 (BIFF): cells of all sheets as rows; the compound file around them is left to `ole`.

Source: Microsoft [MS-XLS], and OpenOffice's description of BIFF 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office.sheet_rows import Row, SheetRows
from crawler.readers.office.sheet_values import PLAIN, Numbers, Style, style_of

_CONTINUE, _BOF, _EOF = 0x3C, 0x809, 0x0A
_SST, _FORMAT, _FORMAT5, _XF, _DATEMODE, _FILEPASS = 0xFC, 0x41E, 0x1E, 0xE0, 0x22, 0x2F
_LABELSST, _LABEL, _RSTRING, _NUMBER, _RK, _MULRK = 0xFD, 0x204, 0xD6, 0x203, 0x27E, 0xBD
_FORMULA, _STRING, _BOOLERR, _TXO = 0x06, 0x207, 0x205, 0x1B6
_BIFF8 = 0x600
_WIDE, _RICH, _SPOKEN = 0x01, 0x08, 0x04

Record = tuple[int, list[bytes]]
"""Its kind, and its bytes: one piece, and one for each record that continues it."""


def records(data: bytes) -> Iterator[Record]:
    """The records of a workbook in order; what continues one belongs to it."""
    at = 0
    kind, pieces = -1, [b""]
    while at + 4 <= len(data):
        following, size = struct.unpack_from("<HH", data, at)
        body = data[at + 4 : at + 4 + size]
        at += 4 + size
        if following == _CONTINUE and kind >= 0:
            pieces.append(body)
            continue
        if kind >= 0:
            yield kind, pieces
        kind, pieces = following, [body]
    if kind >= 0:
        yield kind, pieces


class _Pieces:
    """Strings that run over the ends of records."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._number = 0
        self._at = 0

    def take(self, size: int) -> bytes:
        """Bytes without regard to what they are; fewer at the end."""
        parts = []
        while size > 0 and self._number < len(self._pieces):
            part = self._pieces[self._number][self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
            if size > 0:
                self._number, self._at = self._number + 1, 0
        return b"".join(parts)

    def text(self, count: int, wide: bool) -> bytes:
        """So many letters as UTF-8; a piece that goes on says anew how wide its letters are."""
        parts = []
        while count > 0 and self._number < len(self._pieces):
            piece = self._pieces[self._number]
            part = piece[self._at : self._at + count * (2 if wide else 1)]
            parts.append(part.decode("utf-16-le" if wide else "latin-1", "replace"))
            self._at += len(part)
            count -= len(part) // 2 if wide else len(part)
            if count > 0:
                self._number += 1
                if self._number < len(self._pieces):
                    wide = bool(self._pieces[self._number][:1] and self._pieces[self._number][0] & _WIDE)
                    self._at = 1
        return "".join(parts).encode("utf-8", "replace")

    def string(self, size: int = 2) -> bytes | None:
        """A string with its length in front; None at the end."""
        head = self.take(size + 1)
        if len(head) < size + 1:
            return None
        count, flags = int.from_bytes(head[:size], "little"), head[size]
        runs = int.from_bytes(self.take(2), "little") if flags & _RICH else 0
        spoken = int.from_bytes(self.take(4), "little") if flags & _SPOKEN else 0
        text = self.text(count, bool(flags & _WIDE))
        self.take(4 * runs + spoken)
        return text


def read_workbook(source: Source, out: Output, limits: Limits) -> None:
    """Give out the rows of all sheets."""
    data = bytes(source.read_all(limits.hold))
    _Workbook(out, limits).read(data)


class _Workbook:
    """One workbook."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self._out = out
        self._limits = limits
        self._new = True
        self._strings: list[bytes] = []
        self._missing = 0
        self._codes: dict[int, str] = {}
        self._formats: list[int] = []
        self._from_1904 = False
        self._numbers: Numbers | None = None
        self._rows = SheetRows(out, limits)
        self._row: Row = {}
        self._at = -1
        self._formula: tuple[int, int] | None = None

    def read(self, data: bytes) -> None:
        """All records."""
        for kind, pieces in records(data):
            if kind == _FILEPASS:
                self._out.problem("locked", "it is encrypted and not read", incomplete=True)
                return
            try:
                self._record(kind, pieces)
            except struct.error:
                self._out.problem("damaged", "a record is shorter than its kind needs", incomplete=True)
        self._end_sheet()
        if self._missing:
            self._out.problem(
                "strings", f"{self._missing} cells name a shared string that is not there", incomplete=True
            )

    def _record(self, kind: int, pieces: list[bytes]) -> None:
        body = pieces[0]
        if kind == _BOF:
            self._new = struct.unpack_from("<H", body)[0] >= _BIFF8
            self._end_sheet()
        elif kind == _EOF:
            self._end_sheet()
        elif kind == _SST:
            strings = _Pieces(pieces)
            strings.take(8)
            while (text := strings.string()) is not None:
                self._strings.append(text)
        elif kind in (_FORMAT, _FORMAT5):
            code = _Pieces([body[2:]]).string() if self._new else body[3:]
            self._codes[struct.unpack_from("<H", body)[0]] = (code or b"").decode("utf-8", "replace")
        elif kind == _XF:
            self._formats.append(struct.unpack_from("<H", body, 2)[0])
        elif kind == _DATEMODE:
            self._from_1904 = body[:1] == b"\1"
        elif kind == _TXO and len(pieces) > 1 and pieces[1]:
            # comments and drawings
            count = struct.unpack_from("<H", body, 10)[0]
            self._out.text(_commented(pieces[1:], count) + b"\n")
        else:
            self._cell(kind, pieces, body)

    def _cell(self, kind: int, pieces: list[bytes], body: bytes) -> None:
        if kind == _STRING:
            if self._formula is not None:
                text = _Pieces(pieces).string() if self._new else repair(body[2:])
                self._put(*self._formula, text or b"")
                self._formula = None
            return
        if kind not in (_LABELSST, _LABEL, _RSTRING, _NUMBER, _RK, _MULRK, _FORMULA, _BOOLERR):
            return
        row, column, form = struct.unpack_from("<HHH", body)
        if kind == _LABELSST:
            index = struct.unpack_from("<I", body, 6)[0]
            known = index < len(self._strings)
            self._missing += not known
            self._put(row, column, self._strings[index] if known else b"")
        elif kind in (_LABEL, _RSTRING):
            text = _Pieces([body[6:], *pieces[1:]]).string() if self._new else repair(body[8:])
            self._put(row, column, text or b"")
        elif kind == _NUMBER:
            self._put(row, column, self._number(struct.unpack_from("<d", body, 6)[0], form))
        elif kind == _RK:
            self._put(row, column, self._number(packed_number(body, 6), form))
        elif kind == _MULRK:
            for number in range((len(body) - 6) // 6):
                form = struct.unpack_from("<H", body, 4 + 6 * number)[0]
                self._put(row, column + number, self._number(packed_number(body, 6 + 6 * number), form))
        elif kind == _BOOLERR:
            self._put(row, column, b"" if body[7:8] == b"\1" else b"true" if body[6:7] == b"\1" else b"false")
        elif body[12:14] != b"\xff\xff":
            self._put(row, column, self._number(struct.unpack_from("<d", body, 6)[0], form))
        elif body[6:7] == b"\0":
            self._formula = row, column

    def _number(self, value: float, form: int) -> bytes:
        if self._numbers is None:
            styles: list[Style] = [style_of(number, self._codes.get(number, "")) for number in self._formats]
            self._numbers = Numbers(styles, from_1904=self._from_1904)
        style = self._numbers.style(b"%d" % form) if form < len(self._formats) else PLAIN
        return self._numbers.shown(repr(value).encode(), style)

    def _put(self, row: int, column: int, value: bytes) -> None:
        if row != self._at:
            self._end_row()
            self._at = row
        self._row[column] = value

    def _end_row(self) -> None:
        if self._row:
            self._rows.add(self._row)
            self._row = {}

    def _end_sheet(self) -> None:
        self._end_row()
        self._at = -1
        self._rows.flush()
        self._rows = SheetRows(self._out, self._limits)


def _commented(pieces: list[bytes], count: int) -> bytes:
    """The text of a comment: its first piece begins with the width of its letters."""
    wide = bool(pieces[0][0] & _WIDE)
    return _Pieces([pieces[0][1:], *pieces[1:]]).text(count, wide)


def packed_number(body: bytes, at: int) -> float:
    """A number in 30 bits, [MS-XLS] 2.5.217."""
    raw = struct.unpack_from("<I", body, at)[0]
    if raw & 2:
        value = float(raw >> 2 if raw < 2**31 else (raw >> 2) - 2**30)
    else:
        value = struct.unpack("<d", struct.pack("<Q", (raw & 0xFFFFFFFC) << 32))[0]
    return value / 100 if raw & 1 else value
