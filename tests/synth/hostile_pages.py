"""Hostile files of databases that are read page by page; each ends with the canary. They are made as in `hostile`."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from tests.synth.every_format import innodb, shape
from tests.synth.hostile import CANARY, Hostile

_PAGE, _SMALL = 16_384, 8192
_END = f"\n{CANARY}\n".encode()


def _innodb(change: Callable[[bytearray], None], name: str = "compact.ibd") -> bytes:
    table = bytearray(innodb(name))
    change(table)
    return bytes(table)


def _records_in_a_circle(table: bytearray) -> None:
    first = 99 + struct.unpack_from(">H", table, 3 * _PAGE + 97)[0]
    # each record is followed by itself
    struct.pack_into(">H", table, 3 * _PAGE + first - 2, 0xFFFF)


def _long_values_in_a_circle(table: bytearray) -> None:
    for number in range(len(table) // _PAGE):
        if table[number * _PAGE + 24 : number * _PAGE + 26] == b"\0\x0a":
            struct.pack_into(">II", table, number * _PAGE + 38, 2**31, number)


def _records_everywhere(table: bytearray) -> None:
    # a page of lists of records, each of which begins in the one before
    for at in range(3 * _PAGE + 120, 4 * _PAGE - 200, 3):
        struct.pack_into(">H", table, at, 3)


def _fields_without_end(table: bytearray) -> None:
    for at in range(3 * _PAGE + 120, 4 * _PAGE - 200, 2):
        struct.pack_into(">H", table, at, 0x07FF)


def _page(row: bytes, pointers: int) -> bytes:
    """A page of PostgreSQL with one row, to which so many pointers lead."""
    row += bytes(-len(row) % 8)
    page = bytearray(_SMALL)
    begin = _SMALL - len(row)
    page[12:20] = struct.pack("<HHHH", 24 + 4 * pointers, begin, _SMALL, 0x2004)
    page[24 : 24 + 4 * pointers] = (begin | 1 << 15 | len(row) << 17).to_bytes(4, "little") * pointers
    page[begin:] = row
    return bytes(page)


def _one_row_for_all_pointers(_: random.Random) -> bytes:
    value = b"Jean" * 1000
    row = bytes(18) + struct.pack("<HHB", 1, 0, 24) + b"\0" + struct.pack("<I", (len(value) + 4) << 2) + value
    return _page(row, 900) * 40


def _compressed_without_end(_: random.Random) -> bytes:
    # a row with one text of 8,000 bytes, which claims to be copies of one letter
    packed = (
        struct.pack("<I", 2**28) + b"\xfea" + (b"\x0f\x01\xff" * 7 + b"\xff") + (b"\xff" + b"\x0f\x01\xff" * 8) * 280
    )
    value = struct.pack("<I", (len(packed) + 4) << 2 | 2) + packed
    row = bytes(18) + struct.pack("<HHB", 1, 0, 24) + b"\0" + value
    return _page(row, 1) * 30


def _event(kind: int, body: bytes, size: int | None = None) -> bytes:
    length = 19 + len(body) + 4 if size is None else size
    return struct.pack("<IBIIIH", 0, kind, 1, length, 0, 0) + body + (bytes(4) if size is None else b"")


def _log(*events: bytes) -> bytes:
    return shape("60-binlog.000004") + b"".join(events)


def _rows_that_unpack_to_gigabytes(_: random.Random) -> bytes:
    packed = zlib.compress(bytes(2**24))
    body = (1).to_bytes(6, "little") + b"\0\0" + b"\x01\x01" + b"\x84" + (2**31).to_bytes(4, "big") + packed
    table = (1).to_bytes(6, "little") + b"\0\0" + b"\x01d\0\x01t\0" + b"\x01\x01\0\0"
    return _log(_event(19, table), _event(166, body))


def _empty_rows_without_end(_: random.Random) -> bytes:
    table = (1).to_bytes(6, "little") + b"\0\0" + b"\x01d\0\x01t\0" + b"\x01\x01\0\0"
    return _log(_event(19, table), _event(23, (1).to_bytes(6, "little") + b"\0\0" + b"\x01\0" + bytes(2**20)))


def _rows_of_nothing_but_nulls(_: random.Random) -> bytes:
    # 4,096 columns in 512 bytes
    table = (
        (1).to_bytes(6, "little") + b"\0\0" + b"\x01d\0\x01t\0" + b"\xfc\0\x10" + b"\x03" * 4096 + b"\0" + bytes(512)
    )
    body = (1).to_bytes(6, "little") + b"\0\0" + b"\xfc\0\x10" + b"\xff" * 512
    return _log(_event(19, table), _event(23, body + b"\xff" * 512 * 200))


def _long_values_of_one_byte(_: random.Random) -> bytes:
    made = bytearray(_SMALL)
    at, pointers = _SMALL, b""
    for number in range(180):
        row = bytes(18) + struct.pack("<HHB", 3, 0, 24) + b"\0" + struct.pack("<II", 7, number) + b"\x05a"
        at -= -(-len(row) // 8) * 8
        made[at : at + len(row)] = row
        pointers += (at | 1 << 15 | len(row) << 17).to_bytes(4, "little")
    made[12:20] = struct.pack("<HHHH", 24 + len(pointers), at, _SMALL, 0x2004)
    made[24 : 24 + len(pointers)] = pointers
    return bytes(made) * 100


MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    "innodb_records_in_a_circle": lambda _: _innodb(_records_in_a_circle),
    "innodb_long_values_in_a_circle": lambda _: _innodb(_long_values_in_a_circle, "dyn.ibd"),
    "innodb_records_everywhere": lambda _: _innodb(_records_everywhere),
    "innodb_fields_without_end": lambda _: _innodb(_fields_without_end, "redundant.ibd"),
    "postgres_one_row_for_all_pointers": _one_row_for_all_pointers,
    "postgres_compressed_without_end": _compressed_without_end,
    "postgres_long_values_of_one_byte": _long_values_of_one_byte,
    "binlog_rows_of_nothing_but_nulls": _rows_of_nothing_but_nulls,
    "binlog_of_an_event_of_gigabytes": lambda _: _log(_event(2, b"x", 2**32 - 1)),
    "binlog_rows_that_unpack_to_gigabytes": _rows_that_unpack_to_gigabytes,
    "binlog_empty_rows_without_end": _empty_rows_without_end,
}

_PROBLEMS = {
    "innodb_long_values_in_a_circle": "cut",
    "postgres_one_row_for_all_pointers": "ratio",
    "postgres_compressed_without_end": "unread",
    "binlog_of_an_event_of_gigabytes": "cut",
    "postgres_long_values_of_one_byte": "cut",
    "binlog_rows_of_nothing_but_nulls": "cut",
    "binlog_rows_that_unpack_to_gigabytes": "size",
}


def hostile_page(name: str, seed: int = 0) -> Hostile:
    """The sample of this name; the seed determines the random bytes inside."""
    data = MAKERS[name](random.Random(f"{seed}-{name}")) + _END
    return Hostile(name.replace("_", " "), data, frozenset({_PROBLEMS.get(name, "damaged")}), visible=False, bytes=True)
