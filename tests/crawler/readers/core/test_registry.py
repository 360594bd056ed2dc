"""The registry finds every reader, whatever family its module belongs to."""

from __future__ import annotations

from collections import Counter

import pytest

from crawler.alerts.channels.registry import dialects
from crawler.readers.core.limits import HEAD
from crawler.readers.core.registry import choose, readers
from tests.crawler.readers.frames import must_end
from tests.synth.every_format import NAMES, SOUND

FORMATS = {
    "7z", "access", "ar", "aria", "myisam", "dbase_memo", "pickle", "sylk", "gnumeric", "fods", "arrow", "avro", "base32", "base64", "base85", "brotli", "bson", "bzip2", "chat", "dicom_text", "fixed_width", "dbase", "dicom", "hprim", "icalendar", "innodb", "mysql_binlog", "postgres_table", "ldif",
    "msgpack", "cbor", "php_serialized", "plist", "cab", "compress", "cpio", "delimited", "docx", "eml",
    "fhir", "file_list", "gzip", "hex_dump", "hl7", "html", "iso9660", "json", "json_lines", "json_string", "lha", "lz4", "lzip", "lzma", "mbox",
    "ods", "odt", "ole", "orc", "parquet", "pdf", "pg_archive", "picture", "pst", "pptx", "quoted_printable", "rar", "redis", "rtf", "sas", "sas_transport", "spss", "spss_portable", "stata", "sql_dump", "statement_log", "edi", "gedcom", "influx", "line_records", "wiki_table", "dif", "path_lines", "program_values", "r_values", "turtle", "sqlite", "tar",
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


# what a file can begin with again and again
REPEATED = (
    b"\n", b" ", b"\t", b"\r\n", b" \n", b"#\n", b"# a\n", b"<!-- -->", b"<!--", b"<a>", b"<a ", b"<", b"&amp;", b"{", b"[",
    b"(", b'"', b"'", b"\\", b";", b",", b"|", b"|-", b"+-", b"-", b"--\n", b"=", b"a=b&", b"a: b\n", b"/*", b"/**/", b"//\n",
    b"'a',", b"(1),", b"./a/", b"a.", b"\x1b[1m", b"%41", b"=41", b"=\r\n", b"X: y\n", b" y\n", b"A", b"A ", b"0 ", b"0000 41\n",
    b"PID|", b"^", b"~", b"$a$", b"1,", b"a:1:{", b"i:1;", b"\x91", b"\x81\xa1a", b"version: 1\n", b"\xc3\xa9 ", b"12/03/1975 ",
)  # fmt: skip
BEFORE = (
    b"",
    b"<?xml version='1.0'?>",
    b"INSERT INTO t VALUES (",
    b'{"a":',
    b"dn: ",
    b"From: a\nTo: b\n",
    b"BEGIN:VCARD\n",
)


@pytest.mark.parametrize("before", BEFORE)
def test_no_beginning_is_recognised_in_endless_ways(before: bytes) -> None:
    """An expression that can divide it in many ways doubles its time with each repetition, and would never end."""
    heads = [before + repeated * (400 // len(repeated)) for repeated in REPEATED]

    with must_end(30):
        for reader in readers():
            for head in heads:
                reader.sniff(head, "")


@pytest.mark.parametrize("repeated", [b" ", b"\t", b"a", b"1", b"\xc3\xa9", b"\x91"])
def test_a_line_of_one_character_is_recognised_in_linear_time(repeated: bytes) -> None:
    """The work of a square of 64 KiB would be minutes; the whole takes a fifth of a second."""
    # the last line of a whole head may be cut, and is left out by some
    head = (b"nom\tprenom\n" + repeated * HEAD)[: HEAD - 1]
    with must_end(10):
        for reader in readers():
            reader.sniff(head, "")


def test_exactly_the_known_channel_dialects_are_found():
    assert {"generic", "matrix", "slack"} < set(dialects())
