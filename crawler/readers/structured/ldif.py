"""LDIF, the export of directories (LDAP): each entry is a row.

Source: RFC 2849.
"""

from __future__ import annotations

import binascii
import re

from crawler.readers.core.encoding import Lines, as_utf8, repair, text_of
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.unfolded_lines import unfold

FORMAT = "ldif"
EMBEDDED_SEARCH = "all"

# Possessive: blank lines could be divided among the repetitions in endless ways.
_BEGIN = possessive(
    rb"(?:(?:#[^\n]{0,1000}|[ ][^\n]{0,1000}|\s{0,20}|version:[ ]*\d)\n){0,200}+dn::?[ ]?[^\n]+=?", re.IGNORECASE
)
_LINE = re.compile(r"([A-Za-z0-9][\w.-]{0,100})((?:;[\w.-]{1,60}){0,8}):(:|<)? *(.*)", re.DOTALL)
_TIME = re.compile(r"(\d{8})\d{4,6}(?:[.,]\d+)?Z")
_COLUMNS = {
    "cn": "full_name", "displayname": "full_name", "sn": "surname", "givenname": "first_name", "mail": "email",
    "telephonenumber": "phone", "homephone": "phone", "mobile": "phone", "postaladdress": "address",
    "dateofbirth": "birth_date", "birthdate": "birth_date",
}  # fmt: skip
_MAX_REPEATED = 20


def sniff(head: bytes, name: str) -> float:
    """Confidence that the sample is LDIF: high if an entry with a distinguished name is the first thing in it."""
    if not _BEGIN.match(as_utf8(head[:16_384])):
        return 0.0
    return 0.97 if name.lower().endswith(".ldif") or b"objectclass:" in head[:16_384].lower() else 0.9


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each entry; comments are output as text."""
    lines = Lines(source, limits.max_line)
    records = RecordWriter(out, limits)
    entry: dict[str, str] = {}
    size = 0
    for line in unfold(lines, limits.max_line):
        found = _LINE.fullmatch(line)
        if found is not None and not line.startswith("#"):
            _add(entry, found[1], _decoded(found[3], found[4]))
            size += len(line)
        elif line.strip() and line.strip() != "-":
            out.text(f"{line.lstrip('#')}\n".encode("utf-8", "replace"))
        if entry and (not line.strip() or size > limits.max_line):
            records.add([entry], size=size)
            entry, size = {}, 0
    if entry:
        records.add([entry], size=size)
    records.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _decoded(mark: str | None, value: str) -> str:
    if mark != ":":
        return value
    try:
        data = binascii.a2b_base64(value.encode("ascii", "ignore"))
    except binascii.Error:
        return value
    text = text_of(data)
    return "" if text is None else repair(text).decode()


def _add(entry: dict[str, str], name: str, value: str) -> None:
    """Add a value to the entry; a repeated attribute gets a column of its own, up to a bound."""
    time = _TIME.fullmatch(value)
    value = time[1] if time else value.replace("$", ", ")
    key = column = _COLUMNS.get(name.lower(), name)
    number = 1
    while column in entry:
        number += 1
        column = f"{key}_{number}"
        if number > _MAX_REPEATED:
            entry[key] += f" {value}"
            return
    if value:
        entry[column] = value
