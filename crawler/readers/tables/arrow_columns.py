"""Converts Arrow arrays to columns of text; nested arrays become several columns with dotted names.

The readers of the file formats open the files. Only the types and buffers of Arrow are used, not its compute functions,
which cost 30 ms and 9 MB at every start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

# The other memory pools keep threads and large areas of memory of their own.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import pyarrow as pa
from pyarrow import types

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import RATIO_FLOOR, Damaged, Limits
from crawler.readers.core.members import read_embedded_in_values, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.signatures import SIGNATURE_REACH, is_archive_start
from crawler.readers.core.source import Source
from crawler.readers.office.sheet_values import plain_number

BATCH_ROWS = 4096
"""Rows that are converted at a time."""
# Longer lists put all further elements into the last column.
MAX_LIST_COLUMNS = 32
MAX_NESTED = 16
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal() - _EPOCH
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# bytes of a cell in a frame in addition to its text
_CELL_OVERHEAD = 4

Column = tuple[str, Sequence[bytes]]


class ArrowBatchSender:
    """Converts the batches of one table to text and sends them.

    Args:
        out: takes the rows.
        limits: limits of the sample.
        size: compressed size of the table in bytes.
        source: the member that contains the table.
    """

    def __init__(self, out: Output, limits: Limits, size: int, source: Source) -> None:
        self.wide = 0
        self._out = out
        self._limits = limits
        self._max_given = max(RATIO_FLOOR, limits.max_ratio * size / max(1.0, source.amplification()))
        self._source = source
        self._given = 0
        self._header: list[str] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Send the rows of a batch.

        Raises:
            Damaged: "ratio" if the rows are far larger than a file of this size can honestly contain.
        """
        columns: list[Column] = []
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            for value in _embedded_files(array):
                read_member(Source(iter([value]), name, self._source.amplification), self._out)
            columns += flatten_column(name, array)
        columns = self._limit_columns(columns, batch.num_rows)
        self._given += sum(_CELL_OVERHEAD * len(values) + sum(map(len, values)) for _, values in columns)
        if self._given > self._max_given:
            raise Damaged("ratio", f"the rows are more than {self._limits.max_ratio:g} times as large as the file")
        read_embedded_in_values([values for _, values in columns], self._source, self._out)
        self._send(columns, batch.num_rows)

    def report(self, out: Output) -> None:
        """Report that rows had too many columns."""
        if self.wide:
            columns = self._limits.max_columns
            out.problem(
                "columns", f"{self.wide} rows have more than {columns} columns; their last column holds the rest"
            )

    def _limit_columns(self, columns: list[Column], rows: int) -> list[Column]:
        most = self._limits.max_columns
        if len(columns) <= most:
            return columns or [("", [b""] * rows)]
        self.wide += rows
        rest = [
            b" ".join(filter(None, values)) for values in zip(*(each for _, each in columns[most - 1 :]), strict=True)
        ]
        return [*columns[: most - 1], ("…", rest)]

    def _send(self, columns: list[Column], rows: int) -> None:
        names = [name for name, _ in columns]
        if names != self._header:
            known = dict(columns)
            if self._header is not None and set(names) <= set(self._header) and len(known) == len(names):
                # A list that is shorter in this batch than in an earlier one keeps its columns.
                blank = [b""] * rows
                self._out.columns([known.get(name, blank) for name in self._header])
                return
            self._header = names
            self._out.header(names)
        self._out.columns([values for _, values in columns])


