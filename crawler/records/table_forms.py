"""Brings the cells of a table into forms that single cells can be read by, before the roles of its columns are decided.

What one cell leaves open is decided by its column: the order of day and month, numbers that are dates, dates in three
columns, apostrophes before every cell, tables with one attribute a row. A table that needs none of this is not touched.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from crawler.records import date_forms
from crawler.records.attribute_rows import AttributeColumns, find_attribute_columns
from crawler.records.row_batch import RowBatch
from crawler.records.table_sample import TableSample
from data.arrays.packed import Packed
from data.identifiers.header_words import role_of
from data.identifiers.normalise import fold

# what a table is that is read as one without dates in parts, if nothing says otherwise
_DATE_NAME = "date_naissance"
_MAX_REMEMBERED = 100_000
# cells that spreadsheets keep as text: '12/03/1975 and ="0612345678"
_APOSTROPHE = re.compile(r"\s*'(?=[^'\s])(?!.*'\s*\Z)(.*)", re.DOTALL)
_FORMULA = re.compile(r'\s*="?"?([^"]*+)"?"?\s*', re.DOTALL)
_QUICK = re.compile(r"[\d'=]")
_PART_WORDS = (
    ("day", re.compile(r"(jours?|jj|day|d)")),
    ("month", re.compile(r"(mois|mm|month|m)")),
    ("year", re.compile(r"(annees?|an|aaaa|yyyy|year|yr|y)")),
)
_BIRTH_WORD = re.compile(r"naiss\w*|birth\w*|dob|ddn|nee?|birthdate|bday")


@dataclass(frozen=True, slots=True)
class TableForms:
    """How a table is rewritten.

    Attributes:
        header: its column names, with those of the columns that are added; None if there are none.
        rewrites: the columns that are rewritten, and how.
        width: the number of columns before any is added.
        parts: the columns of day, month and year of a birth date, which are joined in a further column; () for none.
        attributes: the columns of a table with one attribute a row; None for any other table.
        month_first: the columns of dates in which the month stands before the day.
        counts: columns of birth dates that are bare numbers, with other ways to read these.
        either: columns of dates of which none tells whether the day or the month stands first.
        people: for each of several people who stand in one row, the columns of their values, in the same order; () if a row
            is about one person. The rows of the first people come first, and the header names the columns of one.
    """

    header: list[str] | None
    width: int
    rewrites: dict[int, Callable[[str], str]]
    parts: tuple[int, int, int] | tuple[()]
    attributes: AttributeColumns | None
    month_first: frozenset[int] = frozenset()
    counts: tuple[tuple[int, Callable[[str], str]], ...] = ()
    either: tuple[int, ...] = ()
    people: tuple[tuple[int, ...], ...] = ()

    def with_month_first(self) -> TableForms:
        """The same with the month first in the dates that do not tell."""
        swapped = {at: _after(self.rewrites.get(at), date_forms.swap_day_and_month) for at in self.either}
        return replace(self, rewrites={**self.rewrites, **swapped}, month_first=frozenset(self.either), either=())

    def alternatives(self) -> list[TableForms]:
        """The same with birth dates counted from other days."""
        return [replace(self, rewrites={**self.rewrites, at: rewrite}, counts=()) for at, rewrite in self.counts]

    def apply_to_row(self, row: list[str]) -> list[str]:
        """The cells of one row in the new form; a row may be short."""
        if not self.rewrites and not self.parts:
            return row
        row = [self.rewrites[at](cell) if at in self.rewrites else cell for at, cell in enumerate(row)]
        if self.parts:
            row = [*row, *[""] * (self.width - len(row))][: self.width]
            row.append(_joined_date(*(row[at] for at in self.parts)))
        return row

    def apply(self, batch: RowBatch) -> RowBatch:
        """The rows in the new form."""
        if not self.rewrites and not self.parts and not self.people:
            return batch
        columns = [
            _rewritten(batch.column(at), self.rewrites[at]) if at in self.rewrites else batch.column(at)
            for at in range(len(batch.columns))
        ]
        if self.parts:
            texts = [batch.column(at).texts() for at in self.parts]
            columns = [*columns, *[Packed.empty(len(batch))] * (self.width - len(columns))][: self.width]
            columns.append(Packed.of_texts([_joined_date(*cells) for cells in zip(*texts, strict=True)]))
        if self.people:
            return _one_person_a_row(columns, self.people, len(batch))
        return RowBatch(tuple(columns), len(batch))

    def apply_to_sample(self, sample: TableSample) -> TableSample:
        """Some rows in the new form."""
        if not self.rewrites and not self.parts and not self.people:
            return sample
        batch = RowBatch(tuple(sample.column(at) for at in range(sample.width)), sample.rows)
        batch = self.apply(batch)
        return batch.sample(len(batch))


def find_forms(header: list[str] | None, sample: TableSample) -> TableForms:
    """How the rows of a table must be rewritten, by its header and by some of its rows."""
    attributes = find_attribute_columns(header, sample)
    if attributes is not None:
        return TableForms(header, sample.width, {}, (), attributes)
    rewrites: dict[int, Callable[[str], str]] = {}
    orders: dict[int, int] = {}
    counts: list[tuple[int, Callable[[str], str]]] = []
    if (strip_prefix := _line_prefix(sample)) is not None:
        rewrites[0] = strip_prefix
        header = [strip_prefix(header[0]), *header[1:]] if header else header
    elif _are_in_brackets(sample):
        rewrites[0], rewrites[sample.width - 1] = _without_opening, _without_closing
        header = [_without_opening(header[0]), *map(_without_closing, header[1:])] if header else header
    for at in range(sample.width):
        texts = sample.texts(at)
        if not any(map(_QUICK.search, texts[:20])):
            continue
        if at in rewrites:
            continue
        name = header[at] if header is not None and at < len(header) else ""
        role = role_of(name) if name else ""
        cells = [cell for text in texts if (cell := text.strip())]
        strip = _kept_as_text(cells)
        if strip is not None:
            rewrites[at] = strip
            cells = list(map(strip, cells))
        if date_forms.has_three_numbers(cells):
            orders[at] = date_forms.written_order(cells)
        elif (rewrite := date_forms.find_rewrite(cells, role, name)) is not None:
            rewrites[at] = _after(strip, rewrite)
        counts += [(at, _after(strip, rewrite)) for rewrite in date_forms.other_counts(cells, role)]
    month_first: set[int] = set()
    if 1 in orders.values():
        # a column in which no date decides is written as the others are
        for at, order in orders.items():
            if order == 1 or (order == 0 and -1 not in orders.values()):
                rewrites[at] = _after(rewrites.get(at), date_forms.swap_day_and_month)
                month_first.add(at)
    either = () if any(orders.values()) else tuple(orders)
    width = max(sample.width, len(header or ()))
    parts = _date_parts(header, sample)
    if parts and header is not None:
        header = [*header, *[""] * (width - len(header)), _DATE_NAME]
    people: tuple[tuple[int, ...], ...] = ()
    if header is not None and not parts and (found := _people_of_header(tuple(header))):
        header, people = list(found[0]), found[1]
    return TableForms(header, width, rewrites, parts, None, frozenset(month_first), tuple(counts), either, people)


# what programs write before each line: grep (-n, -H), cat -n, diff, chats, logs
_LINE_PREFIX = re.compile(
    r"\s*(?:(?:\.{0,2}/)?[^\s:;,|]{1,120}\.[A-Za-z]\w{0,7}[:-](?:\d{1,9}[:-])?|\d{1,9}[:\t]\s?|[+>]\s?|"
    r"\[?\d\d:\d\d(?::\d\d)?\]?\s<[^<>\s]{1,60}>\s|"
    r"[A-Z][a-z]{2}\s{1,2}\d{1,2}\s\d\d:\d\d:\d\d\s\S{1,80}\s[\w./-]{1,60}(?:\[\d{1,9}\])?:\s|"
    r"\[?20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?\]?(?:\s\[?[A-Z]{3,8}\]?)?[:\s-]{1,3})"
    r"(?P<rest>[^\W\d_].*)",
    re.DOTALL,
)
_PREFIXED = 0.9


def _line_prefix(sample: TableSample) -> Callable[[str], str] | None:
    """How to take away what a program wrote before each line, if nearly all first cells begin with such a thing."""
    if not sample.width or sample.rows < 2:
        return None
    cells = [cell for cell in sample.texts(0) if cell.strip()]
    if len(cells) < 2 or _LINE_PREFIX.fullmatch(cells[0]) is None:
        return None
    if sum(_LINE_PREFIX.fullmatch(cell) is not None for cell in cells) < _PREFIXED * len(cells):
        return None
    return lambda cell: found["rest"] if (found := _LINE_PREFIX.fullmatch(cell)) else cell


# rows of YAML, Python and others that another reader took for a table: - [Roux, Anne, 1975-03-12]
_OPENING = re.compile(r"[\w:\s-]{0,40}[\[({]\s*(?P<rest>.*)", re.DOTALL)


def _before_closing(cell: str) -> str | None:
    """What stands before a closing bracket at the end of a cell; None without one."""
    # not an expression: it would take the square of the length of white space
    cell = cell.rstrip()
    cell = cell[:-1] if cell.endswith((",", ";")) else cell
    return cell[:-1].rstrip() if cell.endswith(("]", ")", "}")) else None


def _are_in_brackets(sample: TableSample) -> bool:
    if sample.width < 2 or sample.rows < 2:
        return False
    first, last = sample.texts(0), sample.texts(sample.width - 1)
    closed = sum(
        _OPENING.fullmatch(a) is not None and _before_closing(b) is not None for a, b in zip(first, last, strict=True)
    )
    return closed >= _PREFIXED * sum(bool(cell.strip()) for cell in last)


def _without_opening(cell: str) -> str:
    return found["rest"].strip("'\"") if (found := _OPENING.fullmatch(cell)) else cell


def _without_closing(cell: str) -> str:
    return cell if (found := _before_closing(cell)) is None else found.strip("'\"")


# --- several people in one row ---------------------------------------------------------------------------------------

_WHO = (
    r"\d|conjointe?|mere|pere|enfant|parent|tuteur|assure|ayant_?droit|spouse|partner|mother|father|child|guardian|insured|subscriber"
    r"|ehepartner|mutter|vater|kind|madre|padre|hijo|conyuge|coniuge|figlio|mae|pai|filho|matka|ojciec|anne|baba"
)
_OF_WHOM = re.compile(rf"(?:(?P<before>{_WHO})[_ .-])?(?P<stem>.*?)(?:[_ .-]?(?P<after>{_WHO}))?", re.IGNORECASE)
_MAX_PEOPLE = 12


@lru_cache(256)
def _people_of_header(header: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]] | None:
    """The columns of one person and where they stand for each, if a header names several people with birth dates."""
    groups: dict[str, dict[str, int]] = {}
    for at, name in enumerate(header):
        found = _OF_WHOM.fullmatch(fold(name.strip()))
        role = role_of(found["stem"]) if found is not None else ""
        if found is not None and role in _PERSONAL:
            groups.setdefault((found["before"] or found["after"] or "").lower(), {}).setdefault(role, at)
    whole = [
        group
        for group in groups.values()
        if "dob" in group and ({"surname", "first"} <= group.keys() or "fullname" in group)
    ]
    if not 2 <= len(whole) <= _MAX_PEOPLE:
        return None
    roles = list(dict.fromkeys(role for group in whole for role in group))
    names = {role: next(header[group[role]] for group in whole if role in group) for role in roles}
    taken = {at for group in whole for at in group.values()}
    shared = [at for at in range(len(header)) if at not in taken]
    places = tuple((*(group.get(role, -1) for role in roles), *shared) for group in whole)
    plain = [_OF_WHOM.fullmatch(fold(names[role].strip())) for role in roles]
    stems = [found["stem"] if found is not None else "" for found in plain]
    return (*stems, *("" if role_of(header[at]) in _PERSONAL else header[at] for at in shared)), places


def _one_person_a_row(columns: Sequence[Packed], people: Sequence[Sequence[int]], rows: int) -> RowBatch:
    """A row for each person: their own values, and those that the row has for all."""
    made = []
    for places in zip(*people, strict=True):
        texts: list[str] = []
        for at in places:
            texts += columns[at].texts() if 0 <= at < len(columns) else [""] * rows
        made.append(Packed.of_texts(texts))
    return RowBatch(tuple(made), rows * len(people))


# --- tables with a record in each column ---------------------------------------------------------------------------

_PERSONAL = frozenset({"surname", "first", "fullname", "dob", "email", "phone", "nir"})
_MAX_TURNED_ROWS, _MIN_TURNED_ROLES = 200, 2


def turned(header: list[str] | None, batch: RowBatch) -> tuple[list[str], RowBatch] | None:
    """The header and the rows of a table that has a record in each column; None for any other table.

    The first cells of its rows name what the rows hold, and no other cell of its first row is such a name.
    """
    width = max(len(batch.columns), len(header or ()))
    if not 1 <= len(batch) <= _MAX_TURNED_ROWS or width < 2 or not batch.columns:
        return None
    names = ([header[0]] if header else []) + batch.column(0).texts()
    if width == 2 and len(set(names)) < len(names):
        # several forms below each other
        return None
    if len({role_of(name) for name in names} & _PERSONAL) < _MIN_TURNED_ROLES:
        return None
    rows = [
        *([header] if header else []),
        *(list(row) for row in zip(*(column.texts() for column in batch.columns), strict=True)),
    ]
    if any(role_of(cell) in _PERSONAL for row in rows[:1] for cell in row[1:]):
        return None
    filled = [[*row, *[""] * (width - len(row))] for row in rows]
    columns = tuple(Packed.of_texts(row[1:]) for row in filled)
    return [row[0] for row in filled], RowBatch(columns, width - 1)


def _after(first: Callable[[str], str] | None, then: Callable[[str], str]) -> Callable[[str], str]:
    return then if first is None else lambda cell: then(first(cell))


def _rewritten(column: Packed, rewrite: Callable[[str], str]) -> Packed:
    known: dict[str, str] = {}
    cells = []
    for text in column.texts():
        if text not in known:
            if len(known) > _MAX_REMEMBERED:
                known.clear()
            known[text] = rewrite(text)
        cells.append(known[text])
    return Packed.of_texts(cells)


def _kept_as_text(cells: Sequence[str]) -> Callable[[str], str] | None:
    """How to take away what keeps a cell from being read as a number, if most cells of a column have it."""
    whole = "".join(cells)
    for pattern, first in ((_APOSTROPHE, "'"), (_FORMULA, "=")):
        if first in whole and sum(
            cell.startswith(first) and pattern.fullmatch(cell) is not None for cell in cells
        ) > 0.6 * len(cells):
            return lambda cell: found[1] if (found := pattern.fullmatch(cell)) else cell
    return None


# --- dates in three columns ------------------------------------------------------------------------------------------


def _date_parts(header: Sequence[str] | None, sample: TableSample) -> tuple[int, int, int] | tuple[()]:
    """The columns of day, month and year of a birth date."""
    if header is not None:
        found = _parts_by_header(tuple(header))
        return found if found and _are_dates(sample, found) else ()
    for at in range(sample.width - 2):
        for places in ((at, at + 1, at + 2), (at + 2, at + 1, at)):
            if _are_dates(sample, places):
                return places
    return ()


# tables of one dump have the same header; a header is kept as long as 256 others did not come
@lru_cache(256)
def _parts_by_header(header: tuple[str, ...]) -> tuple[int, int, int] | tuple[()]:
    places: dict[tuple[str, bool], int] = {}
    # Java's dates in JSON are lists: [1975,3,12] is `birthDate.0`, `birthDate.1` and `birthDate.2`
    for at, name in enumerate(header[:-2]):
        stem = name.removesuffix("0")
        is_list = stem.endswith(".") and stem != name and header[at + 1 : at + 3] == (f"{stem}1", f"{stem}2")
        if is_list and role_of(stem[:-1]) == "dob":
            return at + 2, at + 1, at
    for at, name in enumerate(header):
        words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("é", "e"))
        is_birth = any(map(_BIRTH_WORD.fullmatch, words))
        for part, pattern in _PART_WORDS:
            if any(map(pattern.fullmatch, words)):
                places.setdefault((part, is_birth), at)
    for is_birth in (True, False):
        found = [places.get((part, is_birth), -1) for part, _ in _PART_WORDS]
        if min(found) >= 0 and len(set(found)) == 3 and (is_birth or max(found) - min(found) == 2):
            return found[0], found[1], found[2]
    return ()


def _are_dates(sample: TableSample, places: tuple[int, int, int]) -> bool:
    """Whether nearly all rows have day, month and year in these columns, and the days and years vary."""
    if max(places) >= sample.width:
        return False
    # most tables are refused by their first row
    rows = list(zip(*(sample.texts(at) for at in places), strict=True))
    if not any(_joined_date(*row) for row in rows[:3]):
        return False
    dates = [_joined_date(*row) for row in rows]
    return sum(map(bool, dates)) >= 0.9 * sum(any(map(str.strip, row)) for row in rows)


def _joined_date(day: str, month: str, year: str) -> str:
    day, month, year = day.strip(), month.strip(), year.strip()
    if not (
        day.isdecimal() and len(day) <= 2 and year.isdecimal() and len(year) == 4 and year[:2] in ("18", "19", "20")
    ):
        return ""
    if month.isdecimal():
        return f"{day}/{month}/{year}" if len(month) <= 2 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31 else ""
    return f"{day} {month} {year}" if month.isalpha() else ""
