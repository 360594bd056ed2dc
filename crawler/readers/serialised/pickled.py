"""What Python's `pickle` wrote: nothing is executed. Dicts and lists of one length become rows, texts text.

The codes are followed with a stack of plain values; classes are only names. Source: Lib/pickletools.py of Python.
"""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Iterator
from typing import Any

from crawler.readers.core.encoding import is_text, repair
from crawler.readers.core.limits import HEAD, Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "pickle"
EMBEDDED_SEARCH = "all"

_MAX_STEPS, _MAX_DEPTH, _COPIES, _LONG = 20_000_000, 64, 2**16, 2**20
# bytes of a date, and of a date with a time
_DATE_SIZES = (4, 10)
_MARK, _STOP = object(), "STOP"
_PLAIN = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT",
))  # fmt: skip
_BYTES = frozenset(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"))
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": list, "EMPTY_SET": list}
_MIN_ARRAY = 64
# protocols 0 and 1, which name no protocol
_TEXT_PICKLE = re.compile(rb"\([ld]p[01]\r?\n|[\]}]q[\0\1]")
# the state of an array of numpy: its version, shape, type, order, values
_ARRAY_STATE = 5


def sniff(head: bytes, name: str) -> float:
    """High for protocols 2 to 5, whose second byte is their number, and 0 and 1, if they begin with a list or dict."""
    if _TEXT_PICKLE.match(head):
        return 0.93
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5") and len(head) > 4:
        is_framed = head[1] < 4 or head[2:3] == b"\x95" or name.lower().endswith((".pkl", ".pickle", ".p"))
        return 0.9 if is_framed and head[2:3] in b"}]()\x95cX\x8c" else 0.0
    return 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the objects of the file."""
    held = source.read_all(limits.hold)
    records = RecordWriter(out, limits)
    machine = _Machine()
    try:
        machine.run(held)
        if machine.opaque:
            out.problem("unread", "numbers that an array keeps as bytes were not read", incomplete=True)
    except _READ_ERRORS:
        raise Damaged("damaged", "the codes of this pickle are damaged, or of a kind that is not followed") from None
    finally:
        for value in machine.found():
            _send(value, records, out)
        records.finish()


_READ_ERRORS = (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError, OverflowError)


def _send(value: Any, records: RecordWriter, out: Output) -> None:
    """Send an object: its dicts as rows, columns of one length as a table, and its other texts as text."""
    work: list[tuple[Any, int]] = [(value, 0)]
    seen: set[int] = set()
    texts: list[str] = []
    while work:
        each, depth = work.pop()
        if type(each) is str:
            texts.append(each)
        if type(each) not in (dict, list) or id(each) in seen or depth > _MAX_DEPTH:
            continue
        seen.add(id(each))
        if type(each) is dict and each and not any(type(part) in (dict, list) for part in each.values()):
            records.add([{str(key)[:250]: part for key, part in each.items()}])
        elif type(each) is list and (rows := _rows(each)):
            records.add(rows)
        else:
            parts = list(each.values()) if type(each) is dict else each
            work += [(part, depth + 1) for part in reversed(parts)]
    if texts:
        out.text(repair("\n".join([*texts, ""]).encode("utf-8", "replace")))


def _rows(values: list[Any]) -> list[dict[str, Any]]:
    """Lists of one length as rows, as a query of a database gives them, or those of an array; [] for other lists."""
    if len(values) >= _ARRAY_STATE and (rows := _rows_of_array(values[-_ARRAY_STATE:])):
        values = rows
    sizes = {len(each) if type(each) is list else 0 for each in values}
    # a list that stands there several times would become far more values than the file holds
    if len(values) < 2 or len(sizes) != 1 or max(sizes) < 2 or len(set(map(id, values))) < len(values):
        return []
    if any(type(part) in (dict, list) for each in values for part in each):
        return []
    names = [str(number) for number in range(len(values[0]))]
    return [dict(zip(names, each, strict=True)) for each in values]


def _rows_of_array(state: list[Any]) -> list[list[Any]]:
    """The rows of an array, which holds all values one behind the other; [] if this is no state of an array."""
    version, shape, _, is_reversed, values = state
    if version != 1 or type(shape) is not list or type(values) is not list or len(shape) != 2:
        return []
    if any(type(each) is not int or each < 1 for each in shape) or shape[0] * shape[1] != len(values):
        return []
    if is_reversed:
        lines = [values[at :: shape[0]] for at in range(shape[0])]
    else:
        lines = [values[at * shape[1] : (at + 1) * shape[1]] for at in range(shape[0])]
    # pandas keeps one column behind the other; tables have more rows than columns
    return [list(row) for row in zip(*lines, strict=True)] if shape[0] <= shape[1] else lines


class _Machine:
    """Follows the codes of pickles without making any object of theirs.

    Attributes:
        opaque: it met bytes, more than those of a date, that are no text.
    """

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._results: list[Any] = []
        # parts of objects that were copied, and how many may be
        self._copied = self._most_copied = 0
        self.opaque = False

    def found(self) -> Iterator[Any]:
        """The objects of complete pickles, and what stood on the stack where the last one ended early."""
        yield from self._results
        yield [each for each in self._stack if each is not _MARK]

    def run(self, held: bytearray) -> None:
        """Follow all pickles of a file, one behind the other."""
        stream = io.BytesIO(held)
        self._most_copied = len(held) + _COPIES
        steps = 0
        while stream.tell() < len(held):
            for code, argument, _ in pickletools.genops(stream):
                steps += 1
                if steps > _MAX_STEPS:
                    raise Damaged("size", "it has too many codes")
                self._step(code.name, argument)
            self._memo = {}

    def _to_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    def _object(self, first: Any, second: Any) -> Any:
        """An object that is changed in place, because the memo may already name it."""
        made = first if type(first) in (dict, list) else [first]
        parts = second if type(second) in (dict, list) else [second]
        self._copied += len(parts)
        if self._copied > self._most_copied:
            raise Damaged("ratio", "its objects are far larger than the file")
        if type(made) is dict:
            made.update(parts if type(parts) is dict else {"": parts})
            return made
        parts = parts if type(parts) is list else [parts]
        _extend(made, parts)
        return made

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _PLAIN:
            # Python 3 writes bytes as text where the protocol has none
            is_short = type(argument) is str and len(argument) in _DATE_SIZES and ord(argument[0]) in (7, 8)
            stack.append((is_short and _date_of(argument.encode("latin-1", "replace"))) or argument)
        elif name in _BYTES:
            data = bytes(argument)
            # long bytes that are no text are numbers of an array or a file, which is found in the bytes of the pickle
            if day := _date_of(data):
                stack.append(day)
                return
            readable = is_text(data[:HEAD])
            self.opaque = self.opaque or (len(data) >= _MIN_ARRAY and not readable)
            stack.append(data.decode("utf-8", "replace") if len(data) < _LONG or readable else "")
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("NONE", "NEWTRUE", "NEWFALSE"):
            stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
        elif name in ("TUPLE", "LIST", "FROZENSET"):
            stack.append(self._to_mark())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [stack[-count:]]
        elif name == "DICT":
            stack.append(_pairs(self._to_mark()))
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            values = [stack.pop()] if name == "APPEND" else self._to_mark()
            _extend(stack[-1], values)
        elif name in ("SETITEM", "SETITEMS"):
            values = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._to_mark()
            if type(stack[-1]) is dict:
                stack[-1].update(_pairs(values))
            else:
                _extend(stack[-1], [_pairs(values)])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._to_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in ("GLOBAL", "EXT1", "EXT2", "EXT4", "PERSID"):
            stack.append([])
        elif name in ("STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD"):
            # an object is what it is made of: the name of its class is dropped
            second, first = stack.pop(), stack.pop()
            if name == "REDUCE" and first == [] and _is_one_text(second):
                # dates, decimals and the like, which are made of one text
                stack.append(second[0])
                return
            stack.append([] if name == "STACK_GLOBAL" else self._object(first, second))
        elif name == "NEWOBJ_EX":
            third, second, first = stack.pop(), stack.pop(), stack.pop()
            stack.append(self._object(first, [second, third]))
        elif name in ("INST", "OBJ"):
            stack.append(self._to_mark())
        elif name == _STOP:
            self._results.append(stack.pop())


def _is_one_text(arguments: Any) -> bool:
    """Whether the arguments of a class are one text, or bytes as Python 3 writes them for Python 2."""
    if type(arguments) is not list or not arguments or type(arguments[0]) is not str:
        return False
    return len(arguments) == 1 or arguments[1:] == ["latin1"]


def _date_of(data: bytes) -> str:
    """The date of the bytes of which Python makes a date or a time; '' for other bytes."""
    if len(data) not in _DATE_SIZES:
        return ""
    year, month, day = data[0] << 8 | data[1], data[2], data[3]
    return f"{year}-{month:02}-{day:02}" if 1850 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= 31 else ""


def _extend(value: Any, more: list[Any]) -> None:
    if type(value) is list:
        value += [each for each in more if each is not value]


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return {
        key if type(key) in (str, int) else str(key)[:250]: value
        for key, value in zip(values[::2], values[1::2], strict=False)
    }
