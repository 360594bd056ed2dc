"""Reads numbers and byte strings of a binary format from memory, and bounds how large one of its values may become."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from crawler.readers.core.encoding import repair, text_of
from crawler.readers.core.limits import Damaged

# Objects and lists that one record may be nested in, and values that one record may have.
MAX_DEPTH, MAX_NODES = 64, 250_000
# Maps that a table may stand in.
_MAX_WRAPPERS = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cursor:
    """A place in bytes that moves forward.

    Attributes:
        data: the bytes.
        at: where the next value begins.
    """

    def __init__(self, data: bytes | bytearray, at: int = 0) -> None:
        self.data = data
        self.at = at
        self._nodes = 0

    @property
    def left(self) -> int:
        """Bytes behind the place."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            Damaged: there are fewer, or `size` is negative.
        """
        if size < 0 or size > self.left:
            raise Damaged("cut", "the file ends inside a value, or a length in it is wrong")
        start, self.at = self.at, self.at + size
        return bytes(self.data[start : self.at])

    def byte(self) -> int:
        """The next byte as a number."""
        return self.take(1)[0]

    def number(self, form: str) -> Any:
        """The next number, in a form of `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def until(self, end: bytes, most: int) -> bytes:
        """The bytes up to `end`, which is read over; at most `most` bytes.

        Raises:
            Damaged: `end` does not follow.
        """
        at = self.data.find(end, self.at, self.at + most)
        if at < 0:
            raise Damaged("damaged", "the end of a name or value is missing")
        found = self.take(at - self.at)
        self.at += len(end)
        return found

    def begin_record(self) -> None:
        """A new record begins, with its own bound of values."""
        self._nodes = 0

    def count_node(self, depth: int) -> None:
        """Count one value of the record.

        Raises:
            Damaged: the record has too many values, or they are nested too deep.
        """
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise Damaged("size", "a record has too many values or is nested too deep")


def text_value(data: bytes) -> str:
    """A byte string as text; '' if it is binary data, which the byte pass examines."""
    text = text_of(data)
    return "" if text is None else repair(text).decode()


def utf8_value(data: bytes) -> str:
    """A string that its format declares to be text."""
    return repair(data, b"\0").decode()


def holds_rows(value: Any) -> bool:
    """Whether maps of two named values or more, or lists of texts of one length, stand in a value: it is a table."""
    while type(value) is dict and len(value) == 1:
        (key,) = value
        if not is_name(key):
            return False
        value = value[key]
    if type(value) is dict:
        return all(map(is_name, value))
    if type(value) is not list or not value:
        return False
    if type(value[0]) is not list:
        return type(value[0]) is dict and len(value[0]) > 1 and all(map(is_name, value[0]))
    size = len(value[0])
    texts = [each for each in value[0] if type(each) is str and each.isprintable() and each]
    is_row = len(texts) > 1 and len(texts) * 2 >= size
    return is_row and len(value) > 1 and type(value[1]) is list and len(value[1]) == size


def begins_with_table(
    cursor: Cursor,
    enter_map: Callable[[Cursor], bool],
    enter_list: Callable[[Cursor], bool],
    read_value: Callable[[Cursor], Any],
) -> bool:
    """Whether a map begins here that is longer than the bytes at hand, with a list that begins with two rows of one form.

    Args:
        cursor: at the first byte of a value.
        enter_map: moves to the first element of a map; False if none begins at the cursor.
        enter_list: the same of a list.
        read_value: reads one value; raises Damaged if it is cut.
    """
    with contextlib.suppress(Damaged):
        for _ in range(_MAX_WRAPPERS):
            cursor.begin_record()
            if not enter_map(cursor):
                return False
            start = cursor.at
            # the entries before the one that is cut
            with contextlib.suppress(Damaged):
                while is_name(read_value(cursor)):
                    start = cursor.at
                    read_value(cursor)
            cursor.at = start
            cursor.begin_record()
            if enter_list(cursor):
                one, two = read_value(cursor), read_value(cursor)
                return type(one) is dict and len(one) > 1 and type(two) is dict and list(one) == list(two)
    return False


def is_name(key: Any) -> bool:
    """Whether the key of a map can be the name of a field."""
    return type(key) is str and key.isprintable() and key[:1].isalpha()


def moment(seconds: float) -> str:
    """A time in seconds since 1970 in ISO 8601; the number itself if no date can be made of it."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return str(seconds)