def _embedded_files(array: pa.Array) -> Iterator[bytes]:
    """Values that are archives or compressed files, at any depth of nesting."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if types.is_struct(kind):
        for part in array.flatten():
            yield from _embedded_files(part)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        yield from _embedded_files(array.values)
    elif types.is_map(kind):
        yield from _embedded_files(array.items)
    elif types.is_dictionary(kind):
        yield from _embedded_files(array.dictionary)
    elif types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        yield from (value for value in array.to_pylist() if value and is_archive_start(value[:SIGNATURE_REACH]))


def flatten_column(name: str, array: pa.Array, depth: int = 0) -> Iterator[Column]:
    """An array as columns of text: one column, or several if the array is nested."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        array, kind = array.storage, array.storage.type
    if depth > MAX_NESTED:
        yield name, [b"" if value is None else str(value).encode("utf-8", "replace") for value in array.to_pylist()]
    elif types.is_struct(kind):
        # `flatten` also sets the fields to null where the struct itself is null.
        for field, part in zip(kind, array.flatten(), strict=True):
            yield from flatten_column(f"{name}.{field.name}", part, depth + 1)
    elif types.is_map(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        yield from _list_columns(name, array, depth)
    else:
        yield name, values_as_text(array)


def _list_columns(name: str, array: pa.Array, depth: int) -> Iterator[Column]:
    begins, lengths = _list_bounds(array)
    most = min(max(lengths, default=0), MAX_LIST_COLUMNS)
    inner = (
        pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
        if types.is_map(array.type)
        else array.values
    )
    columns = list(flatten_column(name, inner, depth + 1))
    for number in range(most):
        for inner_name, values in columns:
            rest = number == MAX_LIST_COLUMNS - 1
            yield (
                f"{name}.{number}{inner_name[len(name) :]}",
                [
                    b" ".join(values[begin + number : begin + length])
                    if rest
                    else values[begin + number]
                    if number < length
                    else b""
                    for begin, length in zip(begins, lengths, strict=False)
                ],
            )
    if not most:
        yield name, [b""] * len(lengths)


def _list_bounds(array: Any) -> tuple[list[int], list[int]]:
    """The index of each list's first element in the values, and its length; nulls have length 0."""
    size = array.type.list_size if types.is_fixed_size_list(array.type) else 0
    fixed = [size * (array.offset + number) for number in range(len(array) + 1)]
    begins = fixed if size else array.offsets.to_pylist()
    return begins, [
        end - begin if item.is_valid else 0 for begin, end, item in zip(begins, begins[1:], array, strict=False)
    ]


def values_as_text(array: pa.Array) -> Sequence[bytes]:
    """A flat array as text; nulls become b''."""
    kind = array.type
    if types.is_dictionary(kind):
        words = values_as_text(array.dictionary)
        return [b"" if index is None else words[index] for index in array.indices.to_pylist()]
    if types.is_string(kind) or types.is_binary(kind):
        return _valid_utf8(array.view(pa.binary()).to_pylist())
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return _valid_utf8(array.view(pa.large_binary()).to_pylist())
    if types.is_date32(kind):
        return _format_distinct(array.view(pa.int32()), _format_day)
    if types.is_date64(kind):
        return _format_distinct(array.view(pa.int64()), lambda value: _format_timestamp(value, 1000, b""))
    if types.is_timestamp(kind):
        unit, zone = _UNITS[kind.unit], b"Z" if kind.tz else b""
        return _format_distinct(array.view(pa.int64()), lambda value: _format_timestamp(value, unit, zone))
    if types.is_duration(kind):
        array = array.view(pa.int64())
    return _format_distinct(array, _format_value)


def _valid_utf8(values: list[bytes | None]) -> list[bytes]:
    texts = [value or b"" for value in values]
    joined = b"".join(texts)
    if not joined.isascii():
        try:
            for text in texts:
                text.decode()
        except UnicodeDecodeError:
            return [repair(text) for text in texts]
    return texts


def _format_distinct(array: pa.Array, format_value: Callable[[Any], bytes]) -> list[bytes]:
    values = array.to_pylist()
    texts = {value: b"" if value is None else format_value(value) for value in set(values)}
    return [texts[value] for value in values]


def _format_value(value: object) -> bytes:
    if value is True or value is False:
        return b"true" if value else b"false"
    if isinstance(value, bytes):
        return repair(value)
    if value != value:  # NaN
        return b""
    text = str(value).encode("utf-8", "replace")
    return plain_number(text) if text[:1] in b"-0123456789" and b":" not in text else text


def _format_day(days: int) -> bytes:
    return date.fromordinal(_EPOCH + days).isoformat().encode() if -_EPOCH < days <= _LAST_DAY else b"%d" % days


def _format_timestamp(value: int, unit: int, zone: bytes) -> bytes:
    seconds = value // unit
    days, seconds = divmod(seconds, 86_400)
    if not -_EPOCH < days <= _LAST_DAY:
        return b"%d" % value
    if not seconds and not zone:
        return _format_day(days)
    clock = b"%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
    return _format_day(days) + (b"T" if zone else b" ") + clock + zone
