"""A small sound file of every format that the readers know, for tests that hold all of them to one promise."""

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import io
import json
import lzma
import pickle
import plistlib
import quopri
import random
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import brotli
import pyarrow as pa
import zstandard
from pyarrow import parquet

from tests.crawler.readers.databases.test_access_database import made
from tests.synth import archives, office, structured
from tests.synth.compound import compound
from tests.synth.disguise import crowd
from tests.synth.hostile import make_zip
from tests.synth.pdf import document

TABLE = "nom;prenom;ville;telephone\n" + "".join(f"Martin{i};Paul;Lyon;06120000{i:02}\n" for i in range(60))
_ROWS = [line.split(";") for line in TABLE.splitlines()]
_TEXT = "Le patient est venu le 3 mai, il va mieux.\nIl reviendra en juin.\n" * 20
_MAIL = (
    "From: a@b.example\r\nTo: c@d.example\r\nSubject: essai\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/mixed; boundary="cut"\r\n\r\n--cut\r\nContent-Type: text/plain\r\n\r\nBonjour\r\n'
    "--cut\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n"
    'Content-Disposition: attachment; filename="a.zip"\r\n\r\n{}--cut--\r\n'
).format(base64.encodebytes(make_zip({"people.csv": TABLE.encode()})).decode())


def shape(name: str) -> bytes:
    """A sample that a real program wrote."""
    return (Path(__file__).parents[1] / "samples" / "shapes" / name).read_bytes()


def innodb(name: str) -> bytes:
    """A table that MariaDB wrote: `dyn.ibd`, `compact.ibd` or `redundant.ibd`."""
    return _member_of("60-innodb.zip", name)


def innodb_shared(name: str) -> bytes:
    """Files that MariaDB wrote: the system table space `ibdata1` with two tables, and `instant.ibd`."""
    return _member_of("60-innodb-shared.zip", name)


def postgres(name: str) -> bytes:
    """A table that PostgreSQL wrote: `16385`, its long values `16389`, or the simpler one `16393`."""
    return _member_of("60-postgres.zip", name)


def _member_of(archive: str, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(shape(archive))) as opened:
        return opened.read(name)


def _packed(kind: str, filter_: str | None = None) -> bytes:
    return archives.written(kind, [("a.bin", b"\0\1\2"), ("people.csv", TABLE.encode())], filter_)


def _sqlite() -> bytes:
    blob = make_zip(
        {"people.csv": random.Random(1).randbytes(9000).hex().encode() + TABLE.encode(), "b.csv": TABLE.encode()}
    )
    with closing(sqlite3.connect(":memory:")) as base:
        base.execute("CREATE TABLE p (nom TEXT, prenom TEXT, ville TEXT, tel TEXT, fichier BLOB)")
        base.executemany("INSERT INTO p VALUES (?,?,?,?,?)", [(*row, blob) for row in _ROWS[:4]])
        return base.serialize()


def _table() -> pa.Table:
    columns = {name: [row[at] for row in _ROWS[1:]] for at, name in enumerate(_ROWS[0])}
    return pa.table({**columns, "fichier": [gzip.compress(TABLE.encode(), mtime=0)] * len(_ROWS[1:])})


def _parquet() -> bytes:
    target = pa.BufferOutputStream()
    parquet.write_table(_table(), target, compression="gzip")
    return target.getvalue().to_pybytes()


def _arrow() -> bytes:
    target = pa.BufferOutputStream()
    with pa.ipc.new_file(target, _table().schema) as writer:
        writer.write_table(_table())
    return target.getvalue().to_pybytes()


def _dbase() -> bytes:
    fields = b"".join(
        name.ljust(11, b"\0") + b"C" + bytes(4) + bytes([size]) + bytes(15)
        for name, size in ((b"NOM", 20), (b"VILLE", 20))
    )
    rows = b"".join(b" " + row[0].encode().ljust(20) + row[2].encode().ljust(20) for row in _ROWS[1:])
    head = struct.pack("<BBBBIHH20x", 3, 124, 11, 2, len(_ROWS) - 1, 32 + len(fields) + 1, 41)
    return head + fields + b"\r" + rows + b"\x1a"


