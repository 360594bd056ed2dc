"""Values that PHP's `serialize` wrote: arrays and objects become rows.

Source: https://www.php.net/manual/function.serialize.php
"""

from __future__ import annotations

import re
from typing import Any

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.serialised.cursor import Cursor, utf8_value
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "php_serialized"
EMBEDDED_SEARCH = "all"

# a file of a session of PHP writes the name of a variable before each value
_VARIABLE = re.compile(rb'([\w-]{1,64})\|(?=[aO]:\d|N;|[idb]:[-+.\w]{1,40};|[sSE]:\d{1,9}:")')
_VALUES_BEFORE = rb'(?:[\w-]{1,64}\|(?:N;|a:0:\{\}|[idb]:[-+.\w]{1,40};|[sSE]:\d{1,9}:"[^"]{0,1000}";)){0,50}'
_BEGIN = re.compile(
    rb"\s{0,100}(?:"
    + _VALUES_BEFORE
    + rb'[\w-]{1,64}\|)?(?:a:\d{1,9}:\{(?:i:\d{1,9};|s:\d{1,9}:")|O:\d{1,4}:"[\w\\]{1,200}":\d{1,9}:\{)'
)
_CONTAINER = re.compile(rb'a:(\d{1,9}):\{|O:\d{1,9}:"([^"]{1,250})":(\d{1,9}):\{')
_STRING = re.compile(rb'[sSE]:(\d{1,10}):"')
_PLAIN = re.compile(rb"([idbrR]):([^;]{0,64});|N;")
_SPACE = re.compile(rb"\s*")
# A string whose length is wrong, because the file was converted to another encoding, is searched for its end in so
# many bytes.
_MAX_SEARCHED = 4096


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is serialised by PHP: high if it begins with an array or object."""
    return 0.93 if _BEGIN.match(as_utf8(head[:4096])) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output each element of the outermost array as a row, and each of several arrays behind each other."""
    reader = _Reader(Cursor(source.read_all(limits.hold)), out, limits)
    try:
        reader.read()
    finally:
        reader.records.finish()
    if reader.wrong_lengths:
        out.problem("length", f"{reader.wrong_lengths} strings have another length than they state; they were read")


class _Reader:
    """Reads values in order.

    Attributes:
        wrong_lengths: strings that do not end where their length says.
    """

    def __init__(self, cursor: Cursor, out: Output, limits: Limits) -> None:
        self.records = RecordWriter(out, limits)
        self.wrong_lengths = 0
        self._cursor = cursor
        self._out = out

    def read(self) -> None:
        """Read everything; what is not serialised is output as text, line by line.

        Plain variables of a session are one row.
        """
        cursor = self._cursor
        plain: dict[str, Any] = {}
        while cursor.left:
            self._skip_space()
            if variable := _VARIABLE.match(cursor.data, cursor.at):
                cursor.at = variable.end()
            start = cursor.at
            cursor.begin_record()
            count = self._open_container()
            if count is None and variable:
                plain[variable[1].decode()] = self._read_plain_or_string()
                continue
            if count is None:
                # a line of another kind
                end = cursor.data.find(b"\n", start)
                cursor.at = len(cursor.data) if end < 0 else end + 1
                self._out.text(utf8_value(bytes(cursor.data[start : cursor.at])).encode())
                continue
            self._read_elements(start)
        if plain:
            self.records.add([plain])

    def _read_elements(self, start: int) -> None:
        """Read the elements of the outermost container: plain ones are one row, every other one is a row itself."""
        cursor = self._cursor
        plain: dict[str, Any] = {}
        while cursor.left and not self._close_container():
            key = self._read_plain_or_string()
            cursor.begin_record()
            value = self._read_value()
            if type(value) is dict:
                self.records.add([value], size=cursor.at - start)
            else:
                plain[str(key)] = value
            start = cursor.at
        if plain:
            self.records.add([plain])

    def _read_value(self) -> Any:
        """The next value; containers are read with a stack, because an attacker chooses how deep they are nested."""
        stack: list[dict[str, Any]] = []
        keys: list[str] = []
        while True:
            self._cursor.count_node(len(stack))
            value: Any
            if self._open_container() is not None:
                stack.append({})
                value = None
            elif stack and self._close_container():
                value = stack.pop()
                if not stack:
                    return value
                stack[-1][keys.pop()] = value
            else:
                value = self._read_plain_or_string()
                if not stack:
                    return value
                stack[-1][keys.pop()] = value
            if stack and not self._at_close():
                keys.append(str(self._read_plain_or_string())[:250])

    def _open_container(self) -> int | None:
        found = _CONTAINER.match(self._cursor.data, self._cursor.at)
        if found is None:
            return None
        self._cursor.at = found.end()
        return int(found[1] or found[3])

    def _at_close(self) -> bool:
        return self._cursor.data[self._cursor.at : self._cursor.at + 1] == b"}"

    def _close_container(self) -> bool:
        closes = self._at_close()
        self._cursor.at += closes
        return closes

    def _skip_space(self) -> None:
        found = _SPACE.match(self._cursor.data, self._cursor.at)
        self._cursor.at = found.end() if found else self._cursor.at

    def _read_plain_or_string(self) -> Any:
        cursor = self._cursor
        found = _PLAIN.match(cursor.data, cursor.at)
        if found is not None:
            cursor.at = found.end()
            return utf8_value(found[2]) if found[2] is not None else None
        found = _STRING.match(cursor.data, cursor.at)
        if found is None:
            raise Damaged("damaged", "a value is not one that PHP serialises")
        cursor.at = found.end()
        size = int(found[1])
        if cursor.data[cursor.at + size : cursor.at + size + 2] in (b'";', b'"}') and size <= cursor.left:
            value = cursor.take(size)
            cursor.at += 1
            cursor.at += cursor.data[cursor.at : cursor.at + 1] == b";"
            return utf8_value(value)
        self.wrong_lengths += 1
        return utf8_value(cursor.until(b'";', 2 * size + _MAX_SEARCHED))
