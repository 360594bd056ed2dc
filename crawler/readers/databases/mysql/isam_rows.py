"""Rows of MyISAM and Aria in files of records: those of one size, and those in blocks that follow each other.

Sources: storage/myisam/mi_dynrec.c and mi_statrec.c of MariaDB 10.11.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.readers.databases.mysql.isam_columns import (
    BLOB,
    IS_VARCHAR,
    NORMAL,
    POINTER,
    SKIP_ENDSPACE,
    SKIP_PRESPACE,
    PackedTable,
)

Unpacked = tuple[bytearray, dict[int, bytes]]
"""The bytes of a record at their places, and its long values by the place of their column."""
# Blocks: type -> bytes of its header, where the length of its data stands and its bytes, where the next block is named,
# where the number of unused bytes stands.
_BLOCKS = {
    1: (3, 1, 2, 0, 0), 2: (4, 1, 3, 0, 0), 3: (4, 1, 2, 0, 3), 4: (5, 1, 3, 0, 4),
    5: (13, 3, 2, 5, 0), 6: (15, 4, 3, 7, 0), 13: (16, 5, 3, 8, 0),
    7: (3, 1, 2, 0, 0), 8: (4, 1, 3, 0, 0), 9: (4, 1, 2, 0, 3), 10: (5, 1, 3, 0, 4),
    11: (11, 1, 2, 3, 0), 12: (12, 1, 3, 4, 0),
}  # fmt: skip
_FIRST = frozenset((1, 2, 3, 4, 5, 6, 13))
_DELETED, _DELETED_SIZE = 0, 20
_ALIGNED, _MIN_HEADER = 4, 3
_MAX_ROW = 2**26


def looks_like_blocks(head: bytes, *, whole: bool) -> bool:
    """Whether a file begins with blocks of rows, each where the one before it ends.

    Args:
        head: its first bytes.
        whole: these are all of them.
    """
    at = rows = 0
    while at + _DELETED_SIZE <= len(head):
        found = _block(head, at)
        if found is None:
            return False
        kind, _, _, end, following = found
        if (end - at < _DELETED_SIZE or end % _ALIGNED) and end < len(head):
            return False
        if following and following % _ALIGNED:
            return False
        rows += kind in _FIRST
        at = end
    return rows > 0 and (at == len(head) if whole else at > len(head) - _MAX_ROW)


def _block(data: bytes | bytearray, at: int) -> tuple[int, int, int, int, int] | None:
    """A block: (type, where its data begins, where it ends, where the block ends, the next block or 0)."""
    kind = data[at]
    if kind == _DELETED:
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        return (kind, at, at, at + size, 0) if size >= _DELETED_SIZE else None
    if kind not in _BLOCKS:
        return None
    header, length_at, width, next_at, unused_at = _BLOCKS[kind]
    if at + header > len(data):
        return None
    size = int.from_bytes(data[at + length_at : at + length_at + width], "big")
    following = int.from_bytes(data[at + next_at : at + next_at + 8], "big") if next_at else 0
    unused = data[at + unused_at] if unused_at else 0
    start = at + header
    return kind, start, start + size, start + size + unused, following


class BlockFile:
    """Rows in blocks.

    Attributes:
        damaged: rows whose blocks are not where they should be.
    """

    def __init__(self, held: bytearray) -> None:
        self._held = held
        self.damaged = 0
        # bytes of blocks that rows may still take: each block belongs to one row
        self._left = len(held)

    def rows(self) -> Iterator[bytes]:
        """The bytes of each row, in the order of its first block."""
        at, is_lost = 0, False
        while at + 3 < len(self._held):
            found = _block(self._held, at)
            if found is None or not self._goes_on(found[3]):
                self.damaged += not is_lost
                is_lost = True
                at += _ALIGNED
                continue
            is_lost = False
            if found[0] in _FIRST:
                yield self._row(found)
            at = found[3]

    def _goes_on(self, end: int) -> bool:
        """Whether another block, or the end of the file, is where a block ends: damaged bytes are no block."""
        if end % _ALIGNED or end > len(self._held):
            return False
        if end + 3 >= len(self._held):
            return True
        following = _block(self._held, end)
        return following is not None and following[3] <= len(self._held)

    def _row(self, block: tuple[int, int, int, int, int] | None) -> bytes:
        parts: list[bytes] = []
        size, seen = 0, set[int]()
        while block is not None:
            _, start, end, _, following = block
            parts.append(bytes(self._held[start:end]))
            size += len(parts[-1])
            self._left -= len(parts[-1]) + _MIN_HEADER
            if end > len(self._held):
                self.damaged += 1
            if not following:
                break
            if following in seen or following + 3 > len(self._held) or size > _MAX_ROW or self._left < 0:
                self.damaged += 1
                break
            seen.add(following)
            block = _block(self._held, following)
            if block is None or block[0] in _FIRST or block[0] == _DELETED:
                self.damaged += 1
                break
        return b"".join(parts)


def fixed_rows(held: bytearray, table: PackedTable) -> Iterator[bytearray]:
    """Records of one size; deleted ones, which begin with a zero, are left out."""
    size = table.record_size + table.checksum
    for at in range(0, len(held) - size + 1, size):
        if held[at]:
            yield held[at : at + size]


def unpack(row: bytes, table: PackedTable) -> Unpacked | None:
    """The record that a row of blocks packs; None if it does not fit the columns."""
    record = bytearray(table.record_size)
    long_values: dict[int, bytes] = {}
    packed = sum(column.kind not in (NORMAL, IS_VARCHAR) for column in table.columns)
    at = (packed + 7) // 8
    flags = int.from_bytes(row[:at], "little")
    # to MyISAM the bits of NULL are a column
    if len(row) < at + table.null_bytes:
        return None
    record[: table.null_bytes] = row[at : at + table.null_bytes]
    at += table.null_bytes
    for column in table.columns:
        size = column.size
        if column.kind == IS_VARCHAR:
            width = 1 if size - 1 < 256 else 2
            if at >= len(row):
                return None
            length, at = row[at], at + 1
            if width == 2 and length == 255:
                length, at = int.from_bytes(row[at : at + 2], "big"), at + 2
            if length > size - width or at + length > len(row):
                return None
            record[column.at : column.at + width] = length.to_bytes(width, "little")
            record[column.at + width : column.at + width + length] = row[at : at + length]
            at += length
            continue
        is_short = False
        if column.kind != NORMAL:
            is_short, flags = bool(flags & 1), flags >> 1
        if is_short:
            if column.kind in (SKIP_ENDSPACE, SKIP_PRESPACE):
                if at >= len(row):
                    return None
                length, at = row[at], at + 1
                if size > 255 and length & 128:
                    if at >= len(row):
                        return None
                    length, at = (length & 127) + (row[at] << 7), at + 1
                if length > size or at + length > len(row):
                    return None
                text = row[at : at + length]
                text = text.ljust(size) if column.kind == SKIP_ENDSPACE else text.rjust(size)
                record[column.at : column.at + size] = text
                at += length
        elif column.kind == BLOB:
            width = size - POINTER
            length = int.from_bytes(row[at : at + width], "little")
            at += width
            if width < 1 or at + length > len(row):
                return None
            long_values[column.at] = row[at : at + length]
            at += length
        else:
            if at + size > len(row):
                return None
            record[column.at : column.at + size] = row[at : at + size]
            at += size
    return record, long_values