def _bson(record: dict[str, str]) -> bytes:
    body = b"".join(
        b"\x02" + key.encode() + b"\0" + struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
        for key, value in record.items()
    )
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _brotli(data: bytes) -> bytes:
    return brotli.compress(data)


def yenc(data: bytes) -> bytes:
    """A file as yEnc 1.3 writes it, in lines of 128 bytes."""
    lines = []
    for at in range(0, len(data), 128):
        line = bytearray()
        for value in data[at : at + 128]:
            coded = (value + 42) & 255
            line += bytes([61, (coded + 64) & 255]) if coded in (0, 10, 13, 61) else bytes([coded])
        lines.append(bytes(line) + b"\r\n")
    size = len(data)
    return b"=ybegin line=128 size=%d name=a.csv\r\n%s=yend size=%d crc32=%08x\r\n" % (
        size, b"".join(lines), size, zlib.crc32(data)
    )  # fmt: skip


SOUND: Mapping[str, Callable[[], bytes]] = {
    "text": lambda: _TEXT.encode(),
    "html": lambda: f"<!DOCTYPE html><html><body><p>{_TEXT}</p><table><tr><td>a</td><td>b</td></tr></table></body></html>".encode(),
    "eml": lambda: _MAIL.encode(),
    "mbox": lambda: f"From a@b.example Mon May  3 10:00:00 2021\n{_MAIL}\n".encode(),
    "base32": lambda: base64.b32encode(make_zip({"people.csv": TABLE.encode()})),
    "base85": lambda: base64.b85encode(make_zip({"people.csv": TABLE.encode()})),
    "hex_dump": lambda: make_zip({"people.csv": TABLE.encode()}).hex(" ").encode(),
    "yenc": lambda: yenc(TABLE.encode()),
    "base64": lambda: base64.encodebytes(make_zip({"people.csv": TABLE.encode()})),
    "json_string": lambda: json.dumps(TABLE).encode(),
    "rtf": lambda: rb"{\rtf1\ansi Lef\'e8vre Zo\u233?, n\'e9e le 12/03/1975\par}",
    "uuencoded": lambda: b"begin 644 a.csv\n" + b"".join(
        binascii.b2a_uu(TABLE.encode()[at : at + 45]) for at in range(0, len(TABLE.encode()), 45)
    ) + b" \nend\n",
    "quoted_printable": lambda: quopri.encodestring("Lefèvre Zoé a dit que oui = non\n".encode() * 40),
    "delimited": lambda: TABLE.encode(),
    "json_lines": lambda: "\n".join(map(json.dumps, structured.records(crowd(1, 20)))).encode(),
    "json": lambda: json.dumps(structured.nested(crowd(1, 20))).encode(),
    "xml": lambda: structured.xml(crowd(1, 20)).encode(),
    "fhir": lambda: json.dumps(structured.bundle(crowd(1, 20))).encode(),
    "hl7": lambda: structured.hl7(crowd(1, 20)).encode(),
    "vcard": lambda: structured.vcards(crowd(1, 20)).encode(),
    "sql_dump": lambda: b"CREATE TABLE p (nom text, ville text);\nINSERT INTO p (nom, ville) VALUES ('Martin','Lyon'),('Petit','Nice');\n" * 9,
    "statement_log": lambda: b"".join(
        b"LOG:  execute <unnamed>: INSERT INTO patient (nom, prenom, ddn) VALUES ($1, $2, $3)\n"
        b"DETAIL:  parameters: $1 = 'Roux%d', $2 = 'Anne', $3 = '1975-03-12'\n" % number for number in range(20)
    ),
    "edi": lambda: b"UNA:+.? '\nUNB+UNOC:3+LABO+CLINIQUE+240501:1000+1'\n" + b"".join(
        b"PNA+PAT+%d+++SU:ROUX+FO:ANNE'\nDTM+329:19750312:102'\nFTX+AAA+++L?'hiver'\n" % number for number in range(20)
    ) + b"UNZ+1+1'\n",
    "gedcom": lambda: b"0 HEAD\n1 CHAR UTF-8\n" + b"".join(
        b"0 @I%d@ INDI\n1 NAME Anne /Roux/\n1 BIRT\n2 DATE 12 MAR 1975\n" % number for number in range(20)
    ) + b"0 TRLR\n",
    "influx": lambda: b"".join(b'patient,nom=Roux\\ %d,ville=Nice ddn="1975-03-12",age=49i 170000000000000000%d\n' % (number, number) for number in range(20)),
    "line_records": lambda: b"".join(
        b'127.0.0.1:6379> HGETALL patient:%d\n1) "nom"\n2) "Roux"\n3) "prenom"\n4) "Zo\\xc3\\xa9"\n' % number for number in range(20)
    ),
    "wiki_table": lambda: b'Voici :\n{| class="wikitable"\n! Nom\n! N\xc3\xa9 le\n' + b"".join(
        b"|-\n| Roux %d\n| 12/03/1975\n" % number for number in range(20)
    ) + b"|}\n",
    "dif": lambda: b'TABLE\n0,1\n""\nVECTORS\n0,20\n""\nTUPLES\n0,2\n""\nDATA\n0,0\n""\n' + b"".join(
        b'-1,0\nBOT\n1,0\n"Roux%d"\n0,1975\nV\n' % number for number in range(20)
    ) + b"-1,0\nEOD\n",
    "path_lines": lambda: b"".join(
        b'json[%d].nom = "Roux";\njson[%d].prenom = "Anne";\n' % (number, number) for number in range(20)
    ),
    "program_values": lambda: b"".join(
        b"(%d, 'Roux', 'Anne', datetime.date(1975, 3, 12))\n" % number for number in range(20)
    ),
    "r_values": lambda: b'structure(list(nom = c("Roux", "Petit"), ddn = structure(c(1896, 2000), class = "Date")), class = "tbl_df", row.names = c(NA, -2L))\n',
    "turtle": lambda: b"@prefix f: <http://xmlns.com/foaf/0.1/> .\n" + b"".join(
        b'<http://a/%d> f:familyName "Roux" ; f:givenName "Anne" .\n' % number for number in range(20)
    ),
    "sqlite": _sqlite,
    "access": lambda: made(jet3=False)[0],
    "gzip": lambda: gzip.compress(TABLE.encode(), mtime=0),
    "bzip2": lambda: bz2.compress(TABLE.encode()),
    "xz": lambda: lzma.compress(TABLE.encode(), preset=1),
    "lzma": lambda: lzma.compress(TABLE.encode(), lzma.FORMAT_ALONE, preset=1),
    "lzip": lambda: _packed("gnutar", "lzip"),
    "zstd": lambda: zstandard.compress(TABLE.encode()),
    "lz4": lambda: _packed("gnutar", "lz4"),
    "compress": lambda: _packed("gnutar", "compress"),
    "brotli": lambda: _brotli(TABLE.encode()),
    "zip": lambda: make_zip({"people.csv": TABLE.encode(), "inner.zip": make_zip({"a.csv": TABLE.encode()})}, zipfile.ZIP_STORED),
    "tar": lambda: archives.tar([("people.csv", TABLE.encode()), ("a.zip", make_zip({"a.csv": TABLE.encode()}))]),
    "cpio": lambda: _packed("cpio_newc"),
    "ar": lambda: _packed("ar_svr4"),
    "xar": lambda: _packed("xar"),
    "7z": lambda: _packed("7zip"),
    "rar": lambda: archives.rar5([("people.csv", TABLE.encode()), ("a.zip", make_zip({"a.csv": TABLE.encode()}))]),
    "cab": lambda: archives.cab([("people.csv", TABLE.encode()), ("a.zip", make_zip({"a.csv": TABLE.encode()}))]),
    "lha": lambda: archives.lha([("people.csv", TABLE.encode()), ("a.zip", make_zip({"a.csv": TABLE.encode()}))]),
    "iso9660": lambda: _packed("iso9660"),
    "xlsx": lambda: office.workbook(_ROWS),
    "docx": lambda: make_zip(office.document_parts(office.paragraph(_TEXT) + office.word_table(_ROWS))),
    "pptx": lambda: make_zip({
        "[Content_Types].xml": b'<?xml version="1.0"?><Types><Override ContentType="application/vnd.openxmlformats-officedocument.presentationml.slide+xml"/></Types>',
        "ppt/slides/slide1.xml": f'<?xml version="1.0"?><p:sld xmlns:p="p" xmlns:a="a"><a:p><a:r><a:t>{_TEXT}</a:t></a:r></a:p></p:sld>'.encode(),
    }),
    "ods": lambda: office.open_document(office.ods_table(_ROWS)),
    "odt": lambda: office.open_document(f"<text:p>{_TEXT}</text:p>", "text"),
    "pdf": lambda: document([["Le", "patient", "va", "mieux"]]),
    "parquet": _parquet,
    "arrow": _arrow,
    "ole": lambda: compound({"notes": _TEXT.encode() * 9, "a.zip": make_zip({"a.csv": TABLE.encode() * 200, "b.csv": TABLE.encode()})}),
    "dbase": lambda: _dbase(),
    "ldif": lambda: "".join(
        f"dn: uid={row[0]},dc=chu\nobjectClass: inetOrgPerson\nsn: {row[0]}\ngivenName:: {base64.b64encode(row[1].encode()).decode()}\n\n"
        for row in _ROWS[1:]
    ).encode(),
    "icalendar": lambda: b"BEGIN:VCALENDAR\nVERSION:2.0\n" + b"".join(
        b"BEGIN:VEVENT\nSUMMARY:RDV %s\nDESCRIPTION:long\n gue suite\nEND:VEVENT\n" % row[0].encode() for row in _ROWS[1:]
    ) + b"END:VCALENDAR\n",
    "hprim": lambda: b"H|~^\\&|a.HPR||001~LABO||ORU\n" + b"".join(
        b"P|1|%d||201015917668470|%s~Paul||20010128|F||rue||0199001000\n" % (at, row[0].encode()) for at, row in enumerate(_ROWS[1:])
    ),
    "cbor": lambda: b"\x98\x3c" + b"".join(
        b"\xa2\x63nom" + bytes([0x60 + len(row[0])]) + row[0].encode() + b"\x63tel\x6a" + row[3].encode() for row in _ROWS[1:]
    ),
    "msgpack": lambda: b"\xdc\0\x3c" + b"".join(
        b"\x82\xa3nom" + bytes([0xA0 + len(row[0])]) + row[0].encode() + b"\xa3tel\xaa" + row[3].encode() for row in _ROWS[1:]
    ),
    "bson": lambda: b"".join(_bson({"nom": row[0], "ville": row[2]}) for row in _ROWS[1:]),
    "php_serialized": lambda: b"a:2:{i:0;a:1:{s:3:\"nom\";s:6:\"Martin\";}i:1;a:1:{s:3:\"nom\";s:5:\"Petit\";}}",
    "plist": lambda: plistlib.dumps([{"nom": row[0], "ville": row[2]} for row in _ROWS[1:]], fmt=plistlib.FMT_BINARY),
    "dicom": lambda: bytes(128) + b"DICM" + b"".join(
        struct.pack("<HH2sH", group, element, kind, len(value)) + value
        for group, element, kind, value in (
            (2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0"), (8, 5, b"CS", b"ISO_IR 192"),
            (0x10, 0x10, b"PN", b"Martin^Paul "), (0x10, 0x30, b"DA", b"19750312"),
        )
    ),
    "dicom_text": lambda: b"# Dicom-Data-Set\n(0010,0010) PN [Martin^Paul]  # 12, 1 PatientName\n(0010,0030) DA [19750312]  # 8, 1 PatientBirthDate\n",
    "fixed_width": lambda: "".join(
        f"{['Martin', 'Petit', 'Durand', 'Moreau', 'Blanc'][at % 5]:<20}19{at + 60}0312{at:07}\n" for at in range(12)
    ).encode(),
    "chat": lambda: b"".join(b"%02d/03/2024, 14:05 - Paul: bonjour\n" % (at + 1) for at in range(9)),
    "innodb": lambda: innodb("compact.ibd"),
    "myisam": lambda: _member_of("61-isam.zip", "mydyn.MYD"),
    "aria": lambda: _member_of("61-isam.zip", "ariadyn.MAD"),
    "dbase_memo": lambda: _member_of("T7b-dbase-memo.zip", "patvfp.fpt"),
    "pickle": lambda: pickle.dumps([{"nom": row[0], "ville": row[2]} for row in _ROWS[1:]]),
    "sylk": lambda: b"ID;PWXL;N;E\r\n" + "".join(
        f'C;Y{at};X{place};K"{value}"\r\n' for at, row in enumerate(_ROWS, 1) for place, value in enumerate(row, 1)
    ).encode() + b"E\r\n",
    "gnumeric": lambda: b'<?xml version="1.0"?><g:Workbook xmlns:g="http://www.gnumeric.org/v10.dtd"><g:Cells>' + "".join(
        f'<g:Cell Row="{at}" Col="{place}">{value}</g:Cell>' for at, row in enumerate(_ROWS) for place, value in enumerate(row)
    ).encode() + b"</g:Cells></g:Workbook>",
    "fods": lambda: (
        '<?xml version="1.0"?><o:document xmlns:o="o" o:mimetype="application/vnd.oasis.opendocument.spreadsheet"><o:table>'
        + "".join("<o:table-row>" + "".join(f"<o:table-cell><o:p>{value}</o:p></o:table-cell>" for value in row) + "</o:table-row>" for row in _ROWS)
        + "</o:table></o:document>"
    ).encode(),
    "mysql_binlog": lambda: shape("60-binlog.000004"),
    "postgres_table": lambda: postgres("16393"),
    "pg_archive": lambda: shape("59-pg-custom-16.dump"),
    "redis": lambda: shape("63-redis-7.0.rdb"),
    "avro": lambda: shape("56-avro-snappy.avro"),
    "spss": lambda: shape("55b-spss.zsav"),
    "spss_portable": lambda: shape("55c-spss.por"),
    "stata": lambda: shape("55d-stata-15.dta"),
    "sas_transport": lambda: shape("55f-sas.xpt"),
    "orc": lambda: shape("57-orc-zlib.orc"),
    # a mailbox that ends behind its signature (`NEVER_WHOLE`)
    "pst": lambda: b"!BDN" + bytes(1000),
    "sas": lambda: shape("55g-sas.sas7bdat"),
    "file_list": lambda: b"".join(b"./dossiers/%s %s/fiche.pdf\n" % (row[0].encode(), row[1].encode()) for row in _ROWS[1:]),
    "picture": lambda: (Path(__file__).parent.parent / "samples" / "pictures" / "form-16.png").read_bytes(),
    "utf_32": lambda: _TEXT.encode("utf-32"),
    "unknown": lambda: b"\xfa\xce\0\1" + b"".join(struct.pack("<IIHH", number, 7 * number, 3, 0) for number in range(250)),
}  # fmt: skip
"""By format. `brotli` and `aria` are known by the name of a member alone."""
NEVER_WHOLE = {"pst": "damaged", "myisam": "unnamed", "aria": "unnamed"}
"""Formats whose file here is never complete, and its problem: a mailbox of Outlook takes 16 MB, and tables of MyISAM and
Aria are described by files beside them. `test_outlook_store.py` and `test_isam_table.py` read sound ones."""
NAMES = {"brotli": "a.br", "aria": "a.MAD"}


def sample(kind: str, data: bytes) -> bytes:
    """The file as a sample: inside a zip where its name has to tell what it is."""
    return make_zip({NAMES[kind]: data}, zipfile.ZIP_STORED) if kind in NAMES else data
