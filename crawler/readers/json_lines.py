"""One JSON value per line, as databases and scrapers export it; lines that are no JSON go out as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import orjson

from crawler.readers.base import HEAD, MAX_ROWS, Limits, Output, Source
from crawler.readers.encoding import Lines, as_utf8, is_text

FORMAT = "json_lines"

# a batch whose records have together more than this many times the columns of its widest is cut by shape
MAX_SPREAD = 4
_LONE_SURROGATE = re.compile(rb"\\[uU][dD][89a-fA-F]")
_BAD = object()


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure where most of the first lines are whole JSON objects or arrays."""
    text = as_utf8(head)
    if text.lstrip()[:1] not in (b"{", b"[") or not is_text(text):
        return 0.0
    if b"\n" not in text and len(head) >= HEAD:
        return 0.5 if re.match(rb'\s*(\{\s*"|\[\s*\{)', text) else 0.0
    lines = [line for line in text.split(b"\n") if line.strip()]
    # the last line may be cut; one long line alone is judged by how it begins
    judged = lines[:20] if len(lines) > 20 else lines[:-1] if len(head) >= HEAD and len(lines) > 1 else lines
    values = [_bare(line) for line in judged]
    values = [line for line in values if line]
    good = sum(1 for line in values if line[:1] in b"{[" and _parse(line) is not _BAD)
    if values and good * 2 > len(values):
        return 0.95
    return 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out one row per object, nested ones flattened to columns `a.b` and `a.0`; a table per set of columns."""
    lines = Lines(source, limits.max_line)
    table = _Table(out, limits)
    for block in lines.blocks():
        table.add(block)
    if table.bad:
        out.problem("json", f"{table.bad} lines are not JSON; they were examined as text")
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were cut")
    if table.wide:
        out.problem(
            "columns", f"{table.wide} records have more than {limits.max_columns} values; the last holds the rest"
        )


def _bare(line: bytes) -> bytes:
    """A line of an array written one record per line, without what belongs to the array."""
    line = line.strip()
    if line in (b"[", b"]", b"],", b","):
        return b""
    return line.removesuffix(b",")


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    # orjson is strict about lone surrogates and constants such as NaN, which other writers let through
    if _LONE_SURROGATE.search(line) or b"NaN" in line or b"Infinity" in line:
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            return _BAD
    return _BAD


class _Table:
    """Records on their way to row frames."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.bad = 0
        self.wide = 0
        self._header: tuple[str, ...] | None = None

    def add(self, block: bytes) -> None:
        """Take whole lines."""
        records: list[dict[str, Any]] = []
        refused: list[bytes] = []
        for line in block.split(b"\n"):
            bare = _bare(line)
            if not bare:
                continue
            value = _parse(bare)
            if type(value) is dict:
                records.append(value)
            elif value is _BAD:
                refused.append(line)
            elif type(value) is list and value and all(type(each) is dict for each in value):
                records.extend(value)
            else:
                records.append({"": value})
        if refused:
            self.bad += len(refused)
            self.out.text(b"\n".join(refused) + b"\n")
        waiting = iter(records)
        while batch := list(islice(waiting, MAX_ROWS)):
            self._batch(batch)

    def _batch(self, records: list[dict[str, Any]]) -> None:
        keys = tuple(records[0])
        if len(keys) <= self.limits.max_columns and all(tuple(record) == keys for record in records):
            columns = list(zip(*(record.values() for record in records), strict=True))
            kinds = [set(map(type, column)) for column in columns]
            if not any(dict in kind or list in kind for kind in kinds):
                self._begin(keys)
                self.out.columns(
                    [_column(column, kind) for column, kind in zip(columns, kinds, strict=True)]
                    or [[b""] * len(records)]
                )
                return
        self._flattened([self._flat(record) for record in records])

    def _flattened(self, rows: list[dict[str, bytes]]) -> None:
        union = dict.fromkeys(key for row in rows for key in row)
        widest = max(map(len, rows))
        known = self._header or ()
        if set(union) <= set(known) and len(known) <= MAX_SPREAD * max(widest, 4):
            union = dict.fromkeys(known)
        elif len(union) > min(self.limits.max_columns, MAX_SPREAD * max(widest, 4)):
            # records that share little: one table for each shape
            shapes: dict[tuple[str, ...], list[dict[str, bytes]]] = {}
            for row in rows:
                shapes.setdefault(tuple(row), []).append(row)
            for shape, same in shapes.items():
                self._begin(shape)
                self.out.columns([[row[key] for row in same] for key in shape])
            return
        columns = tuple(union) or ("",)
        self._begin(columns)
        self.out.columns([[row.get(key, b"") for row in rows] for key in columns])

    def _begin(self, columns: tuple[str, ...]) -> None:
        if columns != self._header:
            self._header = columns
            self.out.header(columns)

    def _flat(self, record: dict[str, Any]) -> dict[str, bytes]:
        most = self.limits.max_columns
        row: dict[str, bytes] = {}
        rest: list[bytes] = []
        for key, value in _leaves(record):
            if key in row:
                row[key] += b" " + value
            elif len(row) < most - 1:
                row[key] = value
            else:
                rest.append(value)
        if len(rest) == 1:
            row["…"] = rest[0]
        elif rest:
            self.wide += 1
            row["…"] = b" ".join(rest)
        return row or {"": b""}


def _leaves(record: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The values of a record with their paths, in order; a stack in place of recursion, for depth is hostile."""
    stack: list[tuple[str, Iterator[tuple[Any, Any]]]] = [("", iter(record.items()))]
    while stack:
        prefix, items = stack[-1]
        for key, value in items:
            path = f"{prefix}{key}"
            if type(value) is dict:
                stack.append((_prefix(path), iter(value.items())))
                break
            if type(value) is list:
                stack.append((_prefix(path), iter(enumerate(value))))
                break
            yield path, _value(value)
        else:
            stack.pop()


def _prefix(path: str) -> str:
    # a path a thousand levels deep tells nothing more than its beginning
    return path[:256] + "." if path else ""


def _value(value: Any) -> bytes:
    if type(value) is str:
        return value.encode("utf-8", "replace")
    if value is None:
        return b""
    if value is True or value is False:
        return b"true" if value else b"false"
    return str(value).encode()


def _column(values: Sequence[Any], kinds: set[type]) -> Sequence[bytes]:
    if kinds == {str}:
        try:
            return list(map(str.encode, values))
        except UnicodeEncodeError:
            return [_value(value) for value in values]
    if kinds == {int}:
        return list(map(str.encode, map(str, values)))
    return [_value(value) for value in values]
