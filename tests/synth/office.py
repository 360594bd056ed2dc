"""Builds office documents part by part: workbooks, texts and spreadsheets with any parts that a test needs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import date
from xml.sax.saxutils import escape

from tests.synth.hostile import make_zip

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPES = (
    _HEAD + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Override PartName="/x" ContentType="application/vnd.openxmlformats-officedocument.{kind}ml.main+xml"/></Types>'
)
STYLES = (
    f'{_HEAD}<styleSheet xmlns="{MAIN}"><numFmts count="3">'
    '<numFmt numFmtId="164" formatCode="0#&quot; &quot;##&quot; &quot;##&quot; &quot;##&quot; &quot;##"/>'
    '<numFmt numFmtId="165" formatCode="[$-40C]d\\ mmmm\\ yyyy;@"/>'
    '<numFmt numFmtId="166" formatCode="00000"/></numFmts>'
    '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>'
    '<cellXfs count="8"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/>'
    '<xf numFmtId="166"/><xf numFmtId="22"/><xf numFmtId="20"/><xf numFmtId="9"/></cellXfs></styleSheet>'
)
# the indexes of these styles
PLAIN, DATE, PHONE, LONG_DATE, POSTCODE, MOMENT, TIME, PERCENT = range(8)


def letters(column: int) -> str:
    """The letters of a column by its number: A for 0."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def serial(day: date) -> int:
    """The number by which a workbook stores a date."""
    return (day - date(1899, 12, 30)).days


def sheet(rows: str, head: str = "", tail: str = "") -> bytes:
    """The part of a sheet with the given rows of XML."""
    return f'{_HEAD}<worksheet xmlns="{MAIN}">{head}<sheetData>{rows}</sheetData>{tail}</worksheet>'.encode()


def rows_of(table: Sequence[Sequence[str | int | tuple[int, int]]], strings: dict[str, int]) -> str:
    """A table as rows of XML; `strings` collects the texts with their indexes; a pair is a number and its style."""
    lines = []
    for number, row in enumerate(table, 1):
        cells = []
        for column, value in enumerate(row):
            place = f"{letters(column)}{number}"
            if isinstance(value, str):
                cells.append(f'<c r="{place}" t="s"><v>{strings.setdefault(value, len(strings))}</v></c>')
            elif isinstance(value, tuple):
                cells.append(f'<c r="{place}" s="{value[1]}"><v>{value[0]}</v></c>')
            else:
                cells.append(f'<c r="{place}"><v>{value}</v></c>')
        lines.append(f'<row r="{number}" spans="1:{len(row)}">{"".join(cells)}</row>')
    return "".join(lines)


def shared(strings: Sequence[str]) -> bytes:
    """The part of shared strings."""
    items = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
    return f'{_HEAD}<sst xmlns="{MAIN}" count="{len(strings)}" uniqueCount="{len(strings)}">{items}</sst>'.encode()


def workbook_parts(sheets: Sequence[bytes], strings: bytes | None = None, *, book: str = "") -> dict[str, bytes]:
    """The parts of a workbook in the order in which Excel writes them: strings and styles after the sheets."""
    related = (
        f'{_HEAD}<Relationships xmlns="x">'
        f'<Relationship Id="rId9" Type="{_RELATED}/sharedStrings" Target="sharedStrings.xml"/>'
        f'<Relationship Id="rId8" Type="{_RELATED}/styles" Target="styles.xml"/></Relationships>'
    )
    parts = {
        "[Content_Types].xml": _TYPES.format(kind="spreadsheet").encode(),
        "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{MAIN}">{book}<sheets/></workbook>'.encode(),
        "xl/_rels/workbook.xml.rels": related.encode(),
        **{f"xl/worksheets/sheet{number}.xml": part for number, part in enumerate(sheets, 1)},
        "xl/styles.xml": STYLES.encode(),
    }
    if strings is not None:
        parts["xl/sharedStrings.xml"] = strings
    return parts


def workbook(table: Sequence[Sequence[str | int | tuple[int, int]]], **more: bytes) -> bytes:
    """A workbook with one sheet."""
    strings: dict[str, int] = {}
    rows = rows_of(table, strings)
    return make_zip({**workbook_parts([sheet(rows)], shared(list(strings))), **more})


def document_parts(body: str, kind: str = "wordprocessing") -> dict[str, bytes]:
    """The parts of a Word document with this XML as its body."""
    return {
        "[Content_Types].xml": _TYPES.format(kind=kind).encode(),
        "word/document.xml": f'{_HEAD}<w:document xmlns:w="w"><w:body>{body}</w:body></w:document>'.encode(),
    }


def paragraph(text: str) -> str:
    """A paragraph of Word, split into two runs, as after an edit."""
    half = len(text) // 2
    runs = (f'<w:r><w:t xml:space="preserve">{escape(part)}</w:t></w:r>' for part in (text[:half], text[half:]))
    return f"<w:p><w:pPr/>{''.join(runs)}</w:p>"


def word_table(rows: Sequence[Sequence[str]]) -> str:
    """A table of Word."""
    lines = ("".join(f"<w:tc><w:tcPr/>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl><w:tblPr/>{''.join(f'<w:tr>{line}</w:tr>' for line in lines)}</w:tbl>"


def open_document(content: str, kind: str = "spreadsheet") -> bytes:
    """An OpenDocument file with this XML as its sheets or text."""
    return make_zip_stored_first(
        ("mimetype", f"application/vnd.oasis.opendocument.{kind}".encode()),
        {
            "content.xml": (
                f"{_HEAD}<office:document-content><office:body><office:{kind}>{content}</office:{kind}></office:body>"
                "</office:document-content>"
            ).encode(),
            "META-INF/manifest.xml": f"{_HEAD}<manifest:manifest/>".encode(),
        },
    )


def make_zip_stored_first(first: tuple[str, bytes], members: dict[str, bytes]) -> bytes:
    """A zip whose first member is not compressed, so that the first bytes of the zip show the media type."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(first[0]), first[1], zipfile.ZIP_STORED)
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def ods_table(rows: Sequence[Sequence[str]]) -> str:
    """A sheet of an OpenDocument spreadsheet, with texts in its cells."""
    lines = (
        "".join(
            f'<table:table-cell office:value-type="string"><text:p>{escape(c)}</text:p></table:table-cell>' for c in row
        )
        for row in rows
    )
    return f"<table:table>{''.join(f'<table:table-row>{line}</table:table-row>' for line in lines)}</table:table>"
