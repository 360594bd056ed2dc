"""Reads workbooks of Excel before 2007 (BIFF): the cells of all sheets become rows; `ole` reads the file around them.

Source: Microsoft [MS-XLS], and OpenOffice's description of BIFF 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office.sheet_rows import SheetRow, SheetRows
from crawler.readers.office.sheet_values import PLAIN_STYLE, NumberFormatter, style_of_format

_CONTINUE, _BOF, _EOF = 0x3C, 0x809, 0x0A
_SST, _FORMAT, _FORMAT5, _XF, _DATEMODE, _FILEPASS = 0xFC, 0x41E, 0x1E, 0xE0, 0x22, 0x2F
_LABELSST, _LABEL, _RSTRING, _NUMBER, _RK, _MULRK = 0xFD, 0x204, 0xD6, 0x203, 0x27E, 0xBD
_FORMULA, _STRING, _BOOLERR, _TXO = 0x06, 0x207, 0x205, 0x1B6
_BIFF8 = 0x600
# flags of a string: two bytes per character, formatting runs, phonetic text
_WIDE, _RICH, _PHONETIC = 0x01, 0x08, 0x04

BiffRecord = tuple[int, list[bytes]]
"""The kind of a record, and its bytes: those of the record itself, and those of each record that continues it."""


def split_biff_records(data: bytes) -> Iterator[BiffRecord]:
    """The records of a workbook in order, each with the records that continue it."""
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


class _RecordStrings:
    """Reads the strings of a record, which may extend over several of its pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._number = 0
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next bytes, whatever they hold; fewer at the end."""
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
        """The next `count` characters as UTF-8; a piece that continues a string begins with the width of characters."""
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
        """The next string, which begins with its length in `size` bytes; None at the end."""
        head = self.take(size + 1)
        if len(head) < size + 1:
            return None
        count, flags = int.from_bytes(head[:size], "little"), head[size]
        runs = int.from_bytes(self.take(2), "little") if flags & _RICH else 0
        phonetic = int.from_bytes(self.take(4), "little") if flags & _PHONETIC else 0
        text = self.text(count, bool(flags & _WIDE))
        self.take(4 * runs + phonetic)
        return text


def read_workbook(source: Source, out: Output, limits: Limits) -> None:
    """Output the rows of all sheets in the stream of a workbook."""
    data = bytes(source.read_all(limits.hold))
    _WorkbookReader(out, limits).read(data)


class _WorkbookReader:
    """Reads the records of one workbook and outputs its rows."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self._out = out
        self._limits = limits
        self._is_biff8 = True
        self._strings: list[bytes] = []
        self._missing_strings = 0
        # format codes by format id, and the format id of each cell style
        self._codes: dict[int, str] = {}
        self._format_ids: list[int] = []
        self._from_1904 = False
        self._numbers: NumberFormatter | None = None
        self._rows = SheetRows(out, limits)
        self._row: SheetRow = {}
        self._row_number = -1
        # row and column of a formula whose text follows in a record of its own
        self._formula: tuple[int, int] | None = None

    def read(self, data: bytes) -> None:
        """Read all records, output the rows, and report problems."""
        for kind, pieces in split_biff_records(data):
            if kind == _FILEPASS:
                self._out.problem("locked", "the workbook is encrypted and was not read", incomplete=True)
                return
            try:
                self._read_record(kind, pieces)
            except struct.error:
                self._out.problem("damaged", "a record is shorter than its type requires", incomplete=True)
        self._end_sheet()
        if self._missing_strings:
            self._out.problem(
                "strings", f"{self._missing_strings} cells refer to a shared string that is missing", incomplete=True
            )

    def _read_record(self, kind: int, pieces: list[bytes]) -> None:
        body = pieces[0]
        if kind == _BOF:
            self._is_biff8 = struct.unpack_from("<H", body)[0] >= _BIFF8
            self._end_sheet()
        elif kind == _EOF:
            self._end_sheet()
        elif kind == _SST:
            strings = _RecordStrings(pieces)
            strings.take(8)
            while (text := strings.string()) is not None:
                self._strings.append(text)
        elif kind in (_FORMAT, _FORMAT5):
            code = _RecordStrings([body[2:]]).string() if self._is_biff8 else body[3:]
            self._codes[struct.unpack_from("<H", body)[0]] = (code or b"").decode("utf-8", "replace")
        elif kind == _XF:
            self._format_ids.append(struct.unpack_from("<H", body, 2)[0])
        elif kind == _DATEMODE:
            self._from_1904 = body[:1] == b"\1"
        elif kind == _TXO and len(pieces) > 1 and pieces[1]:
            # the text of a comment or a drawing
            count = struct.unpack_from("<H", body, 10)[0]
            self._out.text(_drawing_text(pieces[1:], count) + b"\n")
        else:
            self._read_cell(kind, pieces, body)

    def _read_cell(self, kind: int, pieces: list[bytes], body: bytes) -> None:
        if kind == _STRING:
            if self._formula is not None:
                text = _RecordStrings(pieces).string() if self._is_biff8 else repair(body[2:])
                self._set_value(*self._formula, text or b"")
                self._formula = None
            return
        if kind not in (_LABELSST, _LABEL, _RSTRING, _NUMBER, _RK, _MULRK, _FORMULA, _BOOLERR):
            return
        row, column, style = struct.unpack_from("<HHH", body)
        if kind == _LABELSST:
            index = struct.unpack_from("<I", body, 6)[0]
            known = index < len(self._strings)
            self._missing_strings += not known
            self._set_value(row, column, self._strings[index] if known else b"")
        elif kind in (_LABEL, _RSTRING):
            text = _RecordStrings([body[6:], *pieces[1:]]).string() if self._is_biff8 else repair(body[8:])
            self._set_value(row, column, text or b"")
        elif kind == _NUMBER:
            self._set_value(row, column, self._format_number(struct.unpack_from("<d", body, 6)[0], style))
        elif kind == _RK:
            self._set_value(row, column, self._format_number(rk_number(body, 6), style))
        elif kind == _MULRK:
            for number in range((len(body) - 6) // 6):
                style = struct.unpack_from("<H", body, 4 + 6 * number)[0]
                self._set_value(row, column + number, self._format_number(rk_number(body, 6 + 6 * number), style))
        elif kind == _BOOLERR:
            self._set_value(row, column, b"" if body[7:8] == b"\1" else b"true" if body[6:7] == b"\1" else b"false")
        elif body[12:14] != b"\xff\xff":
            self._set_value(row, column, self._format_number(struct.unpack_from("<d", body, 6)[0], style))
        elif body[6:7] == b"\0":
            self._formula = row, column

    def _format_number(self, value: float, style_index: int) -> bytes:
        if self._numbers is None:
            styles = [style_of_format(each, self._codes.get(each, "")) for each in self._format_ids]
            self._numbers = NumberFormatter(styles, from_1904=self._from_1904)
        known = style_index < len(self._format_ids)
        style = self._numbers.style_at(b"%d" % style_index) if known else PLAIN_STYLE
        return self._numbers.format_number(repr(value).encode(), style)

    def _set_value(self, row: int, column: int, value: bytes) -> None:
        if row != self._row_number:
            self._end_row()
            self._row_number = row
        self._row[column] = value

    def _end_row(self) -> None:
        if self._row:
            self._rows.add(self._row)
            self._row = {}

    def _end_sheet(self) -> None:
        self._end_row()
        self._row_number = -1
        self._rows.flush()
        self._rows = SheetRows(self._out, self._limits)


def _drawing_text(pieces: list[bytes], count: int) -> bytes:
    """The text of a comment or a drawing; its first piece begins with a flag for the width of its characters."""
    wide = bool(pieces[0][0] & _WIDE)
    return _RecordStrings([pieces[0][1:], *pieces[1:]]).text(count, wide)


def rk_number(body: bytes, at: int) -> float:
    """The number at a position that is stored in 30 bits (RkNumber, [MS-XLS] 2.5.217)."""
    raw = struct.unpack_from("<I", body, at)[0]
    if raw & 2:
        value = float(raw >> 2 if raw < 2**31 else (raw >> 2) - 2**30)
    else:
        value = struct.unpack("<d", struct.pack("<Q", (raw & 0xFFFFFFFC) << 32))[0]
    return value / 100 if raw & 1 else value
