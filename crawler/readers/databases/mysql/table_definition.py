"""What a .frm file says of a table of MySQL or MariaDB: names, types and places of its columns.

Source: `TABLE_SHARE::init_from_binary_frm_image` in sql/table.cc of MariaDB 10.11, which also reads files of MySQL 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from crawler.readers.databases.compressed_column import uncompressed
from crawler.readers.databases.mysql.mysql_values import MysqlType, read_value

_MAGIC, _HEADER, _FORM, _FIELD = b"\xfe\x01", 64, 288, 17
_PACK_RECORD = 1
_SIGNED, _MAYBE_NULL, _BIT_AS_CHAR = 1, 0x8000, 4096
BIT, VARCHAR, _NEWDECIMAL, _ENUM, _SET, STRING = 16, 15, 246, 247, 248, 254
BLOBS = frozenset((249, 250, 251, 252, 245, 255))
_WHOLE = {1: 1, 2: 2, 9: 3, 3: 4, 8: 8}
# characters of a time stamp, a moment and a time that have no fraction
_WITH_FRACTION = {17: 19, 18: 19, 19: 10}
# collations whose character set is neither UTF-8 nor windows-1252
_CHARSETS = {
    **dict.fromkeys((4, 80), "cp850"), **dict.fromkeys((26, 34, 44, 66, 99), "cp1250"),
    **dict.fromkeys((39, 53), "mac_roman"), **dict.fromkeys((35, 54, 90, 159), "utf-16-be"),
    **dict.fromkeys((*range(54, 56), *range(101, 125), *range(128, 152)), "utf-16-be"),
    **dict.fromkeys((60, 61, *range(160, 184)), "utf-32-be"), **dict.fromkeys((56, 62), "utf-16-le"),
    **dict.fromkeys((9, 2, 21, 27, 77), "iso8859-2"), **dict.fromkeys((14, 23, 50, 51, 52), "cp1251"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DefinedColumn:
    """A column of a table.

    Attributes:
        name: of the column. kind: code of its type. at: where its value begins in a record. size: bytes there.
        null_at, null_bit: the bit of a record that is set where the value is NULL; no bit if it cannot be.
        unsigned: a number without a sign. zero_filled: a number shown with zeros before it.
        meta: what a binary log would say of the type. charset: of its texts, '' for UTF-8 and windows-1252.
        choices: texts of ENUM.
    """

    name: str
    kind: int
    at: int
    size: int
    null_at: int
    null_bit: int
    unsigned: bool
    zero_filled: bool
    meta: bytes
    charset: str
    choices: tuple[bytes, ...]

    def is_null(self, record: bytes | bytearray) -> bool:
        """Whether the value is NULL."""
        return bool(self.null_bit and record[self.null_at] & self.null_bit)

    def value(self, record: bytes | bytearray, long_values: dict[int, bytes]) -> bytes:
        """The value as text; '' for NULL and for values that are no text, number or date.

        Args:
            record: all bytes of fixed places.
            long_values: by the place of their column.
        """
        if self.is_null(record):
            return b""
        if self.kind in _WHOLE:
            data = record[self.at : self.at + _WHOLE[self.kind]]
            return b"%d" % int.from_bytes(data, "little", signed=not self.unsigned)
        if self.kind in BLOBS:
            value = long_values.get(self.at, b"")
        elif self.kind == STRING:
            value = bytes(record[self.at : self.at + self.size]).rstrip(b" \0")
        elif self.kind in (_ENUM, _SET):
            number = int.from_bytes(record[self.at : self.at + self.size], "little")
            return self.choices[number - 1] if self.kind == _ENUM and 0 < number <= len(self.choices) else b""
        else:
            value = read_value(bytes(record), self.at, MysqlType(self.kind, self.meta))[0]
        if self.kind in BLOBS or self.kind == VARCHAR:
            value = uncompressed(value)
        return value.decode(self.charset, "replace").encode() if self.charset else value


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table: its columns, how long its records are, and whether their values are packed (dynamic rows)."""

    columns: tuple[DefinedColumn, ...]
    record_size: int
    packed: bool


