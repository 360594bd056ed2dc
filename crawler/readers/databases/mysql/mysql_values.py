"""Values of MySQL as the events of its binary log hold them, the small end first.

Source: https://dev.mysql.com/doc/dev/mysql-server/latest/classbinary__log_1_1Table__map__event.html and sql/log_event.cc
of MariaDB 10.11.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from crawler.readers.core.limits import Damaged
from crawler.readers.databases.unnamed_columns import date_of, decimal_of, moment_of, text_pieces

_TINY, _SHORT, _LONG, _FLOAT, _DOUBLE, _NULL, _TIMESTAMP, _LONGLONG, _INT24 = 1, 2, 3, 4, 5, 6, 7, 8, 9
_DATE, _TIME, _DATETIME, _YEAR, _NEWDATE, _VARCHAR, _BIT = 10, 11, 12, 13, 14, 15, 16
_TIMESTAMP2, _DATETIME2, _TIME2, _JSON, _NEWDECIMAL, _ENUM, _SET = 17, 18, 19, 245, 246, 247, 248
_BLOBS, _VAR_STRING, _STRING, _GEOMETRY = (249, 250, 251, 252), 253, 254, 255
# MariaDB's compressed columns
_COMPRESSED_BLOB, _COMPRESSED_VARCHAR = 140, 141
COMPRESSED = frozenset((_COMPRESSED_BLOB, _COMPRESSED_VARCHAR))
_WHOLE = {_TINY: 1, _SHORT: 2, _INT24: 3, _LONG: 4, _LONGLONG: 8}
_FIXED = {
    **_WHOLE, _FLOAT: 4, _DOUBLE: 8, _TIMESTAMP: 4, _DATE: 3, _NEWDATE: 3, _TIME: 3, _DATETIME: 8, _YEAR: 1, _NULL: 0,
}  # fmt: skip
# bytes by which a table map describes a column further
_META = {
    **dict.fromkeys((_FLOAT, _DOUBLE, _TIMESTAMP2, _DATETIME2, _TIME2, _JSON, _GEOMETRY, *_BLOBS, _COMPRESSED_BLOB), 1),
    **dict.fromkeys((_VARCHAR, _BIT, _NEWDECIMAL, _ENUM, _SET, _VAR_STRING, _STRING, _COMPRESSED_VARCHAR), 2),
}


@dataclass(frozen=True, slots=True)
class MysqlType:
    """The type of a column: its code, and what a table map says about it (length, digits)."""

    kind: int
    meta: bytes


def read_types(kinds: bytes, meta: bytes) -> list[MysqlType]:
    """The types of the columns of a table map.

    Raises:
        Damaged: it is damaged, or has a type that is not known.
    """
    found, at = [], 0
    for kind in kinds:
        size = _META.get(kind, 0)
        if kind not in _META and kind not in _FIXED:
            raise Damaged("unread", f"a column has the type {kind}, which is not known")
        found.append(MysqlType(kind, meta[at : at + size]))
        at += size
    if at > len(meta):
        raise Damaged("damaged", "the description of a table is damaged")
    return found


def read_value(data: bytes, at: int, column: MysqlType) -> tuple[bytes, int]:
    """A value as text, and where the next one begins; '' for values that are no text, number or date.

    Raises:
        Damaged: the event ends inside the value.
    """
    kind, meta = column.kind, column.meta
    if kind in _WHOLE:
        end = at + _WHOLE[kind]
        if end > len(data):
            raise Damaged("cut", "an event ends inside a row")
        return b"%d" % int.from_bytes(data[at:end], "little", signed=True), end
    if kind == _STRING:
        kind, size = _string_type(meta)
    else:
        size = 0
    if kind in _FIXED:
        size = _FIXED[kind]
    elif kind in (_VARCHAR, _VAR_STRING, _COMPRESSED_VARCHAR):
        longest = int.from_bytes(meta, "little")
        width = 1 if longest < 256 else 2
        size, at = _length(data, at, width)
    elif kind == _STRING:
        size, at = _length(data, at, 1 if size < 256 else 2)
    elif kind in _BLOBS or kind in (_JSON, _GEOMETRY, _COMPRESSED_BLOB):
        if not 1 <= meta[0] <= 4:
            raise Damaged("damaged", "the description of a table is damaged")
        size, at = _length(data, at, meta[0])
    elif kind in (_TIMESTAMP2, _DATETIME2, _TIME2):
        size = {_TIMESTAMP2: 4, _DATETIME2: 5, _TIME2: 3}[kind] + (meta[0] + 1) // 2
    elif kind == _NEWDECIMAL:
        size = _digits(meta[0] - meta[1]) + _digits(meta[1])
    elif kind == _BIT:
        size = meta[1] + (meta[0] > 0)
    elif kind in (_ENUM, _SET):
        size = size or meta[1]
    value = data[at : at + size]
    if len(value) < size:
        raise Damaged("cut", "an event ends inside a row")
    if kind == _NEWDECIMAL:
        return decimal_of(value, max(0, meta[0] - meta[1]), meta[1]).encode(), at + size
    return _text(kind, value), at + size


def _string_type(meta: bytes) -> tuple[int, int]:
    """The true type of a string and its length: ENUM and SET hide behind it, and lengths above 255 in its bits."""
    if meta[0] in (_ENUM, _SET):
        return meta[0], meta[1]
    if meta[0] & 0x30 != 0x30:
        return _STRING, meta[1] | ((meta[0] & 0x30) ^ 0x30) << 4
    return _STRING, meta[1]


def _length(data: bytes, at: int, width: int) -> tuple[int, int]:
    return int.from_bytes(data[at : at + width], "little"), at + width


def _digits(count: int) -> int:
    return max(0, count) // 9 * 4 + (max(0, count) % 9 + 1) // 2


def _text(kind: int, value: bytes) -> bytes:
    if kind in (_VARCHAR, _VAR_STRING, _STRING) or kind in _BLOBS:
        return value
    if kind == _JSON:
        # its names and texts stand in it as they are, between numbers that say where
        return text_pieces(value)
    if kind in (_DATE, _NEWDATE):
        # as on the pages of InnoDB, but the other end first and without a sign
        return date_of((int.from_bytes(value, "little") | 0x800000).to_bytes(3, "big")).encode()
    if kind == _DATETIME2:
        return moment_of(value).encode()
    if kind == _DATETIME:
        digits = f"{int.from_bytes(value, 'little'):014}"
        return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]} {digits[8:10]}:{digits[10:12]}:{digits[12:14]}".encode()
    if kind == _YEAR:
        return str(1900 + value[0]).encode() if value[0] else b""
    if kind in (_FLOAT, _DOUBLE):
        return f"{struct.unpack('<f' if kind == _FLOAT else '<d', value)[0]:.15g}".encode()
    return b""
