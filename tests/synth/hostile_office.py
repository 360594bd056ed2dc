"""Office documents, PDF and Parquet files made to break a reader; each has the canary outside of the damaged part."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

import pyarrow as pa
from pyarrow import parquet

from crawler.readers.core.limits import Limits
from tests.synth import compound as ole
from tests.synth import office, pdf
from tests.synth.hostile import CANARY, Hostile, make_zip, noise, streamed_zip
from tests.synth.office import letters, rows_of, shared, sheet, workbook_parts

Maker = Callable[[random.Random], Hostile]

MAKERS: dict[str, Maker] = {}

TABLE: list[list[str | int | tuple[int, int]]] = [
    ["nom", "prenom", "naissance", "mail"],
    *([f"Martin{i}", "Paul", (20_000 + i, office.DATE), f"m{i}@b.example"] for i in range(20)),
    ["Dupont", "Jeanne", (29_000, office.DATE), CANARY],
]
LOW_RATIO = Limits(max_ratio=50)


def _register(maker: Maker) -> Maker:
    MAKERS[maker.__name__] = maker
    return maker


def hostile_document(name: str, seed: int = 0) -> Hostile:
    """The sample of this name; the seed determines the random bytes inside."""
    return MAKERS[name](random.Random(f"{seed}-{name}"))


def _codes(*codes: str) -> frozenset[str]:
    return frozenset(codes)


def _book(rows: str = "", *, more: dict[str, bytes] | None = None, head: str = "", tail: str = "") -> dict[str, bytes]:
    """The parts of a workbook: the table with the canary, followed by `rows` of any XML, and `more` parts."""
    strings: dict[str, int] = {}
    body = rows_of(TABLE, strings)
    return {**workbook_parts([sheet(body + rows, head, tail)], shared(list(strings))), **(more or {})}


# --- workbooks ---------------------------------------------------------------------------------------------------


@_register
def giant_dimensions(random_: random.Random) -> Hostile:
    data = make_zip(
        _book('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>', head='<dimension ref="A1:XFD1048576"/>')
    )
    return Hostile("a sheet of 17 billion cells", data, complete=True)


@_register
def places_beyond_all_sheets(random_: random.Random) -> Hostile:
    data = make_zip(
        _book(
            '<row r="99999999999"><c r="ZZZZZZ9"><v>1</v></c><c r="ZZZ999999999"><v>2</v></c>'
            '<c r="é"><v>3</v></c></row>'
        )
    )
    return Hostile("cell references beyond the largest sheet", data, complete=True)


@_register
def every_row_far_to_the_right(random_: random.Random) -> Hostile:
    rows = "".join(f'<row r="{i}"><c r="{letters(i * 7 % 16_384)}{i}"><v>{i}</v></c></row>' for i in range(100, 4000))
    return Hostile(
        "every row has its cell in another column",
        make_zip(_book(rows)),
        complete=True,
        limits=Limits(max_columns=64),
    )


@_register
def sheet_bomb(random_: random.Random) -> Hostile:
    parts = _book(more={"xl/worksheets/sheet2.xml": sheet('<row r="1"><c r="A1"><v>1</v></c></row>' * 400_000)})
    return Hostile(
        "a sheet that decompresses to a thousand times its size", make_zip(parts), _codes("ratio"), limits=LOW_RATIO
    )


@_register
def string_bomb(random_: random.Random) -> Hostile:
    parts = _book()
    book = parts.pop("xl/sharedStrings.xml")
    parts["xl/sharedStrings.xml"] = book.replace(b"</sst>", b"<si><t>x</t></si>" * 600_000 + b"</sst>")
    return Hostile(
        "shared strings that decompress to a thousand times their size",
        make_zip(parts),
        _codes("ratio"),
        limits=LOW_RATIO,
    )


@_register
def more_strings_than_memory(random_: random.Random) -> Hostile:
    parts = _book()
    parts["xl/sharedStrings.xml"] = parts["xl/sharedStrings.xml"].replace(
        b"</sst>", b"<si><t>x</t></si>" * 30_000 + b"</sst>"
    )
    return Hostile("more shared strings than memory", make_zip(parts), _codes("memory"), limits=Limits(memory=2**20))


@_register
def billion_laughs(random_: random.Random) -> Hostile:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol"}">' for i in range(12))
    parts = _book()
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(b"<worksheet", f"<!DOCTYPE x [{entities}]><worksheet".encode(), 1)
    parts["xl/worksheets/sheet2.xml"] = sheet('<row r="1"><c r="A1" t="str"><v>&l11;</v></c></row>')
    return Hostile("entities inside entities", make_zip(parts), complete=True)


@_register
def entity_that_names_a_file(random_: random.Random) -> Hostile:
    parts = document_of(f"<w:p><w:t>&x;{CANARY}</w:t></w:p>")
    parts["word/document.xml"] = b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + parts["word/document.xml"]
    return Hostile("an entity that names a file", make_zip(parts), complete=True)


@_register
def unclosed_everything(random_: random.Random) -> Hostile:
    rows = (
        '<row r="30"><c r="A30" t="inlineStr"><is><t>'
        + '<row><c r="A1' * 20_000
        + "<!--" * 20_000
        + "<![CDATA[" * 20_000
    )
    return Hostile("elements, comments and CDATA that are never closed", make_zip(_book(rows)), complete=True)


@_register
def deep_sheet(random_: random.Random) -> Hostile:
    return Hostile(
        "elements nested a hundred thousand levels deep",
        make_zip(_book("<x>" * 100_000 + "</x>" * 100_000)),
        complete=True,
    )


@_register
def wrong_string_indexes(random_: random.Random) -> Hostile:
    cells = "".join(f'<c r="{letters(i)}40" t="s"><v>{10**i}</v></c>' for i in range(3, 30))
    return Hostile(
        "cells that refer to missing shared strings", make_zip(_book(f'<row r="40">{cells}</row>')), _codes("strings")
    )


@_register
def two_sheets_of_one_name(random_: random.Random) -> Hostile:
    parts = _book(more={"xl/worksheets/sheet9.xml": sheet('<row r="1"><c r="A1"><v>1</v></c></row>')})
    data = make_zip(parts).replace(b"sheet9.xml", b"sheet1.xml")
    return Hostile("two sheets with one part name", data, _codes("suspicious"), complete=True)


@_register
def thousands_of_styles(random_: random.Random) -> Hostile:
    parts = _book()
    formats = "".join(f'<numFmt numFmtId="{i}" formatCode="{"[" * 300}{"_" * 300}y"/>' for i in range(164, 2000))
    parts["xl/styles.xml"] = (
        parts["xl/styles.xml"]
        .replace(b"<cellXfs", f"{formats}<cellXfs".encode())
        .replace(b"</cellXfs>", b'<xf numFmtId="170"/>' * 70_000 + b"</cellXfs>")
    )
    return Hostile("seventy thousand styles", make_zip(parts), complete=True)


@_register
def long_cells(random_: random.Random) -> Hostile:
    rows = f'<row r="40"><c r="A40" t="str"><v>{"x" * 3_000_000}</v></c><c r="B40" t="s"><v>1</v></c></row>'
    return Hostile("a cell of three million letters", make_zip(_book(rows), zipfile.ZIP_STORED), complete=True)


@_register
def truncated_workbook(random_: random.Random) -> Hostile:
    parts = _book(more={"xl/media/a.bin": noise(random_, 60_000)})
    first = {name: parts.pop(name) for name in ("[Content_Types].xml", "xl/sharedStrings.xml")}
    data = make_zip({**first, **parts})
    return Hostile("a workbook truncated after its sheet", data[:-30_000], _codes("cut"))


@_register
def streamed_and_changed(random_: random.Random) -> Hostile:
    data = bytearray(streamed_zip(_book(more={"xl/media/a.txt": b"lorem ipsum dolor " * 3000})))
    at = data.index(b"xl/media/a.txt") + 40
    data[at : at + 40] = bytes(40)
    return Hostile("an altered part in a streamed zip", bytes(data), _codes("damaged"))


@_register
def random_bytes_in_a_sheet(random_: random.Random) -> Hostile:
    text = noise(random_, 200_000).replace(b"<", b" ")
    parts = _book()
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(
        b"</sheetData>", b'<row r="50"><c r="A50"><v>' + text + b"</v></c></row></sheetData>"
    )
    return Hostile("random bytes in a cell", make_zip(parts), frozenset({"unread"}))


@_register
def not_a_workbook(random_: random.Random) -> Hostile:
    data = make_zip(
        {"xl/people.csv": f"a;b;c\n1;2;3\n4;5;{CANARY}\n".encode(), "xl/workbook.xml": noise(random_, 5000)}
    )
    return Hostile("not a workbook, although it has a folder named xl", data, frozenset({"unread"}))


# --- texts and OpenDocument --------------------------------------------------------------------------------------


def document_of(body: str) -> dict[str, bytes]:
    return office.document_parts(body)


@_register
def nested_tables(random_: random.Random) -> Hostile:
    body = "<w:tbl><w:tr><w:tc>" * 20_000 + f"<w:p><w:t>{CANARY}</w:t></w:p>"
    return Hostile("tables nested 20,000 levels deep", make_zip(document_of(body)), complete=True)


@_register
def one_paragraph(random_: random.Random) -> Hostile:
    body = f"<w:p><w:t>{CANARY} {'x' * 4_000_000}</w:t></w:p>"
    return Hostile(
        "a paragraph of four million letters", make_zip(document_of(body), zipfile.ZIP_STORED), complete=True
    )


@_register
def tags_alone(random_: random.Random) -> Hostile:
    body = f"<w:p><w:t>{CANARY}</w:t></w:p>" + "<w:r><w:rPr/></w:r>" * 60_000
    return Hostile("tags without text", make_zip(document_of(body)), complete=True)


@_register
def text_bomb(random_: random.Random) -> Hostile:
    parts = document_of(f"<w:p><w:t>{CANARY}</w:t></w:p>")
    parts["word/footnotes.xml"] = b"<w:footnotes>" + b"<w:p><w:t>x</w:t></w:p>" * 250_000
    return Hostile(
        "notes that decompress to a thousand times their size", make_zip(parts), _codes("ratio"), limits=LOW_RATIO
    )


@_register
def repeated_cells(random_: random.Random) -> Hostile:
    cell = '<table:table-cell table:number-columns-repeated="1000000000"><text:p>x</text:p></table:table-cell>'
    rows = f'<table:table-row table:number-rows-repeated="1000000000">{cell}</table:table-row>' * 50
    data = office.open_document(f"{office.ods_table([['a', CANARY]])}<table:table>{rows}</table:table>")
    return Hostile(
        "cells repeated a billion times",
        data,
        _codes("repeated", "columns"),
        complete=True,
        limits=Limits(max_columns=64),
    )


# --- compound files ----------------------------------------------------------------------------------------------


def _xls(cells: bytes = b"") -> bytes:
    canary = ole.record(0x204, struct.pack("<HHH", 0, 0, 0) + ole.narrow(CANARY))
    return ole.sheets(canary + cells)


@_register
def looping_sectors(random_: random.Random) -> Hostile:
    data = bytearray(ole.compound({"Workbook": _xls(), "big": noise(random_, 40_000)}))
    table = struct.unpack_from("<I", data, 76)[0]
    # the sectors of the second stream form a loop, and its stated size is four billion bytes
    struct.pack_into("<I", data, 512 + 512 * table + 4 * 3, 0)
    at = data.index("big".encode("utf-16-le") + b"\0\0")
    struct.pack_into("<Q", data, at + 120, 0xFFFFFFF0)
    return Hostile("sectors that form a loop", bytes(data), _codes("cut", "suspicious"))


@_register
def truncated_records(random_: random.Random) -> Hostile:
    short = b"".join(
        ole.record(kind, struct.pack("<HHH", 9, 9, 9)) for kind in (0xFD, 0x203, 0x27E, 0xBD, 0x06, 0x205, 0x1B6)
    )
    strings = ole.record(0xFC, struct.pack("<II", 2**32 - 1, 2**32 - 1) + struct.pack("<HB", 65_535, 1) + b"x")
    return Hostile(
        "records shorter than their type requires",
        ole.compound({"Workbook": _xls(strings + short)}),
        _codes("damaged", "strings"),
    )


# --- PDF ---------------------------------------------------------------------------------------------------------


def _pages(more: dict[int, bytes] | None = None) -> dict[int, bytes]:
    return pdf.pages([pdf.stream(pdf.shown([["Dupont"], [CANARY]]))], more)


@_register
def pdf_bomb(random_: random.Random) -> Hostile:
    body = zlib.compress(bytes(30_000_000), 9)
    bomb = b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(body), body)
    return Hostile("a stream of zeros", pdf.pdf(_pages({90: bomb})), _codes("ratio"), limits=LOW_RATIO)


@_register
def pdf_bomb_in_a_page(random_: random.Random) -> Hostile:
    objects = pdf.pages([pdf.stream(pdf.shown([[CANARY]])), pdf.stream(b"BT /F1 9 Tf " + b"(x) Tj " * 800_000)])
    return Hostile("a page of 800,000 words", pdf.pdf(objects), _codes("ratio", "damaged"), limits=LOW_RATIO)


@_register
def pdf_filters(random_: random.Random) -> Hostile:
    layered = pdf.shown([["x"]])
    for _ in range(40):
        layered = zlib.compress(layered)
    stream = b"<< /Filter [%s] /Length %d >>\nstream\n%s\nendstream" % (b"/FlateDecode " * 40, len(layered), layered)
    objects = pdf.pages([pdf.stream(pdf.shown([[CANARY]])), stream])
    return Hostile("forty filters", pdf.pdf(objects), _codes("damaged"))


@_register
def pdf_page_ring(random_: random.Random) -> Hostile:
    objects = _pages()
    objects[2] = b"<< /Type /Pages /Count 9 /Kids [100 0 R 2 0 R] /Parent 2 0 R >>"
    return Hostile("pages that contain themselves", pdf.pdf(objects), _codes("damaged"))


@_register
def pdf_deep(random_: random.Random) -> Hostile:
    return Hostile("deeply nested arrays", pdf.pdf(_pages({90: b"[" * 50_000 + b"]" * 50_000})), complete=True)


@_register
def pdf_count(random_: random.Random) -> Hostile:
    objects = _pages()
    objects[2] = objects[2].replace(b"/Count 1", b"/Count 2000000000")
    return Hostile("two billion pages", pdf.pdf(objects), complete=True)


@_register
def pdf_without_structure(random_: random.Random) -> Hostile:
    data = b"%PDF-1.7\n" + noise(random_, 3000) + pdf.stream(pdf.shown([[CANARY]])) + noise(random_, 3000)
    return Hostile("a PDF without any structure", data, _codes("damaged"))


@_register
def pdf_form_ring(random_: random.Random) -> Hostile:
    objects = _pages({50: b"<< /FT /Tx /T (a) /V (b) /Kids [50 0 R 50 0 R] >>"})
    objects[1] = objects[1][:-2] + b"/AcroForm << /Fields [50 0 R] >> >>"
    return Hostile("form fields that contain themselves", pdf.pdf(objects), complete=True)


@_register
def pdf_streams_that_are_none(random_: random.Random) -> Hostile:
    unclosed = b"<< /FlateDecode >>\nstream\n" + zlib.compress(b"y" * 90)[:20]
    return Hostile("thousands of unclosed streams", pdf.pdf(_pages({90: unclosed * 5000})), complete=True)


# --- Parquet -----------------------------------------------------------------------------------------------------


def _parquet(table: pa.Table, **options: object) -> bytes:
    target = io.BytesIO()
    parquet.write_table(table, target, **options)
    return target.getvalue()


@_register
def parquet_bomb(random_: random.Random) -> Hostile:
    table = pa.table({"a": [CANARY, *["x" * 500] * 60_000]})
    return Hostile("one value repeated sixty thousand times", _parquet(table), _codes("ratio"), limits=LOW_RATIO)


@_register
def parquet_changed(random_: random.Random) -> Hostile:
    table = pa.table({"a": [CANARY, *(str(random_.random()) for _ in range(4000))]})
    data = bytearray(_parquet(table, row_group_size=500, compression="zstd", use_dictionary=False))
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    return Hostile("a damaged group of rows", bytes(data), _codes("damaged"))


@_register
def parquet_deep(random_: random.Random) -> Hostile:
    value: object = CANARY
    for _ in range(30):
        value = {"a": value}
    return Hostile("thirty levels of columns", _parquet(pa.table({"a": [value]})), complete=True)
