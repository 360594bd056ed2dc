"""Columns of an InnoDB table as MySQL 8 describes them inside the file, and the values of its records by them.

Source: https://dev.mysql.com/doc/refman/8.0/en/serialized-dictionary-information.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from crawler.readers.databases.mysql.innodb_layout import bits_of, lengths_of
from crawler.readers.databases.mysql.innodb_pages import InnodbRecord
from crawler.readers.databases.unnamed_columns import date_of, decimal_of, moment_of, number_of, text_pieces

_TYPE = re.compile(r"(\w+)(?:\((\d+)(?:,(\d+))?\))?")
_SIZES = {
    "tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "integer": 4, "bigint": 8, "float": 4, "double": 8,
    "date": 3, "year": 1, "time": 3, "datetime": 5, "timestamp": 4,
}  # fmt: skip
_DECIMAL = ("decimal", "numeric")
_WHOLE = frozenset(("tinyint", "smallint", "mediumint", "int", "integer", "bigint"))
# collations of character sets in which a character is one byte: CHAR has a fixed size in these
_SINGLE_BYTE = frozenset((5, 8, 11, 15, 31, 47, 48, 49, 63, 65, 94))
_TEXTS = frozenset(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"))
BINARY = frozenset(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"))
"""Types whose values may be files."""
# columns that were added or dropped without writing the rows anew: older rows have others than those that are described
_INSTANT = ("instant_col=", "version_added=", "version_dropped=")
_MAX_COLUMNS = 1024


@dataclass(frozen=True, slots=True)
class InnodbColumn:
    """A column in the order of the records.

    Attributes:
        name: of the column, '' for those of InnoDB itself. kind: its type. size: bytes, 0 if it varies.
        short: its length has one byte in any case. nullable: it may be NULL.
        digits: of a DECIMAL, before and behind the point.
    """

    name: str
    kind: str
    size: int
    short: bool
    nullable: bool
    digits: tuple[int, int] = (0, 0)


def is_table(dictionary: bytes) -> bool:
    """Whether a description is one of a table; others are of the file."""
    try:
        described: Any = orjson.loads(dictionary)
    except ValueError:
        return False
    return isinstance(described, dict) and described.get("dd_object_type") == "Table"


def read_columns(dictionary: bytes) -> list[InnodbColumn]:
    """The columns of a table, in the order of its records; [] if its description does not fit all of its rows."""
    try:
        table: Any = orjson.loads(dictionary)["dd_object"]
        columns = table["columns"]
        private = [str(each.get("se_private_data")) for each in (table, *columns)]
        if any(mark in each for each in private for mark in _INSTANT):
            return []
        found = [_column(columns[each["column_opx"]]) for each in table["indexes"][0]["elements"][:_MAX_COLUMNS]]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return []
    return found


def _column(given: Any) -> InnodbColumn:
    name, hidden = str(given["name"]), int(given["hidden"])
    system = {"DB_TRX_ID": 6, "DB_ROLL_PTR": 7, "DB_ROW_ID": 6}.get(name)
    if system is not None and hidden != 1:
        return InnodbColumn("", "system", system, short=True, nullable=False)
    declared = str(given["column_type_utf8"]).lower()
    match = _TYPE.match(declared)
    if match is None:
        raise ValueError(declared)
    kind, first, second = match[1], int(match[2] or 0), int(match[3] or 0)
    size = _SIZES.get(kind, 0)
    if kind in ("time", "datetime", "timestamp"):
        size += (first + 1) // 2
    elif kind in _DECIMAL:
        size = _decimal_size(first - second) + _decimal_size(second)
    elif kind == "enum":
        size = 1 if declared.count("','") < 255 else 2
    elif kind == "set":
        members = declared.count("','") + 1
        size = next((size for size in (1, 2, 3, 4) if members <= 8 * size), 8)
    elif kind == "bit":
        size = (first + 7) // 8 or 1
    elif kind == "binary" or (kind == "char" and int(given["collation_id"]) in _SINGLE_BYTE):
        size = first or 1
    longest = int(given.get("char_length") or 0)
    short = kind in ("char", "varchar", "varbinary") and 0 < longest <= 255
    digits = (first - second, second) if kind in _DECIMAL else (0, 0)
    return InnodbColumn(name, kind, size, short, bool(given["is_nullable"]), digits)


def _decimal_size(digits: int) -> int:
    """Bytes of so many digits of a DECIMAL: four for each nine of them, and one for two of the others."""
    return digits // 9 * 4 + (digits % 9 + 1) // 2


def divide_record(record: InnodbRecord, columns: Sequence[InnodbColumn]) -> list[tuple[bytes, bool] | None] | None:
    """The values of a record by its columns: bytes, and whether they end with the place of further ones.

    Returns:
        None for a value that is NULL. None for the record if it does not fit its columns.
    """
    nullable = sum(each.nullable for each in columns)
    size = (nullable + 7) // 8
    bits = int.from_bytes(bits_of(record, size), "big")
    taken: list[InnodbColumn | None] = []
    for each in columns:
        is_null = each.nullable and bits & 1
        if each.nullable:
            bits >>= 1
        taken.append(None if is_null else each)
    varying = [each for each in taken if each is not None and not each.size]
    lengths, _ = lengths_of(record, size, len(varying), [each.short for each in varying])
    given, at = iter(lengths), record.origin
    values: list[tuple[bytes, bool] | None] = []
    for column in taken:
        if column is None:
            values.append(None)
            continue
        length, elsewhere = (column.size, False) if column.size else next(given, (0, False))
        values.append((record.page[at : at + length], elsewhere))
        at += length
    return values if at <= record.end else None


def value_of(data: bytes, column: InnodbColumn) -> bytes:
    """A value as text; '' if it is none (positions of ENUM, FLOAT)."""
    kind = column.kind
    if kind in _DECIMAL:
        return decimal_of(data, *column.digits).encode()
    if kind == "date":
        return date_of(data).encode()
    if kind == "datetime":
        return moment_of(data).encode()
    if kind in _WHOLE and data:
        return number_of(data).encode()
    if kind == "json":
        # its names and texts stand in it as they are, between numbers that say where
        return text_pieces(data)
    return data.rstrip(b" ") if kind in _TEXTS else b""
