"""Reads GEDCOM, in which programs for family trees exchange people: one row for each person.

Source: GEDCOM 5.5.1 and 7.0.
"""

from __future__ import annotations

import re

from crawler.readers.core.encoding import Lines, as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "gedcom"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"\s{0,20}0 HEAD\s")
_LINE = re.compile(r"\s*(\d{1,2})\s+(?:@[^@\s]{1,80}@\s+)?(_?[A-Za-z0-9]{1,31})(?:\s(.*))?", re.DOTALL)
_NAME = re.compile(r"([^/]*)/([^/]*)/?(.*)", re.DOTALL)
# of the calendar, and what makes a date uncertain
_BEFORE_DATE = re.compile(r"(?:@#D\w+(?: \w)?@|ABT|ABOUT|CAL|EST|INT|BEF|AFT)\.?\s+", re.IGNORECASE)
_COLUMNS = {
    "GIVN": "first_name", "SURN": "surname", "EMAIL": "email", "EMAI": "email", "PHON": "phone", "ADDR": "address",
    "NOTE": "note", "SSN": "ssn", "_MARNM": "name_usage",
}  # fmt: skip
_MAX_REPEATED, _LONGEST_RECORD = 20, 2**20


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is GEDCOM: high if it begins with its header."""
    return 0.97 if _BEGIN.match(as_utf8(head[:200])) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each person, and the rest as text."""
    lines = Lines(source, limits.max_line)
    records = RecordWriter(out, limits)
    row: dict[str, str] = {}
    path: list[str] = []
    size = 0
    for block in lines.blocks():
        text: list[str] = []
        for line in block.decode().split("\n"):
            found = _LINE.fullmatch(line.rstrip("\r"))
            if found is None:
                text.append(line)
                continue
            level, tag, value = int(found[1]), found[2].upper(), (found[3] or "").strip()
            path = [*path[:level], tag]
            size += len(line)
            if (level == 0 or size > _LONGEST_RECORD) and row:
                records.add([row], size=size)
                row, size = {}, 0
            if path[0] == "INDI":
                _add(row, path, value)
            elif value:
                text.append(value)
        if any(text):
            out.text("\n".join([*text, ""]).encode("utf-8", "replace"))
    if row:
        records.add([row], size=size)
    records.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _add(row: dict[str, str], path: list[str], value: str) -> None:
    """Add a line of a person to the row; a repeated tag gets a column of its own, up to a bound."""
    if not value:
        return
    tag = path[-1]
    if tag == "NAME" and (found := _NAME.fullmatch(value)):
        # the parts of the name may stand below it as well
        row.setdefault("first_name", found[1].strip())
        row.setdefault("surname", found[2].strip())
        return
    if tag in ("GIVN", "SURN") and row.get(_COLUMNS[tag]) == value:
        return
    if tag == "DATE" and path[-2] in ("BIRT", "CHR", "BAPM"):
        key, value = "birth_date" if path[-2] == "BIRT" else "baptism", _BEFORE_DATE.sub("", value)
    else:
        key = _COLUMNS.get(tag, ".".join(path[1:]).lower() or tag.lower())
    column, number = key, 1
    while column in row:
        number += 1
        column = f"{key}_{number}"
        if number > _MAX_REPEATED:
            row[key] += f" {value}"
            return
    row[column] = value
