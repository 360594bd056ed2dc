"""Files of any size for `benchmarks readers`: sound ones of many formats, and those that begin something without an end.

Each holds one enrolled person at its very end, in the form of the file where it has one.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import quopri
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, cycle, repeat
from pathlib import Path
from typing import NamedTuple

from benchmarks.patients import HEADER, patients

STEP = 2**20


class Person(NamedTuple):
    """Who stands at the end; the birth date as `dd/mm/yyyy`."""

    surname: str
    first: str
    born: str
    email: str

    def row(self, separator: str = ";") -> bytes:
        """Its cells in the order of the header of `patients`, those that are not known left empty."""
        cells = [self.surname, self.first, self.born, "", self.email, *[""] * 7]
        return separator.join(cells).encode()

    def iso(self) -> str:
        """The birth date with its year first."""
        return "-".join(reversed(self.born.split("/")))


Write = Callable[[Path, int, Person], None]
"""Writes a file of at least so many bytes."""
Unit = Callable[[list[str]], bytes]


def rows(number: int = 20_000) -> list[list[str]]:
    """Cells of invented people, as `patients` has them."""
    lines = b"".join(patients(number)).decode().splitlines()
    return [line.split(";") for line in lines[1 : number + 1]]


def cells_of(person: Person) -> list[str]:
    """As a row of `rows`."""
    return person.row().decode().split(";")


def blocks(units: list[bytes]) -> Iterator[bytes]:
    """The same units again and again, joined to pieces of about `STEP` bytes."""
    joined, held, size = [], [], 0
    for unit in units:
        held.append(unit)
        size += len(unit)
        if size >= STEP:
            joined.append(b"".join(held))
            held, size = [], 0
    if held or not joined:
        whole = b"".join(held)
        joined.append(whole * max(1, STEP // max(1, len(whole))))
    return cycle(joined)


def stream(begin: bytes, more: Callable[[], Iterator[bytes]], end: Callable[[Person], bytes]) -> Write:
    """A file of a beginning, pieces that are repeated, and an end with the person."""

    def write(path: Path, size: int, person: Person) -> None:
        with path.open("wb") as out:
            out.write(begin)
            for piece in more():
                out.write(piece)
                if out.tell() >= size:
                    break
            out.write(end(person))

    return write


def of_rows(unit: Unit, begin: bytes = b"", end: bytes = b"", number: int = 20_000) -> Write:
    """A file whose unit is made of each row, the last of the person."""
    return stream(
        begin,
        lambda: blocks([unit(row) for row in rows(number)]),
        lambda person: unit(cells_of(person)) + end,
    )


def endless(begin: bytes, more: bytes) -> Write:
    """A beginning, then the same bytes, which a reader has to take for a part of it; the person on a line by itself."""
    piece = more * (STEP // len(more) + 1)
    return stream(begin, lambda: repeat(piece), lambda person: b"\n" + person.row() + b"\n")


_LINES = b"".join(patients(2000)).partition(b"\n")[2]

# --- what begins and does not end -------------------------------------------------------------------------------------

_HEAD = b"From: a@example.org\nTo: b@example.org\nSubject: x\nMIME-Version: 1.0\n"
_XML = b'<?xml version="1.0"?>\n<patients>'
_INSERT = b"INSERT INTO `patients` VALUES "

OPEN: dict[str, tuple[bytes, bytes]] = {
    "csv_quote": (HEADER + b'"', _LINES),
    "csv_quotes": (HEADER, b'"'),
    "csv_quote_pairs": (HEADER, b'"a";"b""c;\n'),
    "csv_one_line": (HEADER, b"a;"),
    "sql_quote": (_INSERT + b"('", _LINES),
    "sql_quotes": (_INSERT + b"(", b"'"),
    "sql_backslashes": (_INSERT + b"('", b"\\"),
    "sql_comment": (_INSERT + b"(1,'a');\n/* ", _LINES),
    "sql_comments": (_INSERT + b"(1,'a');\n", b"/* "),
    "sql_dashes": (_INSERT + b"(1,'a');\n", b"-- a\n"),
    "sql_dollar": (b"SELECT $body$ ", _LINES),
    "sql_dollars": (b"CREATE TABLE a (b int);\nSELECT ", b"$a$ "),
    "sql_copy": (b"CREATE TABLE a (b int);\nCOPY public.patients (nom, prenom, naissance) FROM stdin;\n", b"a\tb\tc\n"),
    "sql_brackets": (_INSERT, b"("),
    "sql_names": (b"CREATE TABLE `", b"a`.`"),
    "sql_statement": (b"CREATE TABLE patients (nom text, prenom text);\nUPDATE a SET b = ", b"c + "),
    "statement_open": (b"2026-01-01 INSERT INTO patients (nom, prenom, naissance) VALUES (?, ?, ?) ['", b"a, "),
    "statement_calls": (b"2026-01-01 INSERT INTO patients (nom, prenom, naissance) SELECT UPPER('a'), ", b"f("),
    "here_document": (b"#!/bin/sh\nmysql <<EOF\nINSERT INTO patients (nom, prenom) VALUES ('", _LINES),
    "xml_tag": (b'<?xml version="1.0"?>\n<patients><patient nom="', _LINES),
    "xml_attributes": (b'<?xml version="1.0"?>\n<patients><patient ', b'a="b" '),
    "xml_comment": (_XML + b"<!-- ", _LINES),
    "xml_comments": (_XML, b"<!--->"),
    "xml_cdata": (_XML + b"<nom><![CDATA[", _LINES),
    "xml_cdatas": (_XML, b"<![CDATA[]]"),
    "xml_instruction": (_XML + b"<?php ", _LINES),
    "xml_doctype": (b'<?xml version="1.0"?>\n<!DOCTYPE a [', b'<!ENTITY b "c">'),
    "xml_tags": (_XML, b"<a>"),
    "xml_entities": (_XML + b"<nom>", b"&amp"),
    "html_tag": (b"<html><body><table><tr><td title='", _LINES),
    "html_comment": (b"<html><body><!-- ", _LINES),
    "html_comments": (b"<html><body>", b"<!--"),
    "html_script": (b"<html><body><script>var a = [{", _LINES),
    "html_scripts": (b"<html><body>", b"<script>"),
    "html_title": (b"<html><head><title>", _LINES),
    "html_area": (b"<html><body><textarea>", _LINES),
    "html_rows": (b"<html><body><table>", b"<tr><td>a"),
    "html_tables": (b"<html><body>", b"<table><tr><td>"),
    "html_entities": (b"<html><body>", b"&eacute"),
    "html_opening": (b"<html><body>", b"<"),
    "mail_header": (_HEAD + b"X-Long: ", b"words of a header\n "),
    "mail_headers": (_HEAD, b"X-Long: words\n"),
    "mail_words": (_HEAD + b"X-Words: ", b"=?utf-8?q?a?= "),
    "mail_boundary": (
        _HEAD + b'Content-Type: multipart/mixed; boundary="never"\n\n--never\nContent-Type: text/plain\n\n',
        _LINES,
    ),
    "mail_boundaries": (_HEAD + b'Content-Type: multipart/mixed; boundary="a"\n\n', b"--a\n\nx\n"),
    "mail_nested": (_HEAD, b'Content-Type: multipart/mixed; boundary="a"\n\n--a\n'),
    "mbox": (b"", b"From a@example.org Mon Jan  1 00:00:00 2024\nFrom: a@example.org\nSubject: x\n\nwords\n\n"),
    "mbox_from": (b"From a@example.org Mon Jan  1 00:00:00 2024\nSubject: x\n\n", b"From \n"),
    "uuencode": (b"begin 644 a.bin\n", b"M;F]M.W!R96YO;3MN86ES<V%N8V4*1'5P;VYT.TIE86YN93LQ.3@P+3`R+3`S\n"),
    "yenc": (b"=ybegin line=128 size=900000000 name=a.bin\n", b"=}" * 64 + b"\n"),
    "php_length": (b'a:1:{i:0;a:2:{s:3:"nom";s:900000000:"', _LINES),
    "php_nested": (b"", b"a:1:{i:0;"),
    "php_count": (b"a:900000000:{", b'i:0;s:1:"a";'),
    "ldif": (b"version: 1\n\ndn: cn=a,dc=example\nobjectClass: person\ncn: a\ndescription: ", b"words of a value\n "),
    "ldif_entry": (b"version: 1\n\ndn: cn=a,dc=example\nobjectClass: person\n", b"cn: a\n"),
    "vcard": (b"BEGIN:VCARD\nVERSION:3.0\nFN:Jeanne Dupont\nNOTE:", b"words of a note\n "),
    "vcards_open": (b"", b"BEGIN:VCARD\nFN:Jeanne Dupont\nTEL:0612345678\n"),
    "vcard_lines": (b"BEGIN:VCARD\nVERSION:3.0\nFN:Jeanne Dupont\n", b"TEL:0612345678\n"),
    "icalendar": (b"BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nSUMMARY:", b"words of a summary\n "),
    "hl7": (b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.3\rPID|1||1||", b"Dupont^Jeanne&"),
    "hl7_segments": (b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.3\r", b"OBX|1|TX|a||words\r"),
    "edi": (b"UNB+UNOA:1+a+b+240101:1200+1'UNH+1+ORDERS:D:96A:UN'", b"NAD+BY+Dupont:Jeanne"),
    "edi_segments": (b"UNB+UNOA:1+a+b+240101:1200+1'UNH+1+ORDERS:D:96A:UN'", b"NAD+BY+1'"),
    "hprim": (b"H|^~\\&|a|b|c\rP|1|1|", b"Dupont^Jeanne"),
    "gedcom": (b"0 HEAD\n1 GEDC\n2 VERS 5.5\n0 @I1@ INDI\n1 NAME Jeanne /Dupont/\n1 NOTE a\n", b"2 CONT words\n"),
    "yaml_block": (b"patients:\n  - nom: Dupont\n    note: |\n", b"      words of a note\n"),
    "yaml_nested": (b"a:\n", b"- - - - "),
    "rtf_groups": (b"{\\rtf1\\ansi ", b"{\\b words "),
    "rtf_binary": (b"{\\rtf1\\ansi {\\pict\\bin900000000 ", _LINES),
    "rtf_hidden": (b"{\\rtf1\\ansi {\\*\\data ", _LINES),
    "rtf_escapes": (b"{\\rtf1\\ansi ", b"\\'e9"),
    "rtf_words": (b"{\\rtf1\\ansi ", b"\\par\\b0 "),
    "pdf_objects": (b"%PDF-1.4\n", b"1 0 obj\n<< /Length 99999999 >>\nstream\nBT (words) Tj ET\n"),
    "pdf_string": (b"%PDF-1.4\n1 0 obj\n<< /Length 900000000 >>\nstream\nBT (", b"("),
    "pdf_dictionaries": (b"%PDF-1.4\n1 0 obj\n", b"<< /A "),
    "json_string": (b'["', _LINES.replace(b"\n", b" ")),
    "json_backslashes": (b'["', b"\\\\"),
    "json_escapes": (b'["', b"\\u00e9\\n"),
    "json_keys": (b"", b'{"a":'),
    "json_lists": (b'{"a":', b"[1,"),
    "json_numbers": (b"[", b"1"),
    "json_lines_open": (b'{"nom":"a","prenom":"b"}\n', b'{"nom":"a\n'),
    "markdown": (b"| nom | prenom |\n|---|---|\n", b"| Dupont | Jeanne |\n"),
    "box_table": (b"+----+----+\n| nom | prenom |\n+----+----+\n", b"| Dupont | Jeanne |\n"),
    "box_rules": (b"", b"+----+----+\n"),
    "wiki_table": (b"{| class=wikitable\n! nom !! prenom\n|-\n", b"| Dupont || "),
    "wiki_tables": (b"", b"{|\n|-\n| Dupont\n"),
    "wiki_templates": (b"{| class=wikitable\n|-\n| ", b"{{a|"),
    "hex_dump": (b"", b"00000000: 6e6f 6d3b 7072 656e 6f6d 3b6e 6169 7373  nom;prenom;naiss\n"),
    "urlencoded": (b"nom=a&prenom=b&naissance=", b"%C3%A9"),
    "urlencoded_pairs": (b"nom=a&prenom=b", b"&nom=a&prenom=b"),
    "labels": (b"", b"Nom : \n"),
    "line_feeds": (b"nom;prenom\n", b"\n"),
    "returns": (b"nom;prenom\n", b"\r"),
    "spaces": (b"nom;prenom\n", b" "),
    "nul": (b"nom;prenom\na;b\n", b"\0"),
    "at_signs": (b"", b"a@"),
    "digits": (b"", b"0612345678"),
    "digit_groups": (b"", b"06 12 34 56 78 "),
    "slashes": (b"", b"01/02/1980/"),
    "capitals": (b"", b"Dupont "),
    "born": (b"", "né(e) le ".encode()),
    "gzip_starts": (b"words\n", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
    "zip_starts": (b"words\n", b"PK\x03\x04"),
    "base64_archives": (b"words ", b" H4sIAAAAAAAAA "),
    "utf16": (b"\xff\xfe", "é;".encode("utf-16-le")),
}

# --- sound files ------------------------------------------------------------------------------------------------------


def _encoded(encode: Callable[[bytes], bytes], begin: bytes, end: bytes = b"") -> Write:
    """A table in another coding of bytes, whose lines are coded by themselves."""
    table = HEADER + b"".join((";".join(row) + "\n").encode() for row in rows(7200))
    table = table[: len(table) // 4500 * 4500]

    def tail(person: Person) -> bytes:
        # the table before ends in the middle of a row
        return encode(b"\n" + person.row() + b"\n") + end

    coded = encode(table)
    return stream(begin, lambda: repeat(coded), tail)


def _uu(data: bytes) -> bytes:
    return b"".join(binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))


def _hex_dump(data: bytes) -> bytes:
    lines = []
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        digits = " ".join(part[pair : pair + 2].hex() for pair in range(0, len(part), 2))
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:08x}: {digits:<39}  {shown}\n")
    return "".join(lines).encode()


def _php(row: list[str]) -> bytes:
    parts = [f's:{len(key)}:"{key}";s:{len(value.encode())}:"{value}";'
             for key, value in zip(("nom", "prenom", "naissance", "email"), (*row[:3], row[4]), strict=True)]  # fmt: skip
    return f"a:4:{{{''.join(parts)}}}\n".encode()


def _statement(row: list[str]) -> bytes:
    values = ", ".join("'" + cell.replace("'", "''") + "'" for cell in (*row[:3], row[4]))
    return (
        f"2026-03-01 10:11:12,123 INFO sqlalchemy.engine INSERT INTO patients (nom, prenom, date_naissance, email)"
        f" VALUES (?, ?, ?, ?)\n2026-03-01 10:11:12,124 INFO sqlalchemy.engine [generated in 0.00012s] ({values})\n"
    ).encode()


def _fixed(row: list[str]) -> bytes:
    return f"{row[0][:20]:20}{row[1][:20]:20}{row[2]:10}{row[4][:50]:50}\n".encode("latin-1", "replace")


def _mail(row: list[str]) -> bytes:
    body = quopri.encodestring(f"Bonjour {row[1]} {row[0]}, né le {row[2]}, {row[4]}".encode())
    return b"From a@example.org Mon Jan  1 00:00:00 2024\n" + _HEAD + (
        b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" + body + b"\n\n"
    )  # fmt: skip


def _pdf(path: Path, size: int, person: Person) -> None:
    """A page for each 40 people, its text compressed."""
    lines = rows(4000)
    places: list[int] = []
    with path.open("wb") as out:
        out.write(b"%PDF-1.4\n")

        def add(number: int, body: bytes) -> None:
            places.append(out.tell())
            out.write(b"%d 0 obj\n" % number + body + b"\nendobj\n")

        pages: list[int] = []
        add(1, b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
        numbers = count(2)
        last = False
        while not last:
            last = out.tell() >= size
            start = len(pages) * 40 % (len(lines) - 40)
            shown = lines[start : start + 40] + ([cells_of(person)] if last else [])
            text = b"BT /F1 8 Tf 12 TL 20 820 Td "
            for row in shown:
                line = " ".join((*row[:3], row[4]))
                text += b"(" + line.encode("cp1252", "replace").replace(b"(", b"").replace(b")", b"") + b") Tj T* "
            packed = zlib.compress(text + b"ET", 1)
            content, page = next(numbers), next(numbers)
            add(content, b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream")
            # the tree of pages has the last number
            add(page, b"<< /Type /Page /Parent 999999999 0 R /MediaBox [0 0 595 842] /Contents %d 0 R /Resources"
                      b" << /Font << /F1 1 0 R >> >> >>" % content)  # fmt: skip
            pages.append(page)
        tree, catalogue = next(numbers), next(numbers)
        kids = b" ".join(b"%d 0 R" % page for page in pages)
        add(tree, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), kids))
        add(catalogue, b"<< /Type /Catalog /Pages %d 0 R >>" % tree)
        start = out.tell()
        out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1))
        out.writelines(b"%010d 00000 n \n" % place for place in places)
        out.write(
            b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, catalogue, start)
        )


def _small_tables() -> Iterator[bytes]:
    lines = [(";".join(row) + "\n").encode() for row in rows(20_000)]
    return cycle([HEADER + b"".join(lines[at : at + 20]) for at in range(0, len(lines), 20)])


def _zip_many(path: Path, size: int, person: Person, method: int = zipfile.ZIP_STORED) -> None:
    with path.open("wb") as out, zipfile.ZipFile(out, "w", method) as archive:
        for number, table in enumerate(_small_tables()):
            archive.writestr(zipfile.ZipInfo(f"export/table{number}.csv"), table, method)
            if out.tell() >= size:
                break
        archive.writestr("export/last.csv", HEADER + person.row() + b"\n")


def _tar_many(path: Path, size: int, person: Person) -> None:
    with path.open("wb") as out, tarfile.open(fileobj=out, mode="w") as archive:
        for number, table in enumerate(_small_tables()):
            info = tarfile.TarInfo(f"export/table{number}.csv")
            info.size = len(table)
            archive.addfile(info, io.BytesIO(table))
            if out.tell() >= size:
                break
        table = HEADER + person.row() + b"\n"
        info = tarfile.TarInfo("export/last.csv")
        info.size = len(table)
        archive.addfile(info, io.BytesIO(table))


def _package(path: Path, size: int, parts: dict[str, bytes], name: str, begin: bytes, unit: Unit, person: Person, end: bytes) -> None:  # fmt: skip
    """A document of parts in a zip, of which one is large; its size is that of this part."""
    units = blocks([unit(row) for row in rows(10_000)])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each, data in parts.items():
            archive.writestr(each, data)
        with archive.open(name, "w", force_zip64=True) as part:
            part.write(begin)
            written = 0
            while written < size:
                written += part.write(next(units))
            part.write(unit(cells_of(person)) + end)


_TYPES = (
    b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default'
    b' Extension="xml" ContentType="application/xml"/><Default Extension="rels"'
    b' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>%s</Types>'
)
_RELATIONS = (
    b'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    b'<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s" Target="%s"/>'
    b"</Relationships>"
)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _xlsx_row(row: list[str]) -> bytes:
    cells = "".join(f'<c t="inlineStr"><is><t>{_escaped(cell)}</t></is></c>' for cell in row)
    return f"<row>{cells}</row>".encode()


def _xlsx(path: Path, size: int, person: Person) -> None:
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    parts = {
        "[Content_Types].xml": _TYPES
        % (
            b'<Override PartName="/xl/workbook.xml"'
            b' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        ),
        "_rels/.rels": _RELATIONS % (b"officeDocument", b"xl/workbook.xml"),
        "xl/workbook.xml": b'<workbook xmlns="%s" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        b'<sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>' % main,
        "xl/_rels/workbook.xml.rels": _RELATIONS % (b"worksheet", b"worksheets/sheet1.xml"),
    }
    begin = b'<worksheet xmlns="%s"><sheetData>' % main + _xlsx_row(HEADER.decode().strip().split(";"))
    _package(path, size, parts, "xl/worksheets/sheet1.xml", begin, _xlsx_row, person, b"</sheetData></worksheet>")


def _docx_row(row: list[str]) -> bytes:
    return f"<w:p><w:r><w:t>{_escaped(f'{row[1]} {row[0]}, né le {row[2]}, {row[4]}')}</w:t></w:r></w:p>".encode()


def _docx(path: Path, size: int, person: Person) -> None:
    parts = {
        "[Content_Types].xml": _TYPES
        % (
            b'<Override PartName="/word/document.xml"'
            b' ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>'
        ),
        "_rels/.rels": _RELATIONS % (b"officeDocument", b"word/document.xml"),
    }
    begin = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
    _package(path, size, parts, "word/document.xml", begin, _docx_row, person, b"</w:body></w:document>")


def _ods_row(row: list[str]) -> bytes:
    cells = "".join(f"<table:table-cell><text:p>{_escaped(cell)}</text:p></table:table-cell>" for cell in row)
    return f"<table:table-row>{cells}</table:table-row>".encode()


def _ods(path: Path, size: int, person: Person) -> None:
    names = b" ".join(
        b'xmlns:%s="urn:oasis:names:tc:opendocument:xmlns:%s:1.0"' % (name, name)
        for name in (b"office", b"table", b"text")
    )
    begin = b"<office:document-content %s><office:body><office:spreadsheet><table:table>" % names
    begin += _ods_row(HEADER.decode().strip().split(";"))
    end = b"</table:table></office:spreadsheet></office:body></office:document-content>"
    parts = {"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}
    _package(path, size, parts, "content.xml", begin, _ods_row, person, end)


def _sqlite(path: Path, size: int, person: Person) -> None:
    lines = rows(20_000)
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE patients ({', '.join(HEADER.decode().strip().split(';'))})")
        insert = f"INSERT INTO patients VALUES ({','.join('?' * len(lines[0]))})"
        while path.stat().st_size < size:
            database.executemany(insert, lines)
            database.commit()
        database.execute(insert, cells_of(person))
    database.close()


def _bson(row: list[str]) -> bytes:
    body = b""
    for name, value in zip((b"nom", b"prenom", b"naissance", b"email"), (*row[:3], row[4]), strict=True):
        data = value.encode() + b"\0"
        body += b"\x02" + name + b"\0" + len(data).to_bytes(4, "little") + data
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def _msgpack(row: list[str]) -> bytes:
    packed = b"\x84"
    for text in (
        part for pair in zip(("nom", "prenom", "naissance", "email"), (*row[:3], row[4]), strict=True) for part in pair
    ):
        data = text.encode()
        packed += b"\xd9" + bytes([len(data)]) + data
    return packed


def _sql_row(row: list[str]) -> bytes:
    return ("(" + ",".join("'" + cell.replace("'", "''") + "'" for cell in row) + ")").encode()


_NAMES = HEADER.decode().strip().split(";")
_KEYS = ("nom", "prenom", "naissance", "email")


def _four(row: list[str]) -> list[tuple[str, str]]:
    return list(zip(_KEYS, (*row[:3], row[4]), strict=True))


def _hl7(row: list[str]) -> bytes:
    born = "".join(reversed(row[2].split("/"))) if "/" in row[2] else row[2].replace("-", "")
    return f"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.3\rPID|1||1||{row[0]}^{row[1]}||{born}|F|||||{row[4]}\rPV1|1|O\r".encode()


def _fhir(row: list[str]) -> bytes:
    born = "-".join(reversed(row[2].split("/"))) if "/" in row[2] else row[2]
    patient = {
        "resourceType": "Patient",
        "name": [{"family": row[0], "given": [row[1]]}],
        "birthDate": born,
        "telecom": [{"system": "email", "value": row[4]}],
    }
    return json.dumps(patient, ensure_ascii=False).encode() + b"\n"


SOUND: dict[str, Write] = {
    "mail_base64": _encoded(
        base64.encodebytes,
        _HEAD + b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n",
    ),
    "mail_quoted": _encoded(
        quopri.encodestring, _HEAD + b"Content-Type: text/csv; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
    ),
    "uuencoded": _encoded(_uu, b"begin 644 a.csv\n", b"`\nend\n"),
    "hex_lines": _encoded(_hex_dump, b""),
    "base64_text": _encoded(base64.encodebytes, b""),
    "mailbox": of_rows(_mail),
    "php_lines": of_rows(_php),
    "statement_log": of_rows(_statement),
    "fixed_lines": of_rows(_fixed),
    "ldif_entries": of_rows(
        lambda row: f"dn: uid={row[4]},dc=example\nobjectClass: person\nsn: {row[0]}\ngivenName: {row[1]}\nbirthDate: {row[2]}\nmail: {row[4]}\n\n".encode(),
        b"version: 1\n\n",
    ),
    "vcards": of_rows(
        lambda row: f"BEGIN:VCARD\r\nVERSION:3.0\r\nN:{row[0]};{row[1]};;;\r\nFN:{row[1]} {row[0]}\r\nBDAY:{row[2]}\r\nEMAIL:{row[4]}\r\nEND:VCARD\r\n".encode()
    ),
    "hl7_messages": of_rows(_hl7),
    "fhir_lines": of_rows(_fhir),
    "yaml": of_rows(
        lambda row: ("  - " + "    ".join(f"{key}: {value}\n" for key, value in _four(row))).encode(), b"patients:\n"
    ),
    "labelled": of_rows(lambda row: ("".join(f"{key} : {value}\n" for key, value in _four(row)) + "\n").encode()),
    "markdown_table": of_rows(
        lambda row: ("| " + " | ".join(value for _, value in _four(row)) + " |\n").encode(),
        b"| nom | prenom | naissance | email |\n|---|---|---|---|\n",
    ),
    "wiki_rows": of_rows(
        lambda row: ("|-\n| " + " || ".join(value for _, value in _four(row)) + "\n").encode(),
        b'{| class="wikitable"\n! nom !! prenom !! naissance !! email\n', b"|}\n",
    ),
    "rtf_paragraphs": of_rows(
        lambda row: (" \\tab ".join(value for _, value in _four(row)) + "\\par\n").encode("cp1252", "replace"),
        b"{\\rtf1\\ansi\\ansicpg1252 ", b"}",
    ),
    "sql_copy_rows": of_rows(
        lambda row: ("\t".join(row) + "\n").encode(),
        f"CREATE TABLE public.patients (nom text);\nCOPY public.patients ({', '.join(_NAMES)}) FROM stdin;\n".encode(), b"\\.\n",
    ),
    "sql_values": of_rows(
        lambda row: f"INSERT INTO `patients` ({', '.join(_NAMES)}) VALUES ".encode() + _sql_row(row) + b";\n"
    ),
    "bson": of_rows(_bson),
    "msgpack": of_rows(_msgpack),
    "json_lines": of_rows(lambda row: json.dumps(dict(_four(row))).encode() + b"\n"),
    "xml_elements": of_rows(
        lambda row: ("<patient>" + "".join(f"<{key}>{_escaped(value)}</{key}>" for key, value in _four(row)) + "</patient>\n").encode(),
        _XML, b"</patients>\n",
    ),
    "html_cells": of_rows(
        lambda row: ("<tr>" + "".join(f"<td>{_escaped(value)}</td>" for _, value in _four(row)) + "</tr>\n").encode(),
        b"<html><body><table><tr><th>nom</th><th>prenom</th><th>naissance</th><th>email</th></tr>\n",
        b"</table></body></html>\n",
    ),
    "pdf_pages": _pdf,
    "zip_of_tables": _zip_many,
    "zip_of_packed": partial(_zip_many, method=zipfile.ZIP_DEFLATED),
    "tar_of_tables": _tar_many,
    "xlsx": _xlsx,
    "docx": _docx,
    "ods": _ods,
    "sqlite": _sqlite,
}  # fmt: skip

WITHOUT_END: dict[str, Write] = {name: endless(*parts) for name, parts in OPEN.items()}
