"""Tables of fixed width (`bcp`, extracts of mainframes, B2 and NOEMIE): no separators, and often not even spaces.

`column_layout` finds the columns from many lines. Lines of several kinds, told apart by their first characters, have a
layout each. Records may follow each other without line ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import methodcaller

import numpy as np

from crawler.readers.core.encoding import Lines, as_utf8, is_text, repair, utf8_pieces
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.tables.column_layout import MIN_LINES, Layout, find_layout

FORMAT = "fixed_width"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

_SEPARATORS = ";\t|,"
_SAME_LENGTH, _ALIGNED = 0.8, 0.7
_MIN_WIDTH, _MAX_RECORD = 20, 2000
# lines of several kinds are told apart by so many first characters, and there are at most so many kinds
_MAX_MARK, _MAX_KINDS = 3, 12
_ROWS_AT_ONCE = 1000
# a period is accepted if the kind of character repeats after it at so many places
_PERIOD_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class _Form:
    """How records are written.

    Attributes:
        layouts: by the first characters of a record.
        mark: number of these characters.
        period: characters of a record if no line end stands between records, else 0.
    """

    layouts: dict[str, Layout]
    mark: int
    period: int


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """0.86 if numbers or dates and words stand at the same places of nearly all lines, without separators."""
    text = as_utf8(head)
    if not is_text(text):
        return 0.0
    return 0.86 if _find_form(repair(text).decode("utf-8", "replace"), whole=len(head) < HEAD) is not None else 0.0


def _find_form(text: str, *, whole: bool) -> _Form | None:
    lines = text.split("\n")
    if len(lines) < MIN_LINES:
        period = _find_period(text) if len(text) >= MIN_LINES * _MIN_WIDTH and len(lines) < 3 else 0
        if not period:
            return None
        records = [text[at : at + period] for at in range(0, len(text) - period + 1, period)]
        return _with_period(_find_layouts(records), period)
    if not whole:
        lines.pop()
    filled = [line for line in lines if line.strip()]
    if len(filled) < MIN_LINES:
        return None
    _, most = Counter(map(len, filled)).most_common(1)[0]
    aligned = sum("   " in line for line in filled) if "   " in text else 0
    if max(most * 1.0 / _SAME_LENGTH, aligned / _ALIGNED) < len(filled) or max(map(len, filled)) < _MIN_WIDTH:
        return None
    if _has_separators(filled):
        return None
    return _find_layouts(filled)


def _has_separators(lines: Sequence[str]) -> bool:
    """Whether a separator of tables stands in nearly all lines equally often."""
    whole = "\n".join(lines)
    for separator in _SEPARATORS:
        if separator not in whole:
            continue
        count, votes = Counter(map(methodcaller("count", separator), lines)).most_common(1)[0]
        if count and votes >= 0.9 * len(lines):
            return True
    return False


def _find_layouts(records: Sequence[str]) -> _Form | None:
    """The layout of all records, or one of each kind of record."""
    layout = find_layout(records)
    if layout is not None and layout.is_of_people:
        return _Form({"": layout}, 0, 0)
    for mark in range(1, _MAX_MARK + 1):
        kinds = Counter(record[:mark] for record in records)
        common = [kind for kind, count in kinds.items() if count >= MIN_LINES]
        if not 2 <= len(kinds) <= _MAX_KINDS or sum(kinds[kind] for kind in common) < _ALIGNED * len(records):
            # surnames that begin alike are no kinds of records
            continue
        found = {kind: find_layout([each for each in records if each.startswith(kind)]) for kind in common}
        layouts = {kind: layout for kind, layout in found.items() if layout is not None and layout.known}
        if any(layout.is_of_people for layout in layouts.values()):
            return _Form(layouts, mark, 0)
    return None


def _with_period(form: _Form | None, period: int) -> _Form | None:
    return form and _Form(form.layouts, form.mark, period)


def _find_period(text: str) -> int:
    """The length of records that follow each other without line ends; 0 if there is none."""
    text = text[: 2**15].replace("\n", " ")
    chars = np.frombuffer(text.encode("utf-32-le"), "<u4")
    kinds = np.zeros(len(chars), np.uint8)
    kinds[(chars >= 48) & (chars <= 57)] = 1
    kinds[(chars | 32 >= 97) & (chars | 32 <= 122) | (chars >= 0xC0)] = 2
    kinds[chars == 32] = 3
    if (kinds == 3).mean() < 0.1:
        return 0
    best, score = 0, _PERIOD_SHARE
    for period in range(_MIN_WIDTH, min(_MAX_RECORD, len(kinds) // MIN_LINES) + 1):
        same = float((kinds[:-period] == kinds[period:]).mean())
        # a multiple of the period repeats as well: the first is the period
        if same > score + 0.01:
            best, score = period, same
    return best


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send each record as a row; lines that do not fit their layout are text."""
    head = source.peek(HEAD)
    form = _find_form(repair(as_utf8(head)).decode("utf-8", "replace"), whole=len(head) < HEAD)
    if form is None:
        form = _Form({}, 0, 0)
    writer = _Writer(form, out, limits)
    if form.period:
        for record in _records(source, form.period):
            writer.add(record)
        writer.finish()
        return
    lines = Lines(source, limits.max_line)
    for block in lines.blocks():
        for line in block.decode("utf-8", "replace").split("\n"):
            writer.add(line)
    writer.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _records(source: Source, period: int) -> Iterator[str]:
    held = b""
    for piece in utf8_pieces(source):
        data = held + piece
        # a character may be divided between two pieces
        cut = len(data)
        while cut > len(data) - 4 and cut > 0 and data[cut - 1] & 0xC0 == 0x80:
            cut -= 1
        cut -= cut > 0 and data[cut - 1] >= 0xC0
        text = repair(data[:cut]).decode("utf-8", "replace")
        whole = len(text) - len(text) % period
        yield from (text[at : at + period] for at in range(0, whole, period))
        held = text[whole:].encode() + data[cut:]
    if held.strip():
        yield repair(held).decode("utf-8", "replace")


