"""How the records of MyISAM and Aria are packed, as their index files (.MYI, .MAI) say, or as follows from a .frm file.

Sources: storage/myisam/mi_open.c, storage/maria/ma_open.c and `table2myisam` of MariaDB 10.11.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from crawler.readers.databases.mysql.table_definition import BLOBS, STRING, VARCHAR, DefinedColumn, TableDefinition

NORMAL, SKIP_ENDSPACE, SKIP_PRESPACE, SKIP_ZERO, BLOB, IS_VARCHAR = 0, 1, 2, 3, 4, 8
POINTER = 8
"""Bytes of a place in memory that follow the length of a long value in a record."""
_KINDS = frozenset((NORMAL, SKIP_ENDSPACE, SKIP_PRESPACE, SKIP_ZERO, BLOB, 5, 6, 7, IS_VARCHAR, 9))
_MYISAM, _ARIA = b"\xfe\xfe\x07\x01", b"\xfe\xfe\x09"
_MYISAM_COLUMN, _ARIA_COLUMN = 7, struct.Struct(">7HBBH2x")
_PACKED, _COMPRESSED, _CHECKSUM = 1, 4, 32
# how Aria keeps rows; 0 with one size, 1 in blocks
_PACKED_FILE, _IN_PAGES = 2, 3
# texts of so few bytes are never shortened
_SHORT = 3
_MAX_FIELDS, _MAX_RECORD = 8192, 2**20
# types whose values are never left out of dynamic rows, and those that are shortened where they begin or end in spaces;
# all others are left out where they are zero
_OLD_TIMESTAMP = 7
_SPACED = frozenset((17, STRING, 246, 247, 248, 16))


@dataclass(frozen=True, slots=True)
class PackedColumn:
    """A column as the storage engine packs it.

    Attributes:
        at: where it stands in an unpacked record. size: bytes there. kind: how it is packed.
        null_at, null_bit, empty_at, empty_bit: bits that say that nothing of it is stored.
    """

    at: int
    size: int
    kind: int
    null_at: int = 0
    null_bit: int = 0
    empty_at: int = 0
    empty_bit: int = 0


@dataclass(frozen=True, slots=True)
class PackedTable:
    """Columns in the order in which they are packed, and the numbers of Aria.

    Attributes:
        record_size: bytes of an unpacked record. fixed: all records have this size in the file.
        checksum: each record has a byte more. block: bytes of a page; 0 if rows are not kept in pages.
        null_bytes, empty_bytes: bytes of bits before each row of a page.
        always: how many columns stand first in each row, with all their bytes. lengths: rows tell lengths of values.
    """

    columns: tuple[PackedColumn, ...]
    record_size: int
    fixed: bool
    checksum: bool = False
    block: int = 0
    null_bytes: int = 0
    empty_bytes: int = 0
    always: int = 0
    lengths: bool = False


def read_index_header(data: bytes) -> PackedTable | None:
    """What an index file says of its table; None if it is damaged or none."""
    try:
        if data.startswith(_MYISAM):
            return _read_myisam(data)
        return _read_aria(data) if data.startswith(_ARIA) else None
    except (struct.error, IndexError):
        return None


def _read_myisam(data: bytes) -> PackedTable | None:
    options, length, _, _, base = struct.unpack_from(">HHHHH", data, 4)
    record_size, fields = struct.unpack_from(">I", data, base + 44)[0], struct.unpack_from(">I", data, base + 64)[0]
    if not 0 < fields <= _MAX_FIELDS or record_size > _MAX_RECORD:
        return None
    columns, at = [], 0
    start = length - fields * _MYISAM_COLUMN
    for number in range(fields):
        kind, size, null_bit, null_at = struct.unpack_from(">HHBH", data, start + number * _MYISAM_COLUMN)
        if kind not in _KINDS:
            return None
        columns.append(PackedColumn(at, size, kind, null_at, null_bit))
        at += size
    # files that myisampack compressed have another layout
    if at > record_size or options & _COMPRESSED:
        return None
    return PackedTable(tuple(columns), record_size, not options & _PACKED, bool(options & _CHECKSUM))


def _read_aria(data: bytes) -> PackedTable | None:
    options, length, _, base_size, base = struct.unpack_from(">HHHHH", data, 4)
    kind = data[22]
    at = base + 16 + 40
    record_size = struct.unpack_from(">I", data, at + 4)[0]
    fields, always, _, lengths, _, _, null_bytes, _, offsets, _, block = struct.unpack_from(">11H", data, at + 24)
    empty_bytes = struct.unpack_from(">H", data, at + 24 + 22 + 6)[0]
    if not 0 < fields <= _MAX_FIELDS or record_size > _MAX_RECORD or offsets:
        return None
    for start in range(base + base_size, length):
        # the first column decides at most places
        if _ARIA_COLUMN.unpack_from(data, start)[0] >= fields or _ARIA_COLUMN.unpack_from(data, start)[2] not in _KINDS:
            continue
        found = [_ARIA_COLUMN.unpack_from(data, start + number * _ARIA_COLUMN.size) for number in range(fields)]
        if sorted(each[0] for each in found) == list(range(fields)) and all(each[2] in _KINDS for each in found):
            break
    else:
        return None
    columns = tuple(
        PackedColumn(place + (high << 16), size, packing, null_at, null_bit, empty_at, empty_bit)
        for _, place, packing, size, _, null_at, empty_at, null_bit, empty_bit, high in found
    )
    if any(each.at + each.size > record_size for each in columns):
        return None
    checksum = bool(options & _CHECKSUM)
    if kind == _IN_PAGES:
        return PackedTable(columns, record_size, False, checksum, block, null_bytes, empty_bytes, always, bool(lengths))
    if kind == _PACKED_FILE:
        return None
    return PackedTable(columns, record_size, not kind, checksum, 0, null_bytes)


def columns_of_definition(table: TableDefinition) -> PackedTable:
    """How MyISAM packs a table of which only the definition is known."""
    columns, at = [], 0
    for column in sorted(table.columns, key=lambda each: each.at):
        if not column.size:
            continue
        if column.at > at:
            # the bits of values that are NULL
            columns.append(PackedColumn(at, column.at - at, NORMAL))
        columns.append(PackedColumn(column.at, column.size, _packing(column, table.packed)))
        at = column.at + column.size
    return PackedTable(tuple(columns), max(at, table.record_size), not table.packed)


def _packing(column: DefinedColumn, packed: bool) -> int:
    if column.kind in BLOBS:
        return BLOB
    if column.kind == VARCHAR:
        return IS_VARCHAR
    if not packed or column.kind == _OLD_TIMESTAMP:
        return NORMAL
    if column.kind in _SPACED:
        spaces = SKIP_ENDSPACE if column.kind == STRING else SKIP_PRESPACE
        return NORMAL if column.size <= _SHORT or column.zero_filled else spaces
    return SKIP_ZERO
