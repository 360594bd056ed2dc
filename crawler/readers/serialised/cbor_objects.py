"""CBOR: maps become rows, wherever they stand in lists.

Source: RFC 8949.
"""

from __future__ import annotations

from collections.abc import Iterator
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

FORMAT = "cbor"
EMBEDDED_SEARCH = "all"

# kinds of values, in the first three bits of a byte
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _OTHER = range(8)
_SIZES = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_ENDLESS, _END = 31, 0xFF
_SELF_DESCRIBED = b"\xd9\xd9\xf7"
# tags: a time in seconds, a day counted from 1970
_SECONDS, _DAYS = 1, 100
_DAY = 86_400


def sniff(head: bytes, name: str) -> float:
    """Confidence that the sample is CBOR: high if it begins with a map of two named values or more, or is a table."""
    at = 3 if head.startswith(_SELF_DESCRIBED) else 0
    if len(head) < 8 or head[at] >> 5 not in (_LIST, _MAP, _TAG):
        return 0.0
    cursor = Cursor(head, at)
    try:
        _enter_list(cursor)
        if cursor.data[cursor.at] >> 5 != _MAP:
            cursor.at = at
        first = _read_value(cursor)
    except (Damaged, IndexError):
        # the first record may be longer than the head
        cursor.at = at
        if len(head) >= HEAD and begins_with_table(cursor, _enter_map, _enter_list, _read_value):
            return 0.91
        return 0.5 if len(head) >= HEAD and name.lower().endswith(".cbor") else 0.0
    keys = list(first) if type(first) is dict else []
    if len(keys) < 2:
        return 0.91 if not cursor.left and holds_rows(first) else 0.0
    named = all(map(is_name, keys))
    return 0.91 if named and (not cursor.left or cursor.data[cursor.at] >> 5 in (_MAP, _TAG, _OTHER)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each map of the outermost list, or of a sequence of values."""
    cursor = Cursor(source.read_all(limits.hold))
    if cursor.data.startswith(_SELF_DESCRIBED):
        cursor.at = len(_SELF_DESCRIBED)
    records = RecordWriter(out, limits)
    try:
        _enter_list(cursor)
        while cursor.left:
            if cursor.data[cursor.at] == _END:
                cursor.at += 1
                continue
            start = cursor.at
            cursor.begin_record()
            records.add([_read_value(cursor)], size=cursor.at - start)
    finally:
        records.finish()


def _enter_list(cursor: Cursor, kind: int = _LIST) -> bool:
    """Move to the first element of an outermost list: its elements are records, however many they are.

    False if none begins here.
    """
    if not cursor.left or cursor.data[cursor.at] >> 5 != kind:
        return False
    _size(cursor, cursor.byte() & 31)
    return True


def _enter_map(cursor: Cursor) -> bool:
    return _enter_list(cursor, _MAP)


def _size(cursor: Cursor, short: int) -> int:
    """The number in the last five bits of a byte, or behind it; -1 if the end is marked instead.

    Raises:
        Damaged: no number is written so.
    """
    if short < min(_SIZES):
        return short
    if short == _ENDLESS:
        return -1
    if short not in _SIZES:
        raise Damaged("damaged", "it has a byte that CBOR does not use")
    number: int = cursor.number(_SIZES[short])
    return number


def _read_value(cursor: Cursor, depth: int = 0) -> Any:
    cursor.count_node(depth)
    first = cursor.byte()
    kind, short = first >> 5, first & 31
    if kind == _OTHER:
        if short in _FLOATS:
            return cursor.number(_FLOATS[short])
        return {20: False, 21: True}.get(short if short < min(_SIZES) else _size(cursor, short))
    size = _size(cursor, short)
    if kind == _UNSIGNED:
        return size
    if kind == _NEGATIVE:
        return -1 - size
    if kind in (_BYTES, _TEXT):
        data = cursor.take(size) if size >= 0 else b"".join(_parts(cursor, kind, depth))
        return utf8_value(data) if kind == _TEXT else text_value(data)
    if kind == _TAG:
        value = _read_value(cursor, depth + 1)
        if size in (_SECONDS, _DAYS) and type(value) in (int, float):
            return moment(value * (_DAY if size == _DAYS else 1))
        return value
    if kind == _LIST:
        return [_read_value(cursor, depth + 1) for _ in _elements(cursor, size)]
    found: dict[str, Any] = {}
    for _ in _elements(cursor, size):
        key = _read_value(cursor, depth + 1)
        found[key if type(key) is str else str(key)[:100]] = _read_value(cursor, depth + 1)
    return found


def _elements(cursor: Cursor, size: int) -> Iterator[None]:
    """One turn for each element of a list or map of `size`, or until its end mark; each has a byte at least.

    Raises:
        Damaged: fewer bytes are left.
    """
    if size > cursor.left:
        raise Damaged("cut", "the file ends inside a list, or the length of a list is wrong")
    while size:
        if size < 0 and cursor.left and cursor.data[cursor.at] == _END:
            cursor.at += 1
            return
        size -= size > 0
        yield None


def _parts(cursor: Cursor, kind: int, depth: int) -> Iterator[bytes]:
    """The parts of a string whose end is marked."""
    for _ in _elements(cursor, -1):
        cursor.count_node(depth)
        first = cursor.byte()
        if first >> 5 != kind:
            raise Damaged("damaged", "it has a byte that CBOR does not use")
        yield cursor.take(_size(cursor, first & 31))
