"""Tables drawn with lines (`mysql -t`, psql, sqlmap, Markdown, sqlcmd) and one value a line (`psql -x`, `mysql -E`).

Such a table may begin anywhere in a text and end there. `text_tables` finds them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

# box-drawing characters, and the ASCII that stands for them
_BOX = {
    **dict.fromkeys("─━═┄┅┈┉╌╍", "-"),
    **dict.fromkeys("│┃║┆┇┊┋", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╔╗╚╝╠╣╦╩╬╒╓╕╖╘╙╛╜╞╟╡╢╤╥╧╨╪╫╭╮╯╰┏┓┗┛┣┫┳┻╋┠┨┯┷┿┝┥┰┸╂╇╈╉╊┡┩", "+"),
}
_ANY_BOX = (b"\xe2\x94\x80\xe2\x94\x80", b"\xe2\x94\x81\xe2\x94\x81", b"\xe2\x95\x90\xe2\x95\x90")
# all box-drawing characters are U+2500 to U+257F
_BOX_LEADS = (b"\xe2\x94", b"\xe2\x95")
_TO_ASCII = {ord(char): plain for char, plain in _BOX.items()}
_RULE = re.compile(r"[ \t]*(?=[^\n]*(?:-{3}|={3}|:-|-:|-+[|+]-))[-=+|: \t]{3,}")
_RECORD = re.compile(r"-\[ [^\W\d_]+ (\d+) \](?:-|\+)*|\*{8,} (\d+)\. [^\W\d_]+ \*{8,}")
_KEY = re.compile(r"\s*([^\s:|][^:|]{0,63}?)\s*(?:\||: ?)(.*)")
_SEPARATOR = re.compile(r"(?<!\\)\|")
_NULLS = frozenset(("<blank>", "NULL", "<null>", "(null)", "[NULL]"))
_SNIFF_LINES = 400
MARKS = (b"---", b"===", b"*** ", b"-[ ", *_ANY_BOX)
"""Bytes, one of which stands in every rule."""


def without_box_characters(text: bytes) -> bytes:
    """The text with `+`, `-` and `|` for box-drawing characters."""
    if not any(lead in text for lead in _BOX_LEADS):
        return text
    return text.decode("utf-8", "replace").translate(_TO_ASCII).encode()


@dataclass(slots=True)
class RuledTable:
    """A table: where its lines begin and end, its column names, and its rows.

    Attributes:
        bounds: where its columns begin, if they have a fixed width; () if separators stand between them.
        framed: whether a separator stands at both ends of a row.
        last: the line where the last record begins, if each record has several lines; -1 if it has one.
        boxed: whether lines that begin with `+` stand around it, and may stand between its rows.
        at_rule: of a boxed table, whether the last line is such a line.
    """

    start: int
    end: int
    columns: list[str] | None
    rows: list[list[str]] = field(default_factory=list)
    bounds: tuple[int, ...] = ()
    framed: bool = True
    last: int = -1
    boxed: bool = False
    at_rule: bool = False


_KIND = re.compile(
    r"-*|(?:str|cat|enum|binary|null|bool|boolean|[iuf](?:8|16|32|64|128)|object|date|time|datetime|duration|decimal|list|struct|array"
    r"|u?(?:tinyint|smallint|int|integer|bigint|hugeint|int\d{1,3})|varchar|double|float|real|numeric|timestamp|timestamptz|blob|uuid|json|interval)"
    r"(?:[\[(][^\n]{0,60}[\])])*",
    re.IGNORECASE,
)


def is_rule(line: str) -> bool:
    """Whether a line draws a line of a table, or names the number of a record."""
    if "-" not in line and "=" not in line and "*" not in line:
        return False
    return _RULE.fullmatch(line) is not None or _RECORD.fullmatch(line.strip()) is not None


def read_table(lines: Sequence[str], rule: int, first: int) -> RuledTable | None:
    """The table whose first rule is the line number `rule`; None if there is none.

    Args:
        lines: of a text, without their ends.
        rule: number of a line for which `is_rule` holds.
        first: the first line that may belong to the table.
    """
    text = lines[rule].strip()
    if _RECORD.fullmatch(text):
        return _read_records(lines, rule)
    if text.startswith("+") and text.endswith("+") and len(text) > 1:
        return _read_box(lines, rule)
    if "|" in text or "+" in text:
        return _read_aligned(lines, rule, first)
    return _read_columns(lines, rule, first)


def _read_box(lines: Sequence[str], rule: int) -> RuledTable | None:
    """A table between lines that begin with `+`."""
    width = len(re.findall(r"[-=]+", lines[rule]))
    groups: list[list[list[str]]] = [[]]
    at = rule + 1
    rules = 1
    while at < len(lines):
        line = lines[at].strip()
        if line.startswith("|") and line.endswith("|") and len(line) > 1:
            groups[-1].append(split_row(line, width, framed=True))
        elif line.startswith("+") and groups[-1] and _RULE.fullmatch(line):
            groups.append([])
            rules += 1
        else:
            break
        at += 1
    # polars and DuckDB print the kinds of the columns under their names
    groups[0] = [row for row in groups[0] if not all(map(_KIND.fullmatch, row))] or groups[0]
    filled = [group for group in groups if group]
    if not filled:
        return None
    at_rule = not groups[-1]
    if len(filled) == 1 or len(filled[0]) > 1:
        # a table without a header
        rows = [row for group in filled for row in group]
        return RuledTable(rule, at, None, rows, boxed=True, at_rule=at_rule)
    body = filled[1:]
    rows = [row for group in body for row in (_joined_lines(group) if len(body) > 1 else group)]
    return RuledTable(rule, at, filled[0][0], rows, boxed=True, at_rule=at_rule)


def _joined_lines(group: list[list[str]]) -> list[list[str]]:
    """The rows between two lines of a box: one of several lines, if only its first line has a first cell."""
    if len(group) < 2 or any(cells[0] for cells in group[1:]) or len({len(cells) for cells in group}) > 1:
        return group
    return [[" ".join(filter(None, cells)) for cells in zip(*group, strict=True)]]


def _read_aligned(lines: Sequence[str], rule: int, first: int) -> RuledTable | None:
    """A table of psql or Markdown: names above the rule, and rows below it with as many separators."""
    width = len(re.findall(r"[-=:]+", lines[rule]))
    if rule <= first or "|" not in lines[rule - 1]:
        return None
    # Markdown writes a line at both ends as well, psql only between the cells
    framed = lines[rule].strip().startswith("|") or lines[rule - 1].strip().startswith("|")
    names = split_row(lines[rule - 1], width, framed=framed)
    if len(names) != width or not any(names):
        return None
    found = RuledTable(rule - 1, rule + 1, names, framed=framed)
    goes_on: list[int] = []
    for at in range(rule + 1, len(lines)):
        line = lines[at]
        if "|" not in line or is_rule(line):
            break
        cells = split_row(line, width, framed=framed)
        if len(cells) != width:
            break
        ends = [number for number, cell in enumerate(cells) if cell.endswith("+")]
        cells = [cell.removesuffix("+").rstrip() if number in ends else cell for number, cell in enumerate(cells)]
        if goes_on and found.rows:
            # psql: a cell of several lines, of which each but the last ends with +
            found.rows[-1] = [" ".join(filter(None, pair)) for pair in zip(found.rows[-1], cells, strict=True)]
        else:
            found.rows.append(cells)
        goes_on = ends
        found.end = at + 1
    return found


def split_row(line: str, width: int, *, framed: bool) -> list[str]:
    """The cells between the separators of a line; a cell may contain one if the others are then `width`.

    `framed`: a separator stands at both ends as well.
    """
    inner = line.strip().removeprefix("|") if framed else line
    inner = inner.removesuffix("|") if framed and not inner.endswith("\\|") else inner
    escaped = "\\" in inner
    cells = [cell.strip() for cell in (_SEPARATOR.split(inner) if escaped else inner.split("|"))]
    if len(cells) > width and len(spaced := re.split(r" \| ", inner.strip())) == width:
        cells = [cell.strip() for cell in spaced]
    if len(cells) > width:
        cells = [*cells[: width - 1], " | ".join(cells[width - 1 :])]
    if escaped:
        cells = [cell.replace("\\|", "|") for cell in cells]
    return cells if _NULLS.isdisjoint(cells) else ["" if cell in _NULLS else cell for cell in cells]


def _read_columns(lines: Sequence[str], rule: int, first: int) -> RuledTable | None:
    """A table of columns of fixed width, with a run of dashes under each name (sqlcmd, sqlplus)."""
    spans = [found.span() for found in re.finditer(r"[-=]+", lines[rule])]
    if len(spans) < 2 or rule <= first or not lines[rule - 1].strip():
        return None
    bounds = (*(start for start, _ in spans), 1 << 30)
    found = RuledTable(rule - 1, rule + 1, _slices(lines[rule - 1], bounds), bounds=bounds)
    found.rows, count = continue_table(found, lines[rule + 1 :])
    found.end += count
    return found if found.rows or rule + 1 == len(lines) else None


def continue_table(table: RuledTable, lines: Sequence[str]) -> tuple[list[list[str]], int]:
    """The rows at the beginning of lines that continue a table whose rows have one line each, and their lines."""
    rows: list[list[str]] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if table.boxed and not table.at_rule and line.lstrip().startswith("+") and is_rule(line):
            table.at_rule = True
            at += 1
            continue
        if is_rule(line) or not line.strip():
            break
        if table.bounds:
            # between two columns stands a space
            if any(line[start - 1 : start].strip() for start in table.bounds[1:-1]):
                break
            rows.append(_slices(line, table.bounds))
        else:
            cells = split_row(line, len(table.columns or ()), framed=table.framed) if "|" in line else []
            if not cells or len(cells) != len(table.columns or cells):
                break
            rows.append(cells)
        table.at_rule = False
        at += 1
    return rows, at


def _slices(line: str, bounds: Sequence[int]) -> list[str]:
    cells = [line[low:high].strip() for low, high in pairwise(bounds)]
    return ["" if cell in _NULLS else cell for cell in cells]


def _read_records(lines: Sequence[str], rule: int) -> RuledTable | None:
    """Records of one value a line; those that have the same names as the first are rows of one table."""
    found: RuledTable | None = None
    at = rule
    while at < len(lines) and _RECORD.fullmatch(lines[at].strip()):
        names: list[str] = []
        cells: list[str] = []
        end = at + 1
        while end < len(lines) and (pair := _KEY.fullmatch(lines[end])) and not is_rule(lines[end]):
            names.append(pair[1])
            cells.append("" if pair[2].strip() in _NULLS else pair[2].strip())
            end += 1
        if not names and end == len(lines):
            # the text ends at the number of a record, whose values may follow
            found = found or RuledTable(rule, end, None)
            found.rows.append([])
            found.last, found.end = at, end
            break
        if not names or (found is not None and names != found.columns):
            break
        if found is None:
            found = RuledTable(rule, end, names)
        found.rows.append(cells)
        found.last = at
        found.end = at = end
        while at < len(lines) and not lines[at].strip():
            at += 1
    return found


def begins_ruled_table(head: bytes) -> bool:
    """Whether a table that is drawn with lines stands in the first bytes of a text, with two rows at least."""
    if not any(mark in head for mark in MARKS):
        return False
    lines = without_box_characters(head).decode("utf-8", "replace").split("\n")[:_SNIFF_LINES]
    for at, line in enumerate(lines):
        if ("--" in line or "==" in line or "**" in line or "-[" in line) and is_rule(line):
            found = read_table(lines, at, 0)
            if found is not None and any(found.rows) and (len(found.rows) > 1 or "|" in line):
                return True
    return False
