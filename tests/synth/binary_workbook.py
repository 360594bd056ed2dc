"""Builds binary workbooks (xlsb) record by record."""

from __future__ import annotations

import struct

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def record(kind: int, body: bytes = b"") -> bytes:
    """A record; its type and its size take as few bytes as possible."""
    head = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    size = len(body)
    while size > 0x7F:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    return head + bytes([size]) + body


def text(value: str) -> bytes:
    """A string, preceded by its length in characters."""
    data = value.encode("utf-16-le")
    return struct.pack("<I", len(data) // 2) + data


def cell(kind: int, column: int, value: bytes, style: int = 0) -> bytes:
    """A cell of the row that precedes it."""
    return record(kind, struct.pack("<II", column, style) + value)


def row(number: int, *cells: bytes) -> bytes:
    """A row with its cells."""
    return record(0, struct.pack("<IIHHBI", number, 0, 300, 0, 0, 0)) + b"".join(cells)


def sheet(*rows: bytes) -> bytes:
    """The part of a sheet with these rows."""
    size = record(148, struct.pack("<IIII", 0, max(0, len(rows) - 1), 0, 9))
    return record(129) + size + record(145) + b"".join(rows) + record(146) + record(130)


def parts(sheet_: bytes, strings: list[str]) -> dict[str, bytes]:
    """The parts of a workbook with one sheet; style 1 is a date."""

    def related(*targets: tuple[str, str]) -> bytes:
        lines = (
            f'<Relationship Id="rId{n}" Type="{_OFFICE}/{kind}" Target="{place}"/>'
            for n, (kind, place) in enumerate(targets, 1)
        )
        return f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{"".join(lines)}</Relationships>'.encode()

    kind = "application/vnd.ms-excel.sheet.binary.macroEnabled.main"
    types = f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="bin" ContentType="{kind}"/></Types>'
    book = record(131) + record(153, struct.pack("<III", 0, 0, 0)) + record(143)
    book += record(156, struct.pack("<II", 0, 1) + text("rId1") + text("Feuil1")) + record(144) + record(132)
    shared = b"".join(record(19, b"\0" + text(value)) for value in strings)
    formats = b"".join(record(47, struct.pack("<HH", 0xFFFF, each) + bytes(12)) for each in (0, 14))
    return {
        "[Content_Types].xml": types.encode(),
        "_rels/.rels": related(("officeDocument", "xl/workbook.bin")),
        "xl/workbook.bin": book,
        "xl/_rels/workbook.bin.rels": related(
            ("worksheet", "worksheets/sheet1.bin"), ("styles", "styles.bin"), ("sharedStrings", "sharedStrings.bin")
        ),
        "xl/worksheets/sheet1.bin": sheet_,
        "xl/styles.bin": record(278) + record(617, struct.pack("<I", 2)) + formats + record(618) + record(279),
        "xl/sharedStrings.bin": record(159, struct.pack("<II", len(strings), len(strings))) + shared + record(160),
    }
