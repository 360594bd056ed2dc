"""BSON files and archives as `mongodump` writes them: each document is a row.

Sources: https://bsonspec.org/spec.html, and archive/README of mongo-tools for archives.
"""

from __future__ import annotations

from typing import Any

from crawler.readers.core.limits import HEAD, Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.serialised.cursor import Cursor, moment, text_value, utf8_value
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "bson"
EMBEDDED_SEARCH = "all"

_ARCHIVE = b"\x6d\xe2\x99\x81"
_END_OF_BLOCK = b"\xff\xff\xff\xff"
# Documents of MongoDB have at most 16 MiB, and those of its tools a little more.
_MAX_DOCUMENT = 2**24 + 2**14
_MAX_NAME = 2**16
_TYPES = frozenset((*range(1, 0x14), 0x7F, 0xFF))


def sniff(head: bytes, name: str) -> float:
    """Confidence that the sample is BSON: certain for an archive, high if the first document can be read."""
    if head.startswith(_ARCHIVE):
        return 0.99
    size = int.from_bytes(head[:4], "little")
    if not 8 <= size <= _MAX_DOCUMENT or len(head) < 7 or head[4] not in _TYPES:
        return 0.0
    try:
        document = _read_document(Cursor(head))
    except Damaged:
        return 0.6 if len(head) >= HEAD and size > len(head) and name.lower().endswith(".bson") else 0.0
    return 0.95 if document and all(key.isprintable() for key in document) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each document, one document in memory at a time."""
    records = RecordWriter(out, limits)
    is_archive = source.peek(4) == _ARCHIVE
    if is_archive:
        source.read(4)
    try:
        while start := source.peek(4):
            if is_archive and start == _END_OF_BLOCK:
                source.read(4)
                continue
            size = int.from_bytes(start, "little")
            if not 5 <= size <= _MAX_DOCUMENT or len(start) < 4:
                if start.strip(b"\0"):
                    raise Damaged("damaged", "what follows a document is not a document")
                source.skip_zeros()
                continue
            document = _read_document(Cursor(source.read(size)))
            if not (is_archive and {"db", "collection"} <= document.keys()):
                records.add([document], size=size)
    finally:
        records.finish()


def _read_document(cursor: Cursor, depth: int = 0) -> dict[str, Any]:
    end = cursor.at + cursor.number("<i")
    if end > len(cursor.data) or end < cursor.at + 1:
        raise Damaged("cut", "the file ends inside a document")
    found: dict[str, Any] = {}
    while kind := cursor.byte():
        cursor.count_node(depth)
        name = utf8_value(cursor.until(b"\0", _MAX_NAME))
        found[name] = _read_value(cursor, kind, depth)
    if cursor.at != end:
        raise Damaged("damaged", "the length of a document is wrong")
    return found


def _read_value(cursor: Cursor, kind: int, depth: int) -> Any:
    if kind in (0x02, 0x0D, 0x0E):
        return utf8_value(cursor.take(cursor.number("<i"))[:-1])
    if kind == 0x03:
        return _read_document(cursor, depth + 1)
    if kind == 0x04:
        return list(_read_document(cursor, depth + 1).values())
    if kind == 0x05:
        size = cursor.number("<i")
        cursor.byte()
        return text_value(cursor.take(size))
    if kind == 0x07:
        return cursor.take(12).hex()
    if kind == 0x09:
        return moment(cursor.number("<q") / 1000)
    if kind == 0x0B:
        return utf8_value(cursor.until(b"\0", _MAX_NAME) + b"/" + cursor.until(b"\0", _MAX_NAME))
    if kind == 0x0C:
        return utf8_value(cursor.take(cursor.number("<i"))[:-1] + b" " + cursor.take(12).hex().encode())
    if kind == 0x0F:
        cursor.number("<i")
        code = utf8_value(cursor.take(cursor.number("<i"))[:-1])
        return [code, _read_document(cursor, depth + 1)]
    if kind == 0x08:
        return cursor.byte() != 0
    if kind == 0x13:
        return _decimal(cursor.take(16))
    form = {0x01: "<d", 0x10: "<i", 0x11: "<Q", 0x12: "<q"}.get(kind)
    if form is None and kind not in (0x06, 0x0A, 0x7F, 0xFF):
        raise Damaged("damaged", "a value has a type that BSON does not know")
    return cursor.number(form) if form is not None else None


def _decimal(data: bytes) -> str:
    """A decimal number of 128 bits, if it has no exponent of the rare second form."""
    bits = int.from_bytes(data, "little")
    exponent = (bits >> 113 & 0x3FFF) - 6176
    digits = str(bits & (1 << 113) - 1)
    if bits >> 125 & 3 == 3 or not -40 <= exponent <= 40:
        return ""
    if exponent < 0:
        digits = digits.rjust(1 - exponent, "0")
        digits = f"{digits[:exponent]}.{digits[exponent:]}"
    return ("-" if bits >> 127 else "") + digits + "0" * max(0, exponent)
