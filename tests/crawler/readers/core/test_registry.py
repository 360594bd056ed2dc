"""The registry finds every reader, whatever family its module belongs to."""

from __future__ import annotations

from collections import Counter

from crawler.alerts.channels.registry import dialects
from crawler.readers.core.limits import HEAD
from crawler.readers.core.registry import choose, readers
from tests.synth.every_format import NAMES, SOUND

FORMATS = {
    "7z", "access", "ar", "aria", "myisam", "dbase_memo", "pickle", "sylk", "gnumeric", "fods", "arrow", "avro", "base32", "base64", "base85", "brotli", "bson", "bzip2", "chat", "dicom_text", "fixed_width", "dbase", "dicom", "hprim", "icalendar", "innodb", "mysql_binlog", "postgres_table", "ldif",
    "msgpack", "cbor", "php_serialized", "plist", "cab", "compress", "cpio", "delimited", "docx", "eml",
    "fhir", "file_list", "gzip", "hex_dump", "hl7", "html", "iso9660", "json", "json_lines", "json_string", "lha", "lz4", "lzip", "lzma", "mbox",
    "ods", "odt", "ole", "orc", "parquet", "pdf", "pg_archive", "picture", "pst", "pptx", "quoted_printable", "rar", "redis", "rtf", "sas", "sas_transport", "spss", "spss_portable", "stata", "sql_dump", "statement_log", "edi", "gedcom", "influx", "line_records", "wiki_table", "sqlite", "tar",
    "text", "unknown", "utf_32", "uuencoded", "vcard", "xar", "xlsx", "xml", "xz", "yenc", "zip", "zstd",
}  # fmt: skip


def test_exactly_the_known_formats_are_found():
    assert {reader.FORMAT for reader in readers()} == FORMATS


def test_a_format_has_one_reader():
    # `unknown` has two: files that no reader recognises, and formats that are recognised but cannot be read
    assert {name: count for name, count in Counter(reader.FORMAT for reader in readers()).items() if count > 1} == {
        "unknown": 2
    }


def test_a_sound_file_of_every_format_is_given_to_its_reader():
    read = {name: choose(make()[:HEAD], NAMES.get(name, "")) for name, make in SOUND.items() if name != "unknown"}
    assert {name: reader and reader.FORMAT for name, reader in read.items()} == {name: name for name in read}


def test_exactly_the_known_channel_dialects_are_found():
    assert {"generic", "matrix", "slack"} < set(dialects())
