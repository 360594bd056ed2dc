"""Lines of which each holds one value and the path to it, with the number of its record: what `gron` and `jq --stream` print.

`json[3].nom = "Roux";`, `[[3,"nom"],"Roux"]`, `patients.3.nom=Roux`, `/patients/3/nom: Roux`. One record is one row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.json_values import unescape_string
from data.identifiers.header_words import role_of

FORMAT = "path_lines"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

_LINE = re.compile(r"\s{0,40}(?P<path>[\w.\[\]\"'@/$-]{3,300})\s{0,3}(?:=>|[=:])\s{0,3}(?P<value>.*)")
_NUMBER = re.compile(r"(?:(?<=[./])|\[)(\d{1,12})(?:\]|(?=[./]))")
_STREAM = re.compile(
    r"\s*\[\[(?P<before>(?:\"(?:[^\"\\]|\\.)*\",)*)(?P<number>\d{1,12}),(?P<name>[^\]\n]{1,400})\],(?P<value>.*)\]\s*"
)
_EMPTY = re.compile(r"\s*(?:[\w.$\"'\[\]]{1,200}\s{0,3}=\s{0,3}(?:\{\}|\[\]);?|\[\[[^\]\n]{1,400}\]\])?\s*")
_QUOTED = re.compile(r"\s*([\"'])(.*)\1\s*[;,]?\s*")
_MARKS = re.compile(r"[\[\].\"'/@]+")
_SNIFFED, _SHARE, _MIN_LINES, _MIN_ROLES = 16_384, 0.9, 2, 2
_PERSONAL = frozenset(("surname", "first", "fullname", "dob", "email", "phone", "nir"))

Value = tuple[str, str, str]
"""The record that a line is about, the name of its value, and the value."""


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """High if nearly all lines have a path with a number, and these name fields of people."""
    if not any(mark in head for mark in (b"=", b":", b"[[")):
        return 0.0
    text = as_utf8(head[:_SNIFFED])
    if not is_text(text):
        return 0.0
    lines = text.decode("utf-8", "replace").split("\n")
    if len(text) < len(head) or len(head) >= _SNIFFED:
        lines.pop()
    lines = [line for line in lines if not _EMPTY.fullmatch(line)]
    found = [value for line in lines[:200] if (value := _value(line)) is not None]
    roles = {role_of(value[1]) for value in found} & _PERSONAL
    if len(found) < max(_MIN_LINES, _SHARE * len(lines[:200])) or len(roles) < _MIN_ROLES:
        return 0.0
    return 0.93


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the values of each record as a row; other lines are text."""
    lines = Lines(source, limits.max_line)
    records = RecordWriter(out, limits)
    row: dict[str, str] = {}
    record, size = "", 0
    for block in lines.blocks():
        text: list[str] = []
        for line in block.decode("utf-8", "replace").split("\n"):
            found = _value(line)
            if found is None:
                if not _EMPTY.fullmatch(line):
                    text.append(line)
                continue
            if (found[0] != record or found[1] in row or len(row) >= limits.max_columns) and row:
                records.add([row], size=size)
                row, size = {}, 0
            record = found[0]
            row[found[1]] = found[2]
            size += len(line)
        if text:
            out.text("\n".join([*text, ""]).encode("utf-8", "replace"))
    if row:
        records.add([row], size=size)
    records.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _value(line: str) -> Value | None:
    line = line.rstrip("\r")
    if (found := _STREAM.fullmatch(line)) is not None:
        record, path = f"{found['before']}{found['number']}", found["name"]
    elif (found := _LINE.fullmatch(line)) is not None and (number := _NUMBER.search(found["path"])) is not None:
        record, path = found["path"][: number.end()], found["path"][number.end() :]
    else:
        return None
    name = ".".join(_parts(path))
    value = found["value"].strip()
    quoted = _QUOTED.fullmatch(value)
    value = unescape_string(quoted[2]) if quoted else value.removesuffix(";")
    return (record, name, "" if value == "null" else value) if name else None


def _parts(name: str) -> Iterator[str]:
    return (part for part in _MARKS.split(name.replace(",", ".")) if part)
