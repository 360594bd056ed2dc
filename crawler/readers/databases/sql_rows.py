"""Rows of INSERT statements: parsed one at a time, or many at once by a pattern; `sql_dump` finds the statements.

The pattern describes, for each column, in which forms its values were written so far. A row that does not match is
parsed by itself, and a new pattern includes its forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from crawler.readers.core.regex_compat import possessive
from crawler.readers.databases.sql_literals import (
    DOLLAR_QUOTE,
    DOUBLE_QUOTED,
    E_STRING,
    QUOTED_STRING,
    STRING_CONTENT,
    STRING_PREFIX,
    decode_bytea_column,
    decode_literal,
    unquote_column,
)

UNFINISHED, INVALID = -1, -2
"""Why no row was found: the data ends before the row does, or this is no row."""


class NoRow(NamedTuple):
    """No row was found.

    Attributes:
        reason: `UNFINISHED` or `INVALID`.
        at: the place up to which the data was searched.
    """

    reason: int
    at: int


MAX_DEPTH = 32
# columns that a pattern may have: the compiled pattern grows with them
MAX_PATTERN_COLUMNS = 256

_NO_DELIMITER = re.compile(rb"[^'\"$(),;\[\]]*+")
_STATEMENT = re.compile(rb"\n\s{0,80}+(?:INSERT|REPLACE|COPY|CREATE|DROP|ALTER|UPDATE|DELETE|SELECT)\s", re.IGNORECASE)
# what may follow a string; a letter after a quote means that the quote did not end the string
_AFTER_STRING = re.compile(rb"\s*+(?:[,)|+:\]]|(?:AS|COLLATE|USING|AT|FROM)\b|/\*)", re.IGNORECASE)
_SPACE = re.compile(rb"\s*+")
_BARE = re.compile(rb"[^\s'\"$(),;\[\]]++")
_NULL = re.compile(rb"NULL", re.IGNORECASE)

# CAST(N'1975-03-12' AS Date), CONVERT(datetime, '…', 120), to_date('…', 'DD/MM/YYYY')
_CALLS = {
    mode: rb"(?:CAST|CONVERT|TO_DATE|TO_TIMESTAMP|STR_TO_DATE)\(\s*+(?:[a-z]\w{0,20}(?:\(\d{1,5}\))?,\s*+)?"
    + STRING_PREFIX
    + rb"'("
    + content
    + rb")'(?:\s++AS [\w ]{1,40}(?:\([\d, ]{1,9}\))?|,\s*+\d{1,5}|,\s*+N?'[^']{0,40}')?\s*+\)"
    for mode, content in STRING_CONTENT.items()
}
_CALL = {mode: possessive(call, re.DOTALL | re.IGNORECASE) for mode, call in _CALLS.items()}
BETWEEN_ROWS = rb"(?:[\s,;]++|ON CONFLICT DO NOTHING|GO\b)*"


class Row(NamedTuple):
    """One row.

    Attributes:
        cells: the decoded values.
        written: the values as SQL literals.
        end: where the row ends.
        backslash: whether a backslash was an escape character in its strings.
    """

    cells: list[bytes]
    written: list[bytes]
    end: int
    backslash: bool


def read_row(data: bytes, at: int, stop: int, backslash: bool) -> Row | NoRow:
    """The row whose parenthesis opens at `at`, or the reason why there is none.

    Args:
        data: the part of the dump that is in memory.
        at: place of the opening parenthesis.
        stop: place before which the search ends.
        backslash: whether a backslash is an escape character in strings.
    """
    cells: list[bytes] = []
    depth, start, at = 0, at + 1, at + 1
    quoted = QUOTED_STRING[backslash]
    while True:
        plain = _NO_DELIMITER.match(data, at, stop)
        end = plain.end() if plain else at
        if end - at > 8 and _STATEMENT.search(data, at, end):
            return NoRow(INVALID, at)
        at = end
        if at >= stop:
            return NoRow(UNFINISHED, stop)
        sign = data[at]
        if sign == 0x27:  # '
            after = _find_string_end(data, max(start, at - 18), at, stop, quoted)
            if after < 0:
                return NoRow(after, at if after == INVALID else stop)
            at = after
        elif sign == 0x2C:  # ,
            at += 1
            if depth == 0:
                cells.append(data[start : at - 1])
                start = at
        elif sign == 0x29 and depth == 0:  # )
            cells.append(data[start:at])
            break
        elif sign in (0x29, 0x5D):  # ) ]
            depth -= 1
            at += 1
            if depth < 0:
                return NoRow(INVALID, at)
        elif sign in (0x28, 0x5B):  # ( [
            depth += 1
            at += 1
            if depth > MAX_DEPTH:
                return NoRow(INVALID, at)
        elif sign == 0x22:  # "
            found = DOUBLE_QUOTED[backslash].match(data, at, stop)
            if found is None:
                return NoRow(UNFINISHED, stop)
            at = found.end()
        elif sign == 0x24:  # $
            found = DOLLAR_QUOTE.match(data, at, stop)
            if found is None:
                at += 1
                continue
            end = data.find(found[0], found.end(), stop)
            if end < 0:
                return NoRow(UNFINISHED, stop)
            at = end + len(found[0])
        else:
            return NoRow(INVALID, at)
    return Row([decode_literal(cell, backslash) for cell in cells], cells, at + 1, backslash)


def _find_string_end(data: bytes, floor: int, at: int, stop: int, quoted: re.Pattern[bytes]) -> int:
    """Where the string with its quote at `at` ends, else `UNFINISHED` or `INVALID`; no byte before `floor` is read."""
    found = None
    if at > floor and data[at - 1] in b"eE" and (at - 1 == floor or not chr(data[at - 2]).isalnum()):
        found = E_STRING.match(data, at - 1, stop)
    if found is None:
        found = quoted.match(data, at, stop)
    if found is None:
        return UNFINISHED
    end = found.end()
    if _AFTER_STRING.match(data, end, stop):
        return end
    # the word after the string may be incomplete
    space = _SPACE.match(data, end, stop)
    return UNFINISHED if space is None or space.end() + 8 > stop else INVALID


def _form_of(cell: bytes, backslash: bool) -> str:
    """The form of a literal, as in `RowShape.forms`."""
    cell = cell.strip()
    if _NULL.fullmatch(cell):
        return "n"
    if found := QUOTED_STRING[backslash].fullmatch(cell):
        content = found[1]
        if b"''" in content or (backslash and b"\\" in content):
            return "e"
        before = found.start(1)
        return "s" if before == 1 else "N" if before == 2 else "e"
    if _CALL[backslash].fullmatch(cell):
        return "c"
    return "b" if _BARE.fullmatch(cell) and not cell.startswith((b"0x", b"0X")) else "m"


class RowShape(NamedTuple):
    """How the rows of a table are written.

    Attributes:
        forms: for each column "s" (strings without escapes), "N" (national strings without escapes), "e" (strings of
            any kind), "c" (a string inside a function call), "b" (unquoted words and numbers), "n" (only NULL) or "m"
            (anything else).
        space: the whitespace before every value but the first; None if it varies.
    """

    forms: tuple[str, ...]
    space: bytes | None

    def merge(self, other: RowShape) -> RowShape:
        """The shape that covers the rows of both shapes."""
        forms = tuple(
            one if other == "n" or one == other else other if one == "n" else "e" if {one, other} <= {*"sNe"} else "m"
            for one, other in zip(self.forms, other.forms, strict=True)
        )
        return RowShape(forms, self.space if self.space == other.space else None)


def shape_of(row: Row) -> RowShape:
    """The shape of one row."""
    forms = tuple(_form_of(cell, row.backslash) for cell in row.written)
    rest = row.written[1:]
    space = b" " if rest and rest[0].startswith(b" ") else b""
    even = all(cell.startswith(space) and not cell[len(space) :][:1].isspace() for cell in rest) and not any(
        cell[-1:].isspace() for cell in row.written
    )
    return RowShape(forms, space if even and not row.written[0][:1].isspace() else None)


class RowPattern:
    """Parses many rows of one table at once with a regular expression.

    Args:
        prefix: the beginning of the statement up to VALUES if every row repeats it, else empty.
        shape: shape of the rows.
        backslash: whether a backslash is an escape character in strings.
    """

    def __init__(self, prefix: bytes, shape: RowShape, backslash: bool) -> None:
        self.forms = shape.forms
        self.backslash = backslash
        content = STRING_CONTENT[backslash]
        string = rb"'" + content + rb"'|[Ee]'" + STRING_CONTENT[True] + rb"'"
        space = rb"\s*+" if shape.space is None else shape.space
        simple = rb"'([^'\\]*+)'" if backslash else rb"'([^']*+)'"
        kinds = {
            "s": rb"(?:" + simple + rb"|NULL)",
            "N": rb"(?:N" + simple + rb"|NULL)",
            "e": rb"(?:" + STRING_PREFIX + rb"'(" + content + rb")'|NULL)",
            "c": rb"(?:(?i:" + _CALLS[backslash] + rb")|NULL)",
            "b": rb"(?:NULL|([^\s'\"$(),;\[\]]++))",
            # Everything except commas outside strings and parentheses; a parenthesis may contain strings and one more
            # level of parentheses. Possessive, without backtracking: 'a''b' is one string, and a row that does not
            # match must not be tried again as two strings side by side.
            "m": rb"((?:[^'(),;Ee]++|[Ee]'" + STRING_CONTENT[True] + rb"'|[Ee]|'" + content + rb"'"
            rb"|\((?:[^'();Ee]++|" + string + rb"|[Ee]|\([^'();]*+\))*+\))*+)",
        }  # fmt: skip
        kinds["n"] = kinds["b"]
        end = rb"\s*+" if shape.space is None else b""
        columns = (end + b"," + space).join(kinds[form] for form in self.forms)
        first = rb"\s*+" if shape.space is None else b""
        before = BETWEEN_ROWS + rb"(?:" + re.escape(prefix) + rb"\s*+)?\(" if prefix else rb"\s*+,?\s*+\("
        # The last group captures the rest of the data after the last row.
        self._rows = possessive(before + first + columns + end + rb"\)|(.+)", re.DOTALL)

    def parse(self, data: bytes) -> tuple[list[Sequence[bytes]], int]:
        """The columns of all matching rows at the beginning of `data`, and how many bytes follow these rows."""
        found = self._rows.findall(data)
        left = 0
        if found and (rest := found[-1][-1]):
            found.pop()
            left = len(rest)
        if not found:
            return [], left
        columns: list[Sequence[bytes]] = list(zip(*found, strict=True))
        columns.pop()
        digits, bytea = b"0x" in data or b"0X" in data, b"\\x" in data
        return [
            self._decode_column(form, column, digits, bytea) for form, column in zip(self.forms, columns, strict=True)
        ], left

    def _decode_column(self, form: str, column: Sequence[bytes], digits: bool, bytea: bool) -> Sequence[bytes]:
        if form == "m":
            # Values such as dates and states repeat: each is decoded once.
            known: dict[bytes, bytes] = {}
            for raw in column:
                if raw not in known:
                    known[raw] = decode_literal(raw, self.backslash)
            return [known[raw] for raw in column]
        if form in "bn":
            if digits:
                return [decode_literal(raw, self.backslash) if raw[:2] in (b"0x", b"0X") else raw for raw in column]
            return column
        if form in "ec":
            column = unquote_column(column, self.backslash)
        return decode_bytea_column(column) if bytea else column
