"""Rows as programs print them: tuples, lists and calls of Python and its kin, whose values may be calls themselves.

`('Roux', 'Anna', datetime.date(2001, 1, 28))`, `Row(1, 'Roux', Decimal('3'))`, `Patient(nom='Roux', born=Date.new(2001, 1, 28))`.
The commas within such calls separate no columns. Dictionaries are left to the reader of JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from data.identifiers.header_words import role_of

FORMAT = "program_values"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

_SNIFFED, _HELD = 16_384, 2**16
_QUOTED = r"(?:[bBuUNrR]?'(?:[^'\\\n]++|\\.)*+'|[buUNrR]?\"(?:[^\"\\\n]++|\\.)*+\")"
_INSIDE = rf"(?:[^()'\"\n]++|{_QUOTED})"
CALL = rf"(?:new )?[A-Za-z_][\w.:]{{0,60}}\({_INSIDE}*+(?:\({_INSIDE}*+\){_INSIDE}*+)*+\)"
_BARE = r"[-+]?\d[\w.:+\-]*+|None\b|nil\b|null\b|NULL\b|NaT?N?\b|[Tt]rue\b|[Ff]alse\b|~[DNU]\[[^\]\n]{1,40}\]"
_BINARY = r"<<\"(?:[^\"\\\n]++|\\.)*+\"(?:/\w{1,12})?>>"
_DATE = r"\{\s?\d{4}\s?,\s?\d{1,2}\s?,\s?\d{1,2}\s?\}"
_VALUE = rf"(?:{_QUOTED}|{CALL}|{_BINARY}|{_DATE}|{_BARE})"
_ITEM = rf"(?:[\"']?[A-Za-z_]\w{{0,63}}[\"']?\s?(?:=>|=)\s?)?{_VALUE}"
_GROUP = possessive(
    rf"(?<![\w.])(?:[A-Za-z_][\w.]{{0,60}}\(|\{{[a-z]\w{{0,40}}\s?,|[(\[{{])\s*+(?P<items>{_ITEM}(?:\s*+,\s*+{_ITEM})++)\s*+,?\s*+[)\]}}]"
)
_ONE = possessive(rf"(?:[\"']?(?P<key>[A-Za-z_]\w{{0,63}})[\"']?\s?(?:=>|=)\s?)?(?P<value>{_VALUE})\s*+(?:,\s*+|\Z)")
_FIRST_QUOTED = possessive(_QUOTED)
_NUMBERS = re.compile(r"[({]\s*(\d{4}),\s*(\d{1,2}),\s*(\d{1,2})\s*[,)}]")
# months counted from zero, as JavaScript and the old classes of Java do
_FROM_ZERO = re.compile(r"new (?:Date|GregorianCalendar)|Date\.UTC")
_NOTHING = frozenset(("none", "nil", "null", "nan", "nat", "n"))
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([nrt])|(.))")
_BETWEEN = re.compile(r"[\s,;()\[\]{}]*")
_QUICK = re.compile(rb"[A-Za-z_]\(\s?['\"\d]|,\s?<<\"")
_CALLS = re.compile(r"\w\(|<<\"|\{\s?\d{4}\s?,")
# this share of a text must be rows
_SHARE, _MIN_STRINGS = 0.7, 2
_PERSONAL = frozenset(("surname", "first", "fullname", "dob", "email", "phone", "nir"))

Row = tuple[tuple[str, ...], tuple[str, ...]]
"""The names of the values, () if they have none, and the values."""


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """High if a text consists of rows that hold calls; values without any are left to other readers."""
    if not _QUICK.search(head):
        return 0.0
    text = as_utf8(head[:_SNIFFED])
    if not is_text(text):
        return 0.0
    whole = text.decode("utf-8", "replace")
    found = list(_groups(whole))
    rows = [row for each in found if (row := _row(each["items"])) is not None]
    calls = sum(_CALLS.search(each["items"]) is not None for each in found)
    if not rows or calls * 2 < len(found):
        return 0.0
    # what is left between the rows, up to the last of them, which may have been cut
    left = sum(len(whole[a:b].strip(" \t\n,;()[]{}")) for a, b in _gaps(found))
    return 0.915 if left <= (1 - _SHARE) * found[-1].end() else 0.0


def _groups(text: str, start: int = 0, end: int | None = None) -> Iterator[re.Match[str]]:
    """The groups of values; of one whose values are groups themselves, these."""
    for found in _GROUP.finditer(text, start, len(text) if end is None else end):
        first = _ONE.match(found["items"])
        if first is not None and (inner := _GROUP.fullmatch(first["value"])) and _row(inner["items"]) is not None:
            # its own parenthesis is left out, so that the text to search becomes shorter each time
            yield from _groups(text, found.start("items"), found.end("items"))
        else:
            yield found


def _gaps(found: Sequence[re.Match[str]]) -> list[tuple[int, int]]:
    ends = [0, *(each.end() for each in found)]
    return [(end, each.start()) for end, each in zip(ends, found, strict=False)]


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send each group of values as a row, and everything else as text."""
    lines = Lines(source, limits.max_line)
    held = ""
    writer = _RowWriter(out, limits)
    for block in lines.blocks():
        held = writer.add(held + block.decode("utf-8", "replace") + "\n", is_end=False)
    writer.add(held, is_end=True)
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


