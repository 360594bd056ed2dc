"""Reads files with one JSON value per line, as databases and scrapers export them; other lines are output as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.file_cuts import IndexedBlock
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import MAX_WAITING_BYTES, RecordWriter
from crawler.readers.structured.json_values import Validity, parse_json

FORMAT = "json_lines"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"
# bytes that may precede the object on a line: control characters, and parts of a damaged byte order mark
_STRAY_BYTES = bytes([*range(0x20), *range(0x7F, 0x100)])


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is JSON lines: high if most of the first lines are complete JSON objects."""
    text = as_utf8(head)
    if text.lstrip(_STRAY_BYTES + b" ")[:1] not in (b"{", b"[") or not is_text(text):
        return 0.0
    lines = [line for line in text.split(b"\n") if line.strip()]
    # the head may end inside the last line
    checked = lines[:20] if len(lines) > 20 else lines[:-1] if len(head) >= HEAD else lines
    values = [line for line in map(_without_array_syntax, checked) if line]
    good = sum(1 for line in values if line[:1] == b"{" and _is_object(line))
    return 0.95 if len(values) > 1 and good * 2 > len(values) else 0.0


def _is_object(line: bytes) -> bool:
    value, validity = parse_json(line)
    return validity is not Validity.DAMAGED and type(value) is dict


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output one row per object and one table per set of columns; nested values get columns such as `a.b` and `a.0`."""
    lines = index_lines(source, limits)
    records = RecordWriter(out, limits)
    damaged = nonstandard = 0
    for block in lines.blocks():
        values: list[Any] = []
        refused: list[bytes] = []
        for line in block.split(b"\n"):
            bare = _without_array_syntax(line)
            if not bare:
                continue
            value, validity = parse_json(bare)
            if validity is Validity.DAMAGED:
                refused.append(line)
                if type(value) is not dict:
                    continue
            nonstandard += validity is Validity.NONSTANDARD or bare[:1] != line.lstrip()[:1].replace(b"[", b"{")
            if type(value) is list and value and all(type(each) is dict for each in value):
                values += value
            else:
                values.append(value)
        if refused:
            damaged += len(refused)
            out.text(b"\n".join(refused) + b"\n")
        records.add(values)
        # tables of a block do not depend on the blocks before it, so that a file can be read in chunks
        records.flush()
    records.finish()
    if lines.wrong:
        out.problem("changed", "its bytes are not those of the file that was cut into chunks", incomplete=True)
    if damaged:
        out.problem("json", f"{damaged} lines are not JSON; they were examined as text")
    if nonstandard:
        out.problem("json", f"{nonstandard} lines are not standard JSON; they were parsed by their likely meaning")
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def index_lines(source: Source, limits: Limits) -> Lines:
    """The lines of a file in the blocks in which `read` reads them."""
    return Lines(source, limits.max_line, MAX_WAITING_BYTES)


def index(source: Source, lines: Lines) -> Iterator[IndexedBlock]:  # noqa: ARG001 - every cuttable reader takes both
    """The blocks of a file with the number of their values; each line is read by itself.

    What is more than one row of one table is noticed by the examination of a chunk.
    """
    for data in lines.raw_blocks():
        yield IndexedBlock(data, sum(map(bool, map(_without_array_syntax, data.split(b"\n")))), is_border=True)


def _without_array_syntax(line: bytes) -> bytes:
    """The record on a line, without the brackets and commas of an array that has one record per line."""
    line = line.strip()
    if line in (b"[", b"]", b"],", b","):
        return b""
    # a stray byte in front of a record must not make the whole line unreadable
    object_or_list = line.lstrip(_STRAY_BYTES)
    if object_or_list[:1] in (b"{", b"["):
        line = object_or_list
        # the first and the last line of an array that `mongoexport --jsonArray` or a script wrote
        if line[:2] in (b"[{", b"[ ") and line.rstrip(b",").endswith(b"}"):
            line = line[1:].lstrip()
        elif line[:1] == b"{" and line.endswith(b"}]"):
            line = line[:-1]
    return line.removesuffix(b",")
