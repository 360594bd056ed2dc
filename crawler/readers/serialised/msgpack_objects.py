"""MessagePack: maps become rows, wherever they stand in lists.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crawler.readers.core.limits import HEAD, Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.serialised.cursor import (
    Cursor,
    begins_with_table,
    holds_rows,
    is_name,
    moment,
    text_value,
    utf8_value,
)
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "msgpack"
EMBEDDED_SEARCH = "all"

_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
    0xD3: ">q",
}  # fmt: skip
# the forms of the lengths that follow: strings, bytes, extensions, lists, maps
_STRINGS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_LISTS = {0xDC: ">H", 0xDD: ">I"}
_MAPS = {0xDE: ">H", 0xDF: ">I"}
_TIME = -1


def sniff(head: bytes, name: str) -> float:
    """Confidence that the sample is MessagePack: high if it begins with a map of two named values or more."""
    if not head or not (0x80 <= head[0] <= 0x9F or 0xDC <= head[0] <= 0xDF):
        return 0.0
    cursor = Cursor(head)
    try:
        _enter_lists(cursor)
        first = _read_value(cursor)
    except Damaged:
        # the first record may be longer than the head
        cursor.at = 0
        if len(head) >= HEAD and begins_with_table(cursor, _enter_map, _enter_list, _read_value):
            return 0.9
        return 0.5 if len(head) >= HEAD and name.lower().endswith((".msgpack", ".mpk")) else 0.0
    # keys that are numbers became digits; without any letter they would be found in many binary files
    if type(first) is list:
        # rows without names: lists of one length with texts
        texts = [each for each in first if type(each) is str and each.isprintable() and each]
        return (
            0.9 if len(texts) > 1 and len(texts) * 2 >= len(first) and _begins_same(cursor, head, len(first)) else 0.0
        )
    keys = list(first) if type(first) is dict else []
    if len(keys) < 2:
        return 0.9 if not cursor.left and holds_rows(first) else 0.0
    return 0.9 if all(map(is_name, keys)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each map of the outermost list, or of a sequence of values."""
    cursor = Cursor(source.read_all(limits.hold))
    records = RecordWriter(out, limits)
    try:
        _enter_lists(cursor)
        while cursor.left:
            start = cursor.at
            cursor.begin_record()
            records.add([_read_value(cursor)], size=cursor.at - start)
    finally:
        records.finish()


def _enter_lists(cursor: Cursor) -> None:
    """Move to the first element of the outermost lists: their elements are records, however many they are.

    A list of plain values is a record itself.
    """
    for _ in range(3):
        start = cursor.at
        if not _enter_list(cursor):
            return
        inside = cursor.data[cursor.at] if cursor.left else 0
        if start and not (0x80 <= inside <= 0x9F or 0xDC <= inside <= 0xDF):
            cursor.at = start
            return


def _enter_list(cursor: Cursor, short: int = 0x90, long: Mapping[int, str] = _LISTS) -> bool:
    """Move to the first element of a list; False if none begins here."""
    first = cursor.data[cursor.at] if cursor.left else 0
    if short <= first <= short + 15:
        cursor.byte()
    elif first in long:
        cursor.byte()
        cursor.number(long[first])
    else:
        return False
    return True


def _enter_map(cursor: Cursor) -> bool:
    return _enter_list(cursor, 0x80, _MAPS)


def _begins_same(cursor: Cursor, head: bytes, size: int) -> bool:
    """Whether another list of the same length follows, or the head ends in it."""
    try:
        second = _read_value(cursor)
    except Damaged:
        return len(head) >= HEAD
    return type(second) is list and len(second) == size


def _read_value(cursor: Cursor, depth: int = 0) -> Any:
    cursor.count_node(depth)
    kind = cursor.byte()
    if kind <= 0x7F:
        return kind
    if kind >= 0xE0:
        return kind - 256
    if 0xA0 <= kind <= 0xBF or kind in _STRINGS:
        return utf8_value(cursor.take(kind & 31 if kind <= 0xBF else cursor.number(_STRINGS[kind])))
    if kind <= 0x8F or kind in _MAPS:
        count = kind & 15 if kind <= 0x8F else cursor.number(_MAPS[kind])
        return _read_map(cursor, count, depth)
    if kind <= 0x9F or kind in _LISTS:
        count = kind & 15 if kind <= 0x9F else cursor.number(_LISTS[kind])
        return [_read_value(cursor, depth + 1) for _ in range(_possible(cursor, count))]
    if kind in _NUMBERS:
        return cursor.number(_NUMBERS[kind])
    if kind in _BYTES:
        return text_value(cursor.take(cursor.number(_BYTES[kind])))
    if kind in _EXTENSIONS or kind in _FIXED_EXTENSIONS:
        return _read_extension(cursor, kind)
    if kind == 0xC1:
        raise Damaged("damaged", "it has a byte that MessagePack does not use")
    return {0xC2: False, 0xC3: True}.get(kind)


def _read_map(cursor: Cursor, count: int, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(_possible(cursor, 2 * count) // 2):
        key = _read_value(cursor, depth + 1)
        found[key if type(key) is str else str(key)[:100]] = _read_value(cursor, depth + 1)
    return found


def _read_extension(cursor: Cursor, kind: int) -> str:
    size = _FIXED_EXTENSIONS.get(kind) or cursor.number(_EXTENSIONS[kind])
    extension, data = cursor.number(">b"), cursor.take(size)
    if extension != _TIME or size not in (4, 8, 12):
        return text_value(data)
    number = int.from_bytes(data if size == 4 else data[-8:], "big", signed=size == 12)
    return moment(number & 0x3FFFFFFFF if size == 8 else number)


def _possible(cursor: Cursor, count: int) -> int:
    """A count of values, each of which has a byte at least.

    Raises:
        Damaged: fewer bytes are left.
    """
    if count > cursor.left:
        raise Damaged("cut", "the file ends inside a list, or the length of a list is wrong")
    return count