class _Writer:
    """Sends the rows of each kind of record as a table of its own."""

    def __init__(self, form: _Form, out: Output, limits: Limits) -> None:
        self._form = form
        self._out = out
        self._max_columns = limits.max_columns
        self._rows: dict[str, list[list[str]]] = {kind: [] for kind in form.layouts}
        self._open = ""
        self._is_open = False
        self._text: list[str] = []

    def add(self, record: str) -> None:
        """Add one record."""
        kind = record[: self._form.mark]
        layout = self._form.layouts.get(kind)
        if layout is None or not record.strip():
            self._add_text(record)
            return
        cells = layout.cells(record)
        if not layout.fits(cells):
            self._add_text(record)
            return
        rows = self._rows[kind]
        rows.append(cells)
        if len(rows) >= _ROWS_AT_ONCE:
            self._send(kind)

    def finish(self) -> None:
        """Send what is left."""
        for kind in self._rows:
            self._send(kind)
        self._send_text()

    def _add_text(self, record: str) -> None:
        if record.strip():
            self._text.append(record)
            if len(self._text) >= _ROWS_AT_ONCE:
                self._send_text()

    def _send_text(self) -> None:
        text, self._text = self._text, []
        if text:
            self._out.text("\n".join([*text, ""]).encode("utf-8", "replace"))

    def _send(self, kind: str) -> None:
        rows, self._rows[kind] = self._rows[kind], []
        if not rows:
            return
        if not self._is_open or self._open != kind:
            self._out.header(None)
            self._open, self._is_open = kind, True
        self._out.rows([[cell.encode("utf-8", "replace") for cell in row[: self._max_columns]] for row in rows])