class _RowWriter:
    """Sends rows of one width, or with one set of names, together."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self._out, self._limits = out, limits
        self._table: tuple[tuple[str, ...], int] | None = None

    def add(self, text: str, *, is_end: bool) -> str:
        """Send the rows of a text; returns its end, which may be the beginning of a row, unless the text ends here."""
        at = 0
        rows: list[tuple[str, ...]] = []
        left: list[str] = []
        for found in _groups(text):
            row = _row(found["items"])
            if row is None or len(row[1]) > self._limits.max_columns:
                continue
            left.append(text[at : found.start()])
            at = found.end()
            table = row[0], len(row[1])
            if table != self._table:
                self._send(rows)
                rows = []
                self._table = table
                self._out.header(list(row[0]) or None)
            rows.append(row[1])
        self._send(rows)
        rest = text[at:]
        if not is_end and len(rest) > _HELD:
            left.append(rest[:-_HELD])
            rest = rest[-_HELD:]
        if is_end:
            left.append(rest)
            rest = ""
        words = " ".join(each for each in left if not _BETWEEN.fullmatch(each))
        if words.strip():
            self._out.text(words.encode("utf-8", "replace") + b"\n")
        return rest

    def _send(self, rows: Sequence[Sequence[str]]) -> None:
        if rows:
            self._out.rows([[value.encode("utf-8", "replace") for value in row] for row in rows])


def _row(items: str) -> Row | None:
    """The values of a group; None if too few of them are strings to be somebody's."""
    found = list(_ONE.finditer(items))
    keys = tuple(each["key"] or "" for each in found)
    if sum(each["value"][-1] in "'\")>}" for each in found) < _MIN_STRINGS:
        return None
    if not all(keys):
        keys = ()
    elif len(set(map(role_of, keys)) & _PERSONAL) < _MIN_STRINGS:
        return None
    return keys, tuple(plain_value(each["value"]) for each in found)


def plain_value(literal: str) -> str:
    """The text of a literal: of a call its date, else its first string."""
    if literal[-1:] in "'\"" and (quoted := _FIRST_QUOTED.fullmatch(literal)):
        return _unquoted(quoted[0])
    if literal.startswith("<<"):
        return _unquoted(literal[2 : literal.rindex('"') + 1])
    if literal.endswith((")", "}")):
        if numbers := _NUMBERS.search(literal):
            month = int(numbers[2]) + (_FROM_ZERO.match(literal) is not None)
            return f"{numbers[1]}-{month:02}-{int(numbers[3]):02}"
        if inner := _FIRST_QUOTED.search(literal):
            return _unquoted(inner[0])
        return literal[literal.find("(") + 1 : -1]
    if literal.startswith("~"):
        return literal[3:-1]
    return "" if literal.lower() in _NOTHING else literal


def _unquoted(quoted: str) -> str:
    text = quoted[1:-1] if quoted[0] in "'\"" else quoted[2:-1]
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    if digits:
        return chr(int(digits, 16))
    return {"n": "\n", "r": "\r", "t": "\t"}.get(found[3] or "", found[4] or "")
