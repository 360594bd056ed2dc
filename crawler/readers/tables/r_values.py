"""Tables as R writes them as text: what `dput` prints, and data frames with a vector for each column.

Source: R language definition; `?dput`.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from itertools import groupby

from crawler.readers.core.encoding import as_utf8, is_text, repair, utf8_pieces
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.tables.text_tables import TextTables

FORMAT = "r_values"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

# a table stands in columns, so that all of it is needed for its first row
_MAX_HELD = 2**24
_BEGIN = re.compile(
    rb"(?:\A|[\n=(-])\s{0,20}(?:structure\(\s{0,20})?(?:list|(?:data\.)?(?:frame|table)|tibble)\(\s{0,20}(?:[\w.]{1,80}|`[^`\n]{1,80}`)\s{0,9}=\s{0,9}(?:structure\(|as\.\w{1,12}\(|factor\(){0,2}c\("
)
_STRING = r"(?:\"(?:[^\"\\]++|\\.)*+\"|'(?:[^'\\]++|\\.)*+')"
_VALUE = rf"(?:{_STRING}|-?[\d.][\w.+\-:]*+|NA(?:_\w+)?|TRUE|FALSE|NaN)"
_VECTOR = possessive(rf"c\(\s*+(?P<values>{_VALUE}(?:\s*+,\s*+{_VALUE})*+)\s*+\)", re.DOTALL)
# the name of a column before its vector, and what is made of the vector
_COLUMN = possessive(
    r"(?<![\w.])(?:(?P<name>[\w.]++)|`(?P<quoted>[^`\n]++)`)\s*+=\s*+"
    r"(?P<before>(?:(?:structure|factor|as\.\w++|I|(?:base|lubridate)::[\w.]++|ymd|dmy|mdy)\(\s*+)*+)(?=c\()"
)
_ONE = possessive(rf"(?P<value>{_VALUE})\s*+(?:,\s*+|\Z)", re.DOTALL)
_CLASS = re.compile(r"class\s*=\s*(?:c\()?((?:\s*\"[^\"\n]{1,40}\"\s*,?)+)")
_LEVELS = re.compile(r"(?:levels|\.Label|labels)\s*=\s*(?=c\()")
_EPOCH = date(1970, 1, 1)
_ATTRIBUTES = frozenset(("class", "levels", "labels", ".Label", "row.names", "names", "tzone"))
_ESCAPE = re.compile(r"\\(?:u\{?([0-9a-fA-F]{1,6})\}?|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """High if a table is written as vectors in the first bytes."""
    if b"c(" not in head:
        return 0.0
    text = as_utf8(head)
    return 0.96 if is_text(text) and _BEGIN.search(text) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the columns that follow each other and have one length as a table, and everything else as text."""
    pieces: list[bytes] = []
    size = 0
    further = utf8_pieces(source)
    for piece in further:
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_HELD:
            break
    text = repair(b"".join(pieces)).decode("utf-8", "replace")
    at = 0
    left: list[str] = []
    columns: list[tuple[str, list[str]]] = []
    found = _COLUMN.search(text)
    while found is not None:
        vector = _VECTOR.match(text, found.end())
        if vector is None:
            found = _COLUMN.search(text, found.end())
            continue
        name = found["name"] or found["quoted"]
        if name not in _ATTRIBUTES:
            left.append(text[at : found.start()])
            at = vector.end()
            following = _COLUMN.search(text, at)
            while following is not None and (following["name"] or "") in _ATTRIBUTES:
                following = _COLUMN.search(text, following.end())
            attributes = text[at : min(at + 2**16, following.start() if following else len(text))]
            columns.append((name, _column(vector["values"], found["before"], attributes)))
            found = following
        else:
            found = _COLUMN.search(text, vector.end())
    _send(columns, out, limits)
    words = " ".join([*left, text[at:]])
    if words.strip():
        # a post may have other tables around it
        tables = TextTables(out, limits)
        tables.add(words.encode("utf-8", "replace"))
        tables.finish()
    if size > _MAX_HELD:
        out.problem("size", f"only the first {_MAX_HELD} bytes of its tables were read as rows", incomplete=True)
        for piece in further:
            out.text(repair(piece))


def _send(columns: list[tuple[str, list[str]]], out: Output, limits: Limits) -> None:
    for _, group in groupby(columns, key=lambda column: len(column[1])):
        table = list(group)
        if len(table) > limits.max_columns:
            out.problem_once(
                "columns", f"a table in it has more than {limits.max_columns} columns; the others are text"
            )
            words = "\n".join(" ".join(values) for _, values in table[limits.max_columns :])
            out.text(words.encode("utf-8", "replace") + b"\n")
            table = table[: limits.max_columns]
        out.header([name for name, _ in table])
        out.columns([[value.encode("utf-8", "replace") for value in values] for _, values in table])


def _column(values: str, before: str, attributes: str) -> list[str]:
    """The values of a vector as R displays them: dates, times and factors from their numbers."""
    plain = [_plain(each["value"]) for each in _ONE.finditer(values)]
    # a class of this vector stands before the next parenthesis that is closed too much
    attributes = attributes[: _end_of(attributes)] if before.startswith("structure") else ""
    kinds = found[1] if (found := _CLASS.search(attributes)) else ""
    if '"Date"' in kinds:
        return [_day(value, 1) for value in plain]
    if "POSIXct" in kinds:
        return [_day(value, 86_400) for value in plain]
    if (
        '"factor"' in kinds
        and (start := _LEVELS.search(attributes))
        and (levels := _VECTOR.match(attributes, start.end()))
    ):
        names = [_plain(each["value"]) for each in _ONE.finditer(levels["values"])]
        return [names[int(value) - 1] if value.isdigit() and 0 < int(value) <= len(names) else "" for value in plain]
    return plain


def _end_of(text: str) -> int:
    depth = 1
    for part in re.finditer(r"\"(?:[^\"\\]|\\.)*\"|[()]", text):
        depth += (part[0] == "(") - (part[0] == ")")
        if not depth:
            return part.start()
    return len(text)


def _day(value: str, seconds: int) -> str:
    try:
        return str(_EPOCH + timedelta(days=float(value) // seconds))
    except (ValueError, OverflowError):
        return value


def _plain(literal: str) -> str:
    if literal[0] in "\"'":
        text = literal[1:-1]
        return _ESCAPE.sub(_unescaped, text) if "\\" in text else text
    if literal.startswith("NA"):
        return ""
    return literal.removesuffix("L") if literal[0].isdigit() or literal[0] == "-" else literal


def _unescaped(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    if digits:
        return chr(int(digits, 16)) if int(digits, 16) < 0x110000 else ""
    return {"n": "\n", "r": "\r", "t": "\t"}.get(found[3], found[3])
