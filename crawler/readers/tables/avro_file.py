"""Avro files: each record is a row. The blocks are separated and decompressed here, and fastavro reads the records.

A damaged block costs only its own records, because a mark that stands behind each block shows where the next one begins.

Source: https://avro.apache.org/docs/1.12.0/specification/, "Object Container Files".
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa
import zstandard
from fastavro import schemaless_reader

from crawler.readers.core.embedded_archives import EmbeddedArchiveSearch
from crawler.readers.core.limits import RATIO_FLOOR, Damaged, Limits
from crawler.readers.core.members import read_embedded
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.serialised.binary_values import BinaryValues
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.tables.avro_schema import check_schema

FORMAT = "avro"

_MAGIC = b"Obj\x01"
_MARK = 16
_MAX_HEADER, _MAX_HEADER_ENTRIES, _MAX_BLOCK, _MAX_DECOMPRESSED = 2**24, 1000, 2**27, 2**27
_SNAPPY_CHECKSUM = 4
# the two numbers before a block have at most ten bytes each
_MAX_LENGTHS = 20
_CUT = "the file ends inside a block or in its header"
_READ_ERRORS = (
    EOFError, ValueError, TypeError, IndexError, KeyError, OverflowError, ArithmeticError, AttributeError
)  # fmt: skip
_UNPACK_ERRORS = (zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, ValueError)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 by the signature, else 0.0."""
    return 1.0 if head.startswith(_MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output every record as a row."""
    file = _File(source, out, limits)
    try:
        file.read()
    finally:
        file.finish()


class _File:
    """Reads the header, then block after block."""

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self._source = source
        self._out = out
        self._limits = limits
        self._records = RecordWriter(out, limits)
        self._binary = BinaryValues(source, out)
        self._problems = ProblemCounter()
        self._decompress: Callable[[bytes, int], bytes] = _stored
        self._mark = b""
        self._schema: Any = None

    def finish(self) -> None:
        """Write the rows that are waiting, and report what was wrong."""
        self._records.finish()
        self._problems.report(self._out)
        self._binary.report()

    def read(self) -> None:
        """Read the file to its end.

        Raises:
            Damaged: the header is damaged, the file is cut, or it cannot be decompressed.
        """
        self._read_header()
        while self._source.peek(1):
            begin, start, data = self._source.peek(_MAX_LENGTHS), self._source.position, b""
            try:
                count, size = self._long(), self._long()
                begin = begin[: self._source.position - start]
                if count < 0 or not 0 <= size <= _MAX_BLOCK:
                    sentence = "the length of a block is wrong"
                else:
                    data = self._source.read(size)
                    if len(data) < size:
                        raise Damaged("cut", _CUT)
                    if self._source.peek(_MARK) == self._mark:
                        self._take(_MARK)
                        self._read_block(data, count)
                        continue
                    sentence = "a block does not end where its length says"
            except Damaged:
                read_embedded(begin + data, self._source, self._out, at=0)
                raise
            self._problems.add("damaged", sentence)
            if not self._find_mark(begin + data):
                return

    def _read_header(self) -> None:
        self._take(len(_MAGIC))
        values: dict[str, bytes] = {}
        begin = self._source.position
        while count := self._long():
            if count < 0:
                # the length of the entries in bytes follows
                count = -count
                self._long()
            if count > _MAX_HEADER_ENTRIES:
                raise Damaged("damaged", "the header is damaged")
            for _ in range(count):
                key = self._bytes().decode("utf-8", "replace")
                values[key] = self._bytes()
                if self._source.position - begin > _MAX_HEADER:
                    raise Damaged("damaged", "the header is damaged")
        self._mark = self._take(_MARK)
        codec = values.get("avro.codec", b"null").decode("utf-8", "replace")
        if codec not in _CODECS:
            raise Damaged("unread", "its blocks are compressed by a method that is not known")
        self._decompress = _CODECS[codec]
        self._schema = check_schema(values.get("avro.schema", b""))

    def _read_block(self, data: bytes, count: int) -> None:
        most = int(max(RATIO_FLOOR, min(_MAX_DECOMPRESSED, self._limits.max_ratio * len(data))))
        try:
            block = io.BytesIO(self._decompress(data, most))
        except _UNPACK_ERRORS:
            self._problems.add("damaged", "a block could not be decompressed")
            return
        size = len(block.getbuffer())
        if size > most:
            self._problems.add("ratio", "a block decompresses to far more than its size")
            return
        at = 0
        try:
            for _ in range(count):
                value = schemaless_reader(block, self._schema, None)
                self._records.add([self._plain("", value)], size=block.tell() - at)
                at = block.tell()
        except _READ_ERRORS:
            self._problems.add("damaged", "a record is damaged; those behind it in its block were not read")
            return
        if at != size:
            self._problems.add("damaged", "a block holds more than its records")

    def _plain(self, name: str, value: Any) -> Any:
        """A value as JSON has it; its depth is bounded by that of the schema."""
        if isinstance(value, dict):
            return {str(key): self._plain(str(key), each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(name, each) for each in value]
        if isinstance(value, bytes):
            return self._binary.text(name, value).decode()
        if isinstance(value, str | int | float | None):
            return value
        return value.isoformat() if isinstance(value, date | datetime | time) else str(value)

    def _find_mark(self, lost: bytes) -> bool:
        """Read on behind the next mark of the end of a block; False if there is none.

        Archives are searched for in the bytes before it, which begin with those that were `lost` already.
        """
        search = EmbeddedArchiveSearch(lambda data: read_embedded(data, self._source, self._out, at=0), self._out)
        search.feed(lost)
        tail = b""
        while piece := self._source.piece():
            data = tail + piece
            at = data.find(self._mark)
            behind = len(data) - at - _MARK if at >= 0 else 0
            search.feed(piece[: len(piece) - behind])
            if at >= 0:
                self._source.step_back(behind)
                break
            tail = data[-_MARK + 1 :]
        else:
            at = -1
        search.finish()
        return at >= 0

    # --- bytes -----------------------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) < size:
            raise Damaged("cut", _CUT)
        return data

    def _long(self) -> int:
        """A number in the variable length of Avro, whose lowest bit is its sign."""
        number = shift = 0
        while True:
            byte = self._take(1)[0]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number >> 1 ^ -(number & 1)
            if shift > 63:
                raise Damaged("damaged", "a number is damaged")

    def _bytes(self) -> bytes:
        size = self._long()
        if not 0 <= size <= _MAX_HEADER:
            raise Damaged("damaged", "the header is damaged")
        return self._take(size)


def _stored(data: bytes, most: int) -> bytes:  # noqa: ARG001 - as the other codecs
    return data


def _inflate(data: bytes, most: int) -> bytes:
    return zlib.decompressobj(-15).decompress(data, most + 1)


def _bunzip2(data: bytes, most: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, most + 1)


def _unxz(data: bytes, most: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=2**28).decompress(data, most + 1)


def _unzstd(data: bytes, most: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(data) as reader:
        found = b""
        while len(found) <= most and (part := reader.read(most + 1 - len(found))):
            found += part
        return found


def _unsnappy(data: bytes, most: int) -> bytes:
    """Snappy, whose data begins with the size that it decompresses to and ends with a checksum."""
    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > most:
        return bytes(most + 1)
    # the errors of pyarrow are ValueError and OSError
    return bytes(pa.decompress(data[:-_SNAPPY_CHECKSUM], size, "snappy", asbytes=True))


_CODECS: dict[str, Callable[[bytes, int], bytes]] = {
    "null": _stored, "deflate": _inflate, "bzip2": _bunzip2, "xz": _unxz, "zstandard": _unzstd, "snappy": _unsnappy,
}  # fmt: skip
