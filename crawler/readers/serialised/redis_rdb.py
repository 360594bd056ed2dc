"""Databases of Redis and Valkey (.rdb): a hash is a row, a value that is JSON is a record, other values are text.

Values that are files (gzip, MessagePack, PHP) are members.

Source: rdb.h and rdb.c of Redis, versions 1 to 12 of the format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import PIECE, Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.serialised.binary_values import BinaryValues
from crawler.readers.serialised.redis_values import (
    decompress_lzf,
    intset,
    listpack,
    stream_entries,
    ziplist,
    zipmap,
)
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "redis"

_MAGIC = re.compile(rb"REDIS\d{4}|VALKEY\d{3}")
_MAGIC_SIZE = 9
# Redis allows 512 MiB; a longer value than this is not held in memory, and its bytes are left to the byte pass.
_MAX_VALUE = 2**26
# A hash with more fields is a table of values by their ids rather than one record.
_MAX_FIELDS = 256
_KEY = "redis_key"
_MAX_TABLE_NAME = 40
_END, _SELECT, _EXPIRES, _EXPIRES_MS, _SIZES, _ABOUT, _FREQUENCY, _IDLE, _MODULE, _FUNCTION, _SLOT = (
    0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0xFA, 0xF9, 0xF8, 0xF7, 0xF5, 0xF4
)  # fmt: skip
_LISTS_OF_STRINGS, _STREAMS = (1, 2), (15, 19, 21)
_PACKED_LISTS: dict[int, Callable[[bytes], Iterator[bytes]]] = {10: ziplist, 11: intset, 20: listpack}
_PACKED_SCORES: dict[int, Callable[[bytes], Iterator[bytes]]] = {12: ziplist, 17: listpack}
_PACKED_HASHES: dict[int, Callable[[bytes], Iterator[bytes]]] = {9: zipmap, 13: ziplist, 16: listpack}
_HASH, _OLD_SCORES, _SCORES, _MODULE_VALUE, _QUICKLIST, _QUICKLIST_2 = 4, 3, 5, 7, 14, 18
_HASHES_WITH_TIMES, _PACKED_HASHES_WITH_TIMES = (22, 24), (23, 25)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 by the signature and the number of a version, else 0.0."""
    return 1.0 if _MAGIC.match(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output what every key of every database holds."""
    source.read(_MAGIC_SIZE)
    reader = _Reader(source, out, limits)
    try:
        reader.read()
    finally:
        reader.finish()


class _Reader:
    """Reads the keys in order; one value is in memory at a time."""

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self._source = source
        self._out = out
        self._records = RecordWriter(out, limits)
        self._problems = ProblemCounter()
        self._binary = BinaryValues(source, out)
        self._texts: list[bytes] = []
        self._text_size = 0

    def finish(self) -> None:
        """Write the rows and texts that are waiting, and report what was wrong."""
        self._flush_text()
        self._records.finish()
        self._problems.report(self._out)
        self._binary.report()

    def read(self) -> None:
        """Read everything up to the end mark.

        Raises:
            Damaged: the file ends early or is damaged; keys behind that place cannot be found.
        """
        while (kind := self._byte()) != _END:
            if kind in (_SELECT, _IDLE):
                self._length()
            elif kind in (_EXPIRES, _EXPIRES_MS):
                self._take(4 if kind == _EXPIRES else 8)
            elif kind == _SIZES:
                self._length(), self._length()
            elif kind == _ABOUT:
                self._string(), self._string()
            elif kind == _FREQUENCY:
                self._byte()
            elif kind == _MODULE:
                self._length()
                self._read_module("")
            elif kind == _FUNCTION:
                self._string()
            elif kind == _SLOT:
                self._length(), self._length(), self._length()
            else:
                self._read_value(kind, self._string())
        # the checksum, of version 5 and later
        if len(self._source.peek(8)) == 8:
            self._take(8)

    # --- values ----------------------------------------------------------------------------------------------------

    def _read_value(self, kind: int, key: bytes) -> None:
        name = _shown(key)
        if kind == 0:
            self._add_value(name, self._string())
        elif kind in _LISTS_OF_STRINGS:
            self._add_values(name, (self._string() for _ in range(self._length())))
        elif kind in _PACKED_LISTS:
            self._unpack(lambda data: self._add_values(name, _PACKED_LISTS[kind](data)))
        elif kind in (_QUICKLIST, _QUICKLIST_2):
            for _ in range(self._length()):
                packed = kind == _QUICKLIST or self._length() == 2
                form = (listpack if kind == _QUICKLIST_2 else ziplist) if packed else _alone
                self._unpack(lambda data, form=form: self._add_values(name, form(data)))  # type: ignore[misc]
        elif kind in (_OLD_SCORES, _SCORES):
            self._add_values(name, (self._scored(kind) for _ in range(self._length())))
        elif kind in _PACKED_SCORES:
            self._unpack(lambda data: self._add_values(name, _every(2, _PACKED_SCORES[kind](data))))
        elif kind == _HASH:
            self._add_hash(name, ((self._string(), self._string()) for _ in range(self._length())))
        elif kind in _PACKED_HASHES:
            self._unpack(lambda data: self._add_hash(name, _pairs(2, _PACKED_HASHES[kind](data))))
        elif kind in _HASHES_WITH_TIMES:
            if kind == _HASHES_WITH_TIMES[1]:
                self._take(8)
            self._add_hash(name, (self._timed_field() for _ in range(self._length())))
        elif kind in _PACKED_HASHES_WITH_TIMES:
            if kind == _PACKED_HASHES_WITH_TIMES[1]:
                self._take(8)
            self._unpack(lambda data: self._add_hash(name, _pairs(3, listpack(data))))
        elif kind in _STREAMS:
            self._read_stream(name, _STREAMS.index(kind) + 1)
        elif kind == _MODULE_VALUE:
            self._length()
            self._read_module(name)
        else:
            raise Damaged("damaged", "a value has a type that is not known")

    def _unpack(self, add: Callable[[bytes], None]) -> None:
        """Give the next string to a function; a list in it that is damaged costs only itself."""
        data = self._string()
        try:
            add(data)
        except Damaged as damage:
            self._problems.add(damage.code, str(damage))

    def _scored(self, kind: int) -> bytes:
        element = self._string()
        if kind == _SCORES:
            self._take(8)
        else:
            size = self._byte()
            self._take(size if size < 253 else 0)
        return element

    def _timed_field(self) -> tuple[bytes, bytes]:
        self._length()
        return self._string(), self._string()

    def _read_stream(self, name: str, version: int) -> None:
        for _ in range(self._length()):
            self._string()
            self._unpack(lambda data: self._add_entries(name, data))
        for _ in range(3 if version == 1 else 8):
            self._length()
        for _ in range(self._length()):
            self._string()
            for _ in range(2 if version == 1 else 3):
                self._length()
            for _ in range(self._length()):
                self._take(24)
                self._length()
            for _ in range(self._length()):
                self._string()
                self._take(8 if version < 3 else 16)
                for _ in range(self._length()):
                    self._take(16)

    def _read_module(self, name: str) -> None:
        """Read what a module stored: marked numbers and strings."""
        while mark := self._length():
            if mark in (1, 2):
                self._length()
            elif mark in (3, 4):
                self._take(4 * (mark - 2))
            elif mark == 5:
                self._add_value(name, self._string())
            else:
                raise Damaged("damaged", "a value of a module is damaged")

    # --- what becomes of values --------------------------------------------------------------------------------------

    def _add_hash(self, name: str, fields: Iterator[tuple[bytes, bytes]]) -> None:
        """Add a hash as a row; values that are JSON or files are records of their own."""
        row: dict[str, Any] = {_KEY: name}
        count = size = 0
        for field, value in fields:
            count += 1
            text = self._plain(f"{name} {_shown(field)}", value)
            if not text:
                continue
            if count > _MAX_FIELDS:
                self._add_text(repair(field), text)
                continue
            row[_shown(field)] = text.decode()
            size += len(text)
        if len(row) > 1:
            self._records.add([row], _table_of(name), size)

    def _add_entries(self, name: str, data: bytes) -> None:
        for entry in stream_entries(listpack(data)):
            self._add_hash(name, iter(entry.items()))

    def _add_values(self, name: str, values: Iterator[bytes]) -> None:
        for value in values:
            text = self._plain(name, value)
            if text:
                self._add_text(b"", text)

    def _add_value(self, name: str, value: bytes) -> None:
        text = self._plain(name, value)
        if text:
            self._add_text(name.encode(), text)

    def _add_text(self, name: bytes, text: bytes) -> None:
        self._texts += (name, b" ", text, b"\n\n")
        self._text_size += len(text)
        if self._text_size > PIECE:
            self._flush_text()

    def _flush_text(self) -> None:
        texts, self._texts, self._text_size = self._texts, [], 0
        self._out.text(b"".join(texts))

    def _plain(self, name: str, value: bytes) -> bytes:
        """The value as text; b"" for one that was output as a record or member, or that hides its content."""
        if value[:1] in (b"{", b"["):
            try:
                found = orjson.loads(value)
            except orjson.JSONDecodeError:
                found = None
            if type(found) in (dict, list):
                found = {_KEY: name, **found} if type(found) is dict else found
                self._records.add([found], _table_of(name), len(value))
                return b""
        return self._binary.text(name, value)

    # --- bytes -----------------------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) < size:
            raise Damaged("cut", "the database ends inside a value")
        return data

    def _byte(self) -> int:
        return self._take(1)[0]

    def _length(self) -> int:
        """A length.

        Raises:
            Damaged: a string stands in its place.
        """
        length, special = self._length_or_special()
        if special:
            raise Damaged("damaged", "a length is damaged")
        return length

    def _length_or_special(self) -> tuple[int, bool]:
        first = self._byte()
        kind = first >> 6
        if kind == 0:
            return first, False
        if kind == 1:
            return (first & 63) << 8 | self._byte(), False
        if kind == 3:
            return first & 63, True
        if first not in (0x80, 0x81):
            raise Damaged("damaged", "a length is damaged")
        return int.from_bytes(self._take(4 if first == 0x80 else 8), "big"), False

    def _string(self) -> bytes:
        """The next string, decompressed; b"" and a problem for one that is too long or damaged."""
        length, special = self._length_or_special()
        if not special:
            return self._sized(length)
        if length < 3:
            return str(int.from_bytes(self._take(1 << length), "little", signed=True)).encode()
        if length != 3:
            raise Damaged("damaged", "a string is damaged")
        compressed, size = self._length(), self._length()
        data = self._sized(compressed)
        if size > _MAX_VALUE:
            self._problems.add("size", "a value is too long to be read")
            return b""
        try:
            return decompress_lzf(data, size)
        except Damaged as damage:
            self._problems.add(damage.code, str(damage))
            return b""

    def _sized(self, size: int) -> bytes:
        if size <= _MAX_VALUE:
            return self._take(size)
        self._problems.add("size", "a value is too long to be read")
        if self._source.skip(size) < size:
            raise Damaged("cut", "the database ends inside a value")
        return b""


def _shown(data: bytes) -> str:
    return repair(data, b"\0").decode()


def _table_of(key: str) -> str:
    """The part of a key that names what kind of thing it is (`patient:39`), so that unlike values are unlike tables."""
    first, colon, _ = key[:_MAX_TABLE_NAME].partition(":")
    return first if colon else ""


def _alone(data: bytes) -> Iterator[bytes]:
    """A list element that is stored as it is."""
    yield data


def _pairs(step: int, elements: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The first two of every `step` elements."""
    for group in zip(*[elements] * step, strict=False):
        yield group[0], group[1]


def _every(step: int, elements: Iterator[bytes]) -> Iterator[bytes]:
    """The first of every `step` elements."""
    for group in zip(*[elements] * step, strict=False):
        yield group[0]
