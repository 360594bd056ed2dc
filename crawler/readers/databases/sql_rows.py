"""Rows of INSERT statements: one at a time with care, or many at once by a pattern made from those; statements are `sql_dump`'s.

The pattern says for every column in what form its values came so far. A row that does not fit is read with care, and
the pattern learns its forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from crawler.readers.core.regex_compat import possessive
from crawler.readers.databases.sql_literals import (
    DOLLAR,
    DOUBLE,
    ESCAPED,
    INSIDE,
    PREFIX,
    STRING,
    bytea_column,
    unquoted_column,
    value,
)

MORE, BAD = -1, -2
"""Why there is no row: its end is not there yet, or this is none."""


class Miss(NamedTuple):
    """No row, why, and how far was looked for its end."""

    reason: int
    at: int


MAX_DEPTH = 32
# the compiled form of a pattern grows with its columns
MAX_FAST = 256

_PLAIN = re.compile(rb"[^'\"$(),;\[\]]*+")
_STATEMENT = re.compile(rb"\n\s{0,80}+(?:INSERT|REPLACE|COPY|CREATE|DROP|ALTER|UPDATE|DELETE|SELECT)\s", re.IGNORECASE)
# what may follow a string: a letter means that its quote was not the last one
_BEHIND = re.compile(rb"\s*+(?:[,)|+:\]]|(?:AS|COLLATE|USING|AT|FROM)\b|/\*)", re.IGNORECASE)
_SPACE = re.compile(rb"\s*+")
_BARE = re.compile(rb"[^\s'\"$(),;\[\]]++")
_NULL = re.compile(rb"NULL", re.IGNORECASE)

# CAST(N'1975-03-12' AS Date), CONVERT(datetime, '…', 120), to_date('…', 'DD/MM/YYYY')
_CALLS = {
    mode: rb"(?:CAST|CONVERT|TO_DATE|TO_TIMESTAMP|STR_TO_DATE)\(\s*+(?:[a-z]\w{0,20}(?:\(\d{1,5}\))?,\s*+)?"
    + PREFIX
    + rb"'("
    + inside
    + rb")'(?:\s++AS [\w ]{1,40}(?:\([\d, ]{1,9}\))?|,\s*+\d{1,5}|,\s*+N?'[^']{0,40}')?\s*+\)"
    for mode, inside in INSIDE.items()
}
_CALL = {mode: possessive(call, re.DOTALL | re.IGNORECASE) for mode, call in _CALLS.items()}
BETWEEN = rb"(?:[\s,;]++|ON CONFLICT DO NOTHING|GO\b)*"


class Row(NamedTuple):
    """One row: its values, how they were written, where it ends, and whether a backslash escaped in it."""

    cells: list[bytes]
    written: list[bytes]
    end: int
    backslash: bool


def read_row(data: bytes, at: int, stop: int, backslash: bool) -> Row | Miss:
    """The row whose parenthesis opens at `at`, or why there is none.

    Args:
        data: what is there of the dump.
        at: of the parenthesis.
        stop: no byte from here on is looked at.
        backslash: it escapes in strings.
    """
    cells: list[bytes] = []
    depth, start, at = 0, at + 1, at + 1
    quick = STRING[backslash]
    while True:
        plain = _PLAIN.match(data, at, stop)
        end = plain.end() if plain else at
        if end - at > 8 and _STATEMENT.search(data, at, end):
            return Miss(BAD, at)
        at = end
        if at >= stop:
            return Miss(MORE, stop)
        sign = data[at]
        if sign == 0x27:  # '
            after = _string(data, max(start, at - 18), at, stop, quick)
            if after < 0:
                return Miss(after, at if after == BAD else stop)
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
                return Miss(BAD, at)
        elif sign in (0x28, 0x5B):  # ( [
            depth += 1
            at += 1
            if depth > MAX_DEPTH:
                return Miss(BAD, at)
        elif sign == 0x22:  # "
            found = DOUBLE[backslash].match(data, at, stop)
            if found is None:
                return Miss(MORE, stop)
            at = found.end()
        elif sign == 0x24:  # $
            found = DOLLAR.match(data, at, stop)
            if found is None:
                at += 1
                continue
            end = data.find(found[0], found.end(), stop)
            if end < 0:
                return Miss(MORE, stop)
            at = end + len(found[0])
        else:
            return Miss(BAD, at)
    return Row([value(cell, backslash) for cell in cells], cells, at + 1, backslash)


def _string(data: bytes, floor: int, at: int, stop: int, quick: re.Pattern[bytes]) -> int:
    """Where a string ends that begins at `at`."""
    found = None
    if at > floor and data[at - 1] in b"eE" and (at - 1 == floor or not chr(data[at - 2]).isalnum()):
        found = ESCAPED.match(data, at - 1, stop)
    if found is None:
        found = quick.match(data, at, stop)
    if found is None:
        return MORE
    end = found.end()
    if _BEHIND.match(data, end, stop):
        return end
    # a word behind it may be cut
    space = _SPACE.match(data, end, stop)
    return MORE if space is None or space.end() + 8 > stop else BAD


def _form(cell: bytes, backslash: bool) -> str:
    cell = cell.strip()
    if _NULL.fullmatch(cell):
        return "n"
    if found := STRING[backslash].fullmatch(cell):
        inside = found[1]
        if b"''" in inside or (backslash and b"\\" in inside):
            return "e"
        before = found.start(1)
        return "s" if before == 1 else "N" if before == 2 else "e"
    if _CALL[backslash].fullmatch(cell):
        return "c"
    return "b" if _BARE.fullmatch(cell) and not cell.startswith((b"0x", b"0X")) else "m"


class Shape(NamedTuple):
    """How the rows of a table are written.

    Attributes:
        forms: per column s for a string without escapes, N for a national one, e for any string, c for a string in a
            function, b for a bare word or number, n for nothing but NULL, m for all else.
        space: what stands before every value but the first, None if that is not always the same.
    """

    forms: tuple[str, ...]
    space: bytes | None

    def after(self, other: Shape) -> Shape:
        """The shape that fits the rows of both."""
        forms = tuple(
            one if other == "n" or one == other else other if one == "n" else "e" if {one, other} <= {*"sNe"} else "m"
            for one, other in zip(self.forms, other.forms, strict=True)
        )
        return Shape(forms, self.space if self.space == other.space else None)


def shape_of(row: Row) -> Shape:
    """How one row is written."""
    forms = tuple(_form(cell, row.backslash) for cell in row.written)
    rest = row.written[1:]
    space = b" " if rest and rest[0].startswith(b" ") else b""
    even = all(cell.startswith(space) and not cell[len(space) :][:1].isspace() for cell in rest) and not any(
        cell[-1:].isspace() for cell in row.written
    )
    return Shape(forms, space if even and not row.written[0][:1].isspace() else None)


class Pattern:
    """Many rows of one table at once.

    Args:
        prefix: the beginning of the statement up to VALUES if that stands again before every row, else empty.
        shape: of the rows. backslash: it escapes in strings.
    """

    def __init__(self, prefix: bytes, shape: Shape, backslash: bool) -> None:
        self.forms = shape.forms
        self.backslash = backslash
        inside = INSIDE[backslash]
        level = rb"'" + inside + rb"'|[Ee]'" + INSIDE[True] + rb"'"
        space = rb"\s*+" if shape.space is None else shape.space
        simple = rb"'([^'\\]*+)'" if backslash else rb"'([^']*+)'"
        kinds = {
            "s": rb"(?:" + simple + rb"|NULL)",
            "N": rb"(?:N" + simple + rb"|NULL)",
            "e": rb"(?:" + PREFIX + rb"'(" + inside + rb")'|NULL)",
            "c": rb"(?:(?i:" + _CALLS[backslash] + rb")|NULL)",
            "b": rb"(?:NULL|([^\s'\"$(),;\[\]]++))",
            # nothing is given back: 'a''b' is one string, and never two beside each other when the row does not fit
            # all but commas outside strings and parentheses; one that is opened may hold strings and one more
            "m": rb"((?:[^'(),;Ee]++|[Ee]'" + INSIDE[True] + rb"'|[Ee]|'" + inside + rb"'"
            rb"|\((?:[^'();Ee]++|" + level + rb"|[Ee]|\([^'();]*+\))*+\))*+)",
        }  # fmt: skip
        kinds["n"] = kinds["b"]
        end = rb"\s*+" if shape.space is None else b""
        columns = (end + b"," + space).join(kinds[form] for form in self.forms)
        first = rb"\s*+" if shape.space is None else b""
        before = BETWEEN + rb"(?:" + re.escape(prefix) + rb"\s*+)?\(" if prefix else rb"\s*+,?\s*+\("
        # what is left behind the last row comes as the last group
        self._rows = possessive(before + first + columns + end + rb"\)|(.+)", re.DOTALL)

    def take(self, data: bytes) -> tuple[list[Sequence[bytes]], int]:
        """The columns of all rows that stand at the beginning, and how many bytes are left behind them."""
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
            self._column(form, column, digits, bytea) for form, column in zip(self.forms, columns, strict=True)
        ], left

    def _column(self, form: str, column: Sequence[bytes], digits: bool, bytea: bool) -> Sequence[bytes]:
        if form == "m":
            # values repeat: dates, states
            known: dict[bytes, bytes] = {}
            for raw in column:
                if raw not in known:
                    known[raw] = value(raw, self.backslash)
            return [known[raw] for raw in column]
        if form in "bn":
            if digits:
                return [value(raw, self.backslash) if raw[:2] in (b"0x", b"0X") else raw for raw in column]
            return column
        if form in "ec":
            column = unquoted_column(column, self.backslash)
        return bytea_column(column) if bytea else column