def read_definition(data: bytes) -> TableDefinition | None:
    """The definition that a .frm file holds; None if it is damaged or of another kind (a view)."""
    try:
        return _read(data)
    except (IndexError, ValueError):
        return None


def _number(data: bytes, at: int, size: int = 2) -> int:
    if at + size > len(data):
        raise ValueError
    return int.from_bytes(data[at : at + size], "little")


def _read(data: bytes) -> TableDefinition | None:
    if not data.startswith(_MAGIC):
        return None
    form = _number(data, _HEADER + _number(data, 4), 4)
    count, names_size = _number(data, form + 258), _number(data, form + 268)
    at = form + _FORM + _number(data, form + 260)
    names_at = at + count * _FIELD
    names = data[names_at : names_at + names_size].split(b"\xff")[1 : count + 1]
    intervals = _intervals(data[names_at + names_size : names_at + names_size + _number(data, form + 274)])
    if len(names) != count or not 0 < count <= 4096:
        return None
    packed = bool(_number(data, 30) & _PACK_RECORD)
    # in records that are not packed the first bit marks a deleted one
    bit = 0 if packed else 1
    columns = []
    for number in range(count):
        field = data[at + number * _FIELD : at + (number + 1) * _FIELD]
        length, place = _number(field, 3), _number(field, 5, 3) - 1
        flags, kind = _number(field, 8), field[13]
        null_at, null_bit = 0, 0
        if flags & _MAYBE_NULL:
            null_at, null_bit = bit // 8, 1 << bit % 8
            bit += 1
        if kind == BIT and not flags & _BIT_AS_CHAR:
            bit += length & 7
        size, meta = _size_and_meta(kind, length, flags)
        choices = intervals[field[12] - 1] if kind in (_ENUM, _SET) and 0 < field[12] <= len(intervals) else ()
        if kind in (_ENUM, _SET):
            size = 1 + (len(choices) > 255) if kind == _ENUM else _set_size(len(choices))
            meta = bytes((kind, size))
        name = names[number].decode("utf-8", "replace")
        charset = _CHARSETS.get(field[14] + (field[11] << 8), "") if kind in (*BLOBS, STRING, VARCHAR) else ""
        # numbers are marked as such with their sign; in texts the same bit means binary
        columns.append(
            DefinedColumn(
                name, kind, place, size, null_at, null_bit, not flags & _SIGNED, bool(flags & 4), meta, charset, choices
            )
        )
    return TableDefinition(tuple(columns), _number(data, 16), packed)


def _intervals(data: bytes) -> list[tuple[bytes, ...]]:
    """The texts of each ENUM and SET: a sign stands before and behind each text, a zero ends the list."""
    return [tuple(part.split(part[:1])[1:-1]) for part in data.split(b"\0") if part]


def _set_size(count: int) -> int:
    size = (count + 7) // 8
    return size if size <= 4 else 8


def _size_and_meta(kind: int, length: int, flags: int) -> tuple[int, bytes]:
    """Bytes of a value in its record, and how a binary log would describe its type."""
    decimals = flags >> 8 & 0x3F
    if kind == VARCHAR:
        return length + (1 if length < 256 else 2), length.to_bytes(2, "little")
    if kind == _NEWDECIMAL:
        digits = length - bool(decimals) - bool(flags & _SIGNED)
        size = sum(part // 9 * 4 + (part % 9 + 1) // 2 for part in (digits - decimals, decimals))
        return size, bytes((digits, decimals))
    if kind in _WITH_FRACTION:
        fraction = max(0, length - _WITH_FRACTION[kind] - 1)
        return {17: 4, 18: 5, 19: 3}[kind] + (fraction + 1) // 2, bytes((fraction,))
    if kind == BIT:
        return (length + 7) // 8 if flags & _BIT_AS_CHAR else length // 8, bytes((length & 7, length // 8))
    if kind in BLOBS:
        # the length of the value, and a place in memory
        return {249: 1, 252: 2, 250: 3, 251: 4, 245: 4, 255: 4}[kind] + 8, b"\4"
    sizes = {**_WHOLE, 4: 4, 5: 8, 6: 0, 7: 4, 10: 4, 11: 3, 12: 8, 13: 1, 14: 3}
    return sizes.get(kind, length), b"\0\0"
