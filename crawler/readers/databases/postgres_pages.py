"""Pages of a table of PostgreSQL as they lie in its data folder, the rows in them, and its compressed values.

Source: https://www.postgresql.org/docs/15/storage-page-layout.html, and src/common/pg_lzcompress.c.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER = 24
_ROW_HEADER = 23
_NORMAL = 1
_HAS_NULLS, _MAX_COLUMNS = 1, 0x7FF
EXTERNAL = 18
"""Bytes of a value in whose place stands where it lies in the file of long values."""


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
