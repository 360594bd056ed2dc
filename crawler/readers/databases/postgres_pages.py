"""Pages of a table of PostgreSQL as they lie in its data folder, the rows in them, and its values of varying length.

Sources: https://www.postgresql.org/docs/15/storage-page-layout.html; src/common/pg_lzcompress.c,
src/backend/utils/adt/numeric.c and src/include/utils/jsonb.h of PostgreSQL 15.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

HEADER = 24
_ROW_HEADER = 23
_NORMAL = 1
_HAS_NULLS, _MAX_COLUMNS = 1, 0x7FF
EXTERNAL = 18
"""Bytes of a value in whose place stands where it lies in the file of long values."""
ARRAY_HEADER = 12
"""Bytes at the beginning of an array: the number of its dimensions, where its elements begin, and their type."""
# the types TEXT, CHAR and VARCHAR
_TEXT_TYPES, _MAX_DIMENSIONS = (25, 1042, 1043), 6
# kinds of values and of containers in JSONB
_STRING, _NUMERIC, _FALSE, _TRUE, _NULL, _CONTAINER = range(6)
_SCALAR, _OBJECT, _ARRAY = 1, 2, 4
_OFFSET = 0x8000_0000
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class PostgresRow:
    """A row: bytes of its values, where they begin in it, the number of its columns, and which of them are NULL."""

    data: bytes
    columns: int
    nulls: frozenset[int]


def page_size(head: bytes) -> int:
    """The size of the pages of a table, by its first page; 0 if this is no page of a table with rows."""
    lower, upper, special, version = (int.from_bytes(head[at : at + 2], "little") for at in (12, 14, 16, 18))
    size = version & 0xFF00
    is_table = (
        version & 0xFF == 4 and size in (4096, 8192, 16_384, 32_768) and HEADER < lower <= upper <= special == size
    )
    return size if is_table and (lower - HEADER) % 4 == 0 else 0


def rows_of(page: bytes) -> tuple[list[PostgresRow], int]:
    """The rows of a page, deleted ones too, and the number of those that are damaged."""
    lower, size = int.from_bytes(page[12:14], "little"), len(page)
    found: list[PostgresRow] = []
    damaged = 0
    if not HEADER <= lower <= size:
        return found, int(any(page))
    for at in range(HEADER, lower - 3, 4):
        pointer = int.from_bytes(page[at : at + 4], "little")
        place, flags, length = pointer & 0x7FFF, pointer >> 15 & 3, pointer >> 17
        if flags != _NORMAL or not length:
            continue
        row = _row(page[place : place + length]) if place >= lower and place + length <= size else None
        if row is None:
            damaged += 1
        else:
            found.append(row)
    return found, damaged


def _row(data: bytes) -> PostgresRow | None:
    if len(data) < _ROW_HEADER:
        return None
    columns = int.from_bytes(data[18:20], "little") & _MAX_COLUMNS
    begin = data[22]
    nulls: frozenset[int] = frozenset()
    if data[20] & _HAS_NULLS:
        bits = int.from_bytes(data[_ROW_HEADER : _ROW_HEADER + (columns + 7) // 8], "little")
        nulls = frozenset(at for at in range(columns) if not bits >> at & 1)
    if begin < _ROW_HEADER or begin > len(data) or begin % 4:
        return None
    return PostgresRow(data[begin:], columns, nulls)


def varying_value(data: bytes, at: int) -> tuple[int, int, int]:
    """A value of varying length: where its bytes begin and end, and its kind: 0 plain, 1 compressed, 2 elsewhere.

    The end is behind the row where no such value stands.
    """
    beyond = len(data) + 1
    if at >= len(data):
        return at, beyond, 0
    first = data[at]
    if first == 1:
        return (at + 2, at + EXTERNAL, 2) if data[at + 1 : at + 2] == b"\x12" else (at, beyond, 0)
    if first & 1:
        return at + 1, at + (first >> 1), 0
    at = (at + 3) & ~3 if not first else at
    header = int.from_bytes(data[at : at + 4], "little")
    if at % 4 or header >> 2 < 4 or header & 1:
        return at, beyond, 0
    return at + 4, at + (header >> 2), header >> 1 & 1


def decompressed_size(data: bytes) -> int:
    """The size that a compressed value says it has."""
    return int.from_bytes(data[:4], "little") & 0x3FFF_FFFF


def decompress(data: bytes, limit: int) -> bytes | None:
    """What PostgreSQL compressed by its own method (pglz); None if another method was used, or it is damaged.

    Args:
        data: the four bytes of the size and the method, and the compressed ones.
        limit: of its size.
    """
    size = min(decompressed_size(data), limit)
    if data[3:4] > b"\x3f":
        return None
    out = bytearray()
    at = 4
    while at < len(data) and len(out) < size:
        control, at = data[at], at + 1
        for bit in range(8):
            if at >= len(data) or len(out) >= size:
                break
            if not control >> bit & 1:
                out.append(data[at])
                at += 1
                continue
            if at + 1 >= len(data):
                return None
            length, back = (data[at] & 15) + 3, (data[at] & 0xF0) << 4 | data[at + 1]
            at += 2
            if length == 18:
                if at >= len(data):
                    return None
                length, at = length + data[at], at + 1
            if not 0 < back <= len(out):
                return None
            piece = bytes(out[-back:])
            out += (piece * (length // back + 1))[:length]
    return bytes(out[:size]) if len(out) >= size else None


def numeric(data: bytes) -> str:
    """The number that the bytes of a NUMERIC are; '' if they are none, or a number of far more digits than people have."""
    header = int.from_bytes(data[:2], "little")
    # four decimal digits each
    groups = [int.from_bytes(data[place : place + 2], "little") for place in range(2, len(data), 2)]
    if header & 0xC000 != 0x8000 or len(data) % 2 or any(group > 9999 for group in groups):
        return ""
    if groups and not (groups[0] and groups[-1]):
        # PostgreSQL leaves zeros at both ends out
        return ""
    is_negative, scale = bool(header & 0x2000), header >> 7 & 0x3F
    weight = (header & 0x3F) - (header & 0x40)
    digits = "".join(f"{group:04}" for group in groups)
    before = 4 * (weight + 1)
    digits = "0" * -before + digits.ljust(before, "0")
    whole, part = digits[: max(0, before)].lstrip("0") or "0", digits[max(0, before) :].ljust(scale, "0")[:scale]
    return "-" * is_negative + whole + ("." + part if part else "")


def is_array_of_texts(data: bytes) -> bool:
    """Whether the bytes of a value are an array of texts, which stand in it as they are."""
    dimensions, kind = int.from_bytes(data[:4], "little"), int.from_bytes(data[8:ARRAY_HEADER], "little")
    return 1 <= dimensions <= _MAX_DIMENSIONS and kind in _TEXT_TYPES


def json_of(data: bytes) -> bytes:
    """The JSON text that the bytes of a JSONB are; b'' if they are none."""
    try:
        return orjson.dumps(_container(data, 0))
    except (ValueError, TypeError, RecursionError):
        return b""


def _container(data: bytes, depth: int) -> Any:
    header = int.from_bytes(data[:4], "little")
    kind, count = header >> 28, header & 0x0FFF_FFFF
    entries = 2 * count if kind == _OBJECT else count
    begin = 4 + 4 * entries
    if kind not in (_OBJECT, _ARRAY, _ARRAY | _SCALAR) or begin > len(data) or depth > _MAX_DEPTH:
        raise ValueError
    values: list[Any] = []
    at = begin
    for place in range(4, begin, 4):
        entry = int.from_bytes(data[place : place + 4], "little")
        # every 32nd entry holds the end of its value, the others its length
        end = (begin if entry & _OFFSET else at) + (entry & 0x0FFF_FFFF)
        if not at <= end <= len(data):
            raise ValueError
        values.append(_value(data[at:end], at, entry >> 28 & 7, depth))
        at = end
    if at != len(data):
        raise ValueError
    if kind == _OBJECT:
        return dict(zip(map(str, values[:count]), values[count:], strict=True))
    if kind & _SCALAR:
        [value] = values
        return value
    return values


def _value(data: bytes, at: int, kind: int, depth: int) -> Any:
    if kind == _STRING:
        return data.decode()
    if kind in (_NULL, _TRUE, _FALSE):
        return {_NULL: None, _TRUE: True, _FALSE: False}[kind]
    # what follows begins at a multiple of four bytes
    data = data[-at % 4 :]
    if kind == _CONTAINER:
        return _container(data, depth + 1)
    if kind == _NUMERIC:
        # as text, so that no digit is lost; it has a header of its own
        header = 4 if not data[:1] or not data[0] & 1 else 1
        return numeric(data[header:])
    raise ValueError
