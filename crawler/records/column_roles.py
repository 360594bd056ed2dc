"""Decides what each column of a table holds, from the words of its header and from its values. Pure.

`data.identifiers.header_words` knows which role a header word names; `crawler.records.record_keys` makes the tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from crawler.records.table_sample import RECOGNISABLE_ROLES, TableSample
from data.hashing.tags import Kind
from data.identifiers import normalise
from data.identifiers.header_words import id_of_whom, is_of_others, role_of
from data.model import ColumnFacts

# Roles whose values have tags of their own, and the kinds of these tags.
VALUE_ROLES = {
    "email": Kind.EMAIL,
    "phone": Kind.PHONE,
    "nir": Kind.NIR,
    "iban": Kind.IBAN,
    "professional": Kind.PROFESSIONAL,
    "token": Kind.TOKEN,
}
# Roles that are parts of record keys, in the order of the arguments of `record_inputs`.
KEY_ROLES = ("first", "surname", "dob", "nir", "email", "phone")
ROLES = (*dict.fromkeys((*KEY_ROLES, *VALUE_ROLES)), "fullname", "note")
# A column shows a role if this share of its filled cells has the form of the role, and clearly if nearly all have it.
SHOWN_SHARE, CLEAR_SHARE = 0.6, 0.9
# A header is not trusted if this many columns contradict its words. A column contradicts a word if less than this share
# of its cells has the form of the role.
_ENOUGH_CONTRADICTIONS, _CONTRADICTING_SHARE = 2, 0.1
MAX_COLUMNS_TOLD = 200
_NAME_ROLES = frozenset({"surname", "first", "fullname"})
# So many rows after the first one help to decide whether it is a header.
_FOLLOWING = 5
# A cell with so many digits holds a value.
_DIGITS_OF_VALUE, _DIGITS_OF_NUMBER = 6, 9
# Above a table stand fewer lines than this.
_LINES_ABOVE = 10
_FIRST_WORD = re.compile(r"^[^- \n]*", re.MULTILINE)
_BETWEEN_NAMES = re.compile(r"[^\W\d_][.,^]?[\s^,]+[^\W\d_]")
# A column holds names if this share of its filled cells looks like names. A value that is the same in so many cells is
# no name.
_LEAST_NAMES, _ENOUGH_CELLS = 0.3, 8
# The header of a table that is no prose names so many roles.
_ENOUGH_NAMED = 2
_PERSONAL = frozenset({"surname", "first", "fullname", "dob", "email", "phone", "nir"})
_MARKUP = re.compile(r"\[/?\w{1,10}\]|</?\w{1,10}>")
_YEAR = re.compile(r"(?:19|20)\d\d")
_WORD, _NUMBER = re.compile(r"[^\W\d_]{2}"), re.compile(r"\d\d")
# a label in the cell itself: "Tél: 06 12 34 56 78"
_LABELLED = re.compile(r"[^\W\d_]{2}[ :=.]{1,3}[+(]?\d")


_LABELLED_DATE = re.compile(r"\s*([^\W\d_][^\d:=]{1,30}?)[ :=.]{1,3}\d")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a plan.

    Attributes:
        name: its header.
        role: what it holds; '' if it is ignored.
        by: `header` or `values`, whichever decided the role.
        fits: the share of its filled cells that have the form of the role, of those rows that decided; None if the role
            has no form or all cells are blank.
        of_others: whether it is about somebody else than the person of the row (the practice's telephone): its values
            are looked up, but identify nobody.
        surname_first: of whole names, whether the surname comes first where nothing else tells.
    """

    name: str
    role: str
    by: str
    fits: float | None = None
    of_others: bool = False
    surname_first: bool = True


@dataclass(frozen=True)
class ColumnPlan:
    """What each column of a table holds."""

    columns: tuple[Column, ...]

    @cached_property
    def places(self) -> dict[str, tuple[int, ...]]:
        """The numbers of the columns of each role."""
        return self._places(lambda _: True)

    @cached_property
    def key_places(self) -> dict[str, tuple[int, ...]]:
        """The numbers of the columns of each role that are about the person of the row."""
        return self._places(lambda column: not column.of_others)

    def _places(self, wanted: Callable[[Column], bool]) -> dict[str, tuple[int, ...]]:
        found: dict[str, list[int]] = {}
        for number, column in enumerate(self.columns):
            if column.role and wanted(column):
                found.setdefault(column.role, []).append(number)
        return {role: tuple(numbers) for role, numbers in found.items()}

    def without_roles(self) -> ColumnPlan:
        """The same columns, none of which is understood."""
        return ColumnPlan(tuple(replace(column, role="", by="") for column in self.columns))

    @property
    def is_useful(self) -> bool:
        """Whether rows can give any tag."""
        roles = set(self.places)
        names = {"first", "surname"} <= roles or "fullname" in roles
        return bool(roles & set(VALUE_ROLES)) or (names and "dob" in roles)

    def facts(self) -> tuple[ColumnFacts, ...]:
        """Role, reason and fit of the first columns, without their names."""
        return tuple(
            ColumnFacts(
                column.role,
                column.by,
                None if column.fits is None else round(column.fits, 3),
                column.of_others and bool(column.role),
            )
            for column in self.columns[:MAX_COLUMNS_TOLD]
        )

    def describe(self) -> list[str]:
        """One line for each column: its role and what decided it, or that it is ignored."""
        return [
            f"column {number} {column.name!r}: "
            + (f"{column.role}, by its {column.by}" if column.role else "ignored")
            + (", of somebody else" if column.role and column.of_others else "")
            for number, column in enumerate(self.columns, 1)
        ]


def looks_like_header(row: Sequence[str], following: Sequence[Sequence[str]] = ()) -> bool:
    """`begins_with_header` for a first row and the rows after it, as texts."""
    return begins_with_header(TableSample.of([row, *following[:_FOLLOWING]], len(row)))


def begins_with_header(sample: TableSample) -> bool:
    """Whether the first row is a header: its words name roles, and it holds no value itself.

    If the rows after it show values and it shows none, it is a header even if none of its words is known.
    """
    if not sample.rows:
        return False
    row = sample.row(0)
    if not any(cell.strip() for cell in row):
        return False
    shown = sample.any_form()
    if shown[:, 0].any():
        return False
    if sample.width > 1 and row[0].strip() in map(str.strip, sample.texts(0)[1:]) and _are_labels(sample.texts(0)):
        # a form, whose labels come again for each person
        return False
    if any("@" in cell or sum(map(str.isdigit, cell)) >= _DIGITS_OF_NUMBER for cell in row):
        # "tél. 0033650793565": a label before its value
        return False
    known = sum(map(_names_role, row))
    return known >= 2 or known == len(row) or bool(shown[:, 1 : 1 + _FOLLOWING].any())


def _names_role(cell: str) -> bool:
    """Whether a cell of a header names a role; a label before its value does not: `tél. 0033650793565`, `mail a@b.fr`."""
    return bool(cell and role_of(cell)) and "@" not in cell and sum(map(str.isdigit, cell)) < _DIGITS_OF_VALUE


def rows_above(sample: TableSample) -> int:
    """The number of first rows that are lines above a table: a title, a sentence, the name of a sheet.

    They show no value, name no role, and have no more filled cells than the header, or fewer than most rows.
    """
    if sample.width < 2:
        return 0
    filled: list[int] = sample.filled.sum(axis=0).tolist()
    shown: list[bool] = np.asarray(sample.any_form().any(axis=0)).tolist()
    usual = sorted(filled)[len(filled) // 2] if any(shown) else 2
    above = 0
    for at in range(min(sample.rows, _LINES_ABOVE)):
        if shown[at]:
            break
        known = sum(map(_names_role, sample.row(at)))
        if known >= 2 and known * 2 >= filled[at]:
            # a title may have as many separators as the header
            return at if all(cells <= filled[at] for cells in filled[:at]) else above
        if at == above and (filled[at] < 2 or (not known and filled[at] < usual)):
            above += 1
    # without a row below them they are rows themselves
    return above if above < sample.rows else 0


def plan_columns_of_rows(header: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> ColumnPlan:
    """`plan_columns` for rows of texts; short rows are allowed."""
    return plan_columns(header, TableSample.of(rows, max(map(len, (*rows, header or ())), default=0)))


def plan_columns(header: Sequence[str] | None, sample: TableSample) -> ColumnPlan:
    """Decide what each column of a table holds.

    A role that the values clearly show overrides a wrong header. Names are recognised only by the header, by common
    first names, or by their position beside these.

    Args:
        header: its words, or None.
        sample: some rows of the table.
    """
    sample = sample.of_width(max(sample.width, len(header or ())))
    names = [header[at] if header is not None and at < len(header) else "" for at in range(sample.width)]
    header_roles = [role_of(name) if name else "" for name in names]
    shown = sample.shares()
    for at, shares in enumerate(shown):
        if shares.get("nir") and header_roles[at] != "nir":
            # other long numbers have the form of one: object identifiers, numbers of orders and devices
            shares["nir"] = sum(map(normalise.is_sound_nir, sample.texts(at))) / int(sample.filled[at].sum())
        if shares.get("phone") and not header_roles[at] and id_of_whom(names[at]) is not None:
            # record ids of nine digits have the form of a telephone number without its 0
            dialled = sum(cell.strip().startswith(("0", "+", "(")) for cell in sample.texts(at))
            shares["phone"] = dialled / int(sample.filled[at].sum())
    found = _decide_roles(header_roles, sample, shown)
    if _is_header_wrong(header_roles, shown):
        # a header whose words are beside the wrong columns is wrong about names too, if names are recognised without it
        trusted = ["" if role in _NAME_ROLES or _contradicts(role, shares) else role
                   for role, shares in zip(header_roles, shown, strict=True)]  # fmt: skip
        other = _decide_roles(trusted, sample, shown)
        if {"surname", "first"} <= {role for role, _ in other}:
            found = other
    return ColumnPlan(
        tuple(
            Column(
                names[at],
                *found[at],
                shown[at].get(found[at][0]),
                is_of_others(names[at]),
                found[at][0] != "fullname" or _are_surnames_first(sample, at),
            )
            for at in range(sample.width)
        )
    )


def _decide_roles(
    header_roles: Sequence[str], sample: TableSample, shown: Sequence[dict[str, float]]
) -> list[tuple[str, str]]:
    """The role of each column, and what decided it."""
    found = [_decide_role(role, shares) for role, shares in zip(header_roles, shown, strict=True)]
    _keep_one_birth_date(found, header_roles, sample)
    _check_names(found, sample)
    if not {"surname", "fullname"} & {role for role, _ in found} or "first" not in {role for role, _ in found}:
        _find_names(found, header_roles, sample)
    return found


def rows_are_prose(plan: ColumnPlan, rows: Sequence[Sequence[str]]) -> bool:
    """`is_prose` for rows of texts."""
    return is_prose(plan, TableSample.of(rows))


def is_prose(plan: ColumnPlan, sample: TableSample) -> bool:
    """Whether rows are lines of prose rather than records: their columns give no record key, but contain sentences.

    Prose with a comma at the same place in every line is read as a table, and notes of a table may name people. So are
    logs and statements of programs, whose values stand between words of their own.
    """
    roles = set(plan.places)
    if len({column.role for column in plan.columns if column.by == "header"} - {"", "note"}) >= _ENOUGH_NAMED:
        # a header that names what the columns hold: addresses beside them are no sentences about people
        return False
    named = "first" in roles or "fullname" in roles
    if (named and roles & {"nir", "email", "phone", "dob"}) or ("dob" in roles and roles & {"nir", "phone"}):
        return False
    if sample.width and not plan.is_useful and _are_labels(sample.texts(0)):
        return True
    if not any(column.name for column in plan.columns):
        # no name of a column says that it is a table: the separators may stand in lines of another kind
        lines = map(" ".join, _rows(sample))
        mixed = sum(bool(_WORD.search(line) and _NUMBER.search(line)) for line in lines)
        if mixed * 2 >= sample.rows:
            return True
    return holds_sentences(sample)


def _are_labels(cells: Sequence[str]) -> bool:
    """Whether the cells of a first column are the labels of a form, each before its value, in mark-up or not."""
    labels = {_MARKUP.sub("", cell).strip(" \t*_#>~-:\"'") for cell in cells}
    return len({role_of(label) for label in labels if label} & _PERSONAL) >= _ENOUGH_NAMED


def holds_labelled_dates(plan: ColumnPlan, sample: TableSample) -> bool:
    """Whether the only birth dates of a table stand behind their labels in a column of their own: ", née le 12/03/1975,".

    Such rows are running text, which knows what the words before a date say of it.
    """
    return "dob" not in plan.places and any(
        not column.role and _are_labelled_dates(sample.texts(at))
        for at, column in enumerate(plan.columns[: sample.width])
    )


def _are_labelled_dates(cells: Sequence[str]) -> bool:
    """Whether most filled cells of a column are a birth date behind its label."""
    filled = [cell for cell in cells if cell.strip()]
    labelled = sum(found is not None and role_of(found[1]) == "dob" for found in map(_LABELLED_DATE.match, filled))
    return labelled * 2 > len(filled)


def holds_sentences(sample: TableSample) -> bool:
    """Whether most rows have a cell of several words, or one with a label before its value."""
    wordy = sum(any(len(cell.split(None, 2)) > 2 or _LABELLED.search(cell) for cell in row) for row in _rows(sample))
    return wordy * 2 >= sample.rows


def _rows(sample: TableSample) -> Iterator[tuple[str, ...]]:
    return zip(*map(sample.texts, range(sample.width)), strict=True)


def _contradicts(header_role: str, shares: dict[str, float]) -> bool:
    """Whether the values of a column clearly do not have the form of the role that its header names."""
    return (
        header_role in RECOGNISABLE_ROLES
        and header_role != "professional"
        and bool(shares)
        and shares[header_role] < _CONTRADICTING_SHARE
    )


def _is_header_wrong(header_roles: Sequence[str], shown: Sequence[dict[str, float]]) -> bool:
    """Whether the words of a header are beside the wrong columns: the values contradict two of them or more."""
    return sum(map(_contradicts, header_roles, shown)) >= _ENOUGH_CONTRADICTIONS


def _decide_role(header_role: str, shares: dict[str, float]) -> tuple[str, str]:
    """The role of one column and what decided it; ('', '') if it is ignored.

    Args:
        header_role: the role that the header names, '' for none.
        shares: for each recognisable role, the share of cells that have its form; {} if all cells are blank.
    """
    best = next((role for role in RECOGNISABLE_ROLES if shares.get(role, 0.0) >= CLEAR_SHARE), "")
    if header_role in shares and shares[header_role] >= (SHOWN_SHARE if best else 0.01):
        return header_role, "header"
    if best and (best != header_role or header_role not in ROLES):
        # nine digits alone may be a professional number, a telephone number without its 0, or anything else
        if best == "professional" and not header_role:
            return "", ""
        return (best, "values") if best != "dob" or header_role != "date" else ("", "")
    shown = next(
        (role for role in RECOGNISABLE_ROLES if shares.get(role, 0.0) >= SHOWN_SHARE and role != "professional"), ""
    )
    if header_role in {"surname", "first", "fullname", "note", "token"}:
        is_overridden = shown and header_role != "note" and header_role != "token"
        return (shown, "values") if is_overridden else (header_role, "header")
    if header_role in ROLES and not shares:
        return header_role, "header"
    return (shown, "values") if shown and header_role != "date" else ("", "")


def _keep_one_birth_date(found: list[tuple[str, str]], header_roles: Sequence[str], sample: TableSample) -> None:
    """Of several columns of dates, keep the one whose header names birth dates, else the one with the oldest dates."""
    dates = [at for at, (role, _) in enumerate(found) if role == "dob"]
    if len(dates) < 2:
        return
    oldest = min(dates, key=lambda at: _middle_year(sample.texts(at)))
    keep = [at for at in dates if header_roles[at] == "dob"] or [oldest]
    for at in dates:
        if at not in keep:
            found[at] = ("", "")


def _middle_year(cells: Sequence[str]) -> int:
    """The median year of a column of dates, of those with four digits; 9999 if there is none."""
    years = sorted(_YEAR.findall("\n".join(cells)))
    return int(years[len(years) // 2]) if years else 9999


def _check_names(found: list[tuple[str, str]], sample: TableSample) -> None:
    """Ignore columns whose header names a name and whose cells are none: numbers of patients, the name of a table."""
    roles = {role for role, _ in found}
    for at, (role, by) in enumerate(found):
        filled = int(sample.filled[at].sum())
        if role not in _NAME_ROLES or not filled:
            continue
        if not sample.has_names(at, _LEAST_NAMES * filled):
            found[at] = ("", "")
        elif role == "fullname":
            cells = [cell for cell in map(str.strip, sample.texts(at)) if cell]
            if len(cells) >= _ENOUGH_CELLS and len(set(cells)) == 1:
                found[at] = ("", "")
            elif sum(bool(_BETWEEN_NAMES.search(cell)) for cell in cells) < _LEAST_NAMES * len(cells):
                # a single name: the surname if there is a column of first names and no other of surnames, and the first
                # name in the other case (`Cognome`, `Nome`)
                lacking = {"surname", "first"} - roles
                found[at] = (next(iter(lacking)), by) if len(lacking) == 1 else ("", "")


def _are_surnames_first(sample: TableSample, at: int) -> bool:
    """Whether the surname comes first in a column of whole names, as capitals and common first names tell."""
    first = last = 0
    for cell in sample.texts(at):
        words = cell.split()
        if len(words) < 2 or "," in cell:
            continue
        capitals = words[0].isupper(), words[-1].isupper()
        names = _is_first_name(words[-1].lower()), _is_first_name(words[0].lower())
        for hints in (capitals, names):
            if hints[0] != hints[1]:
                first += hints[0]
                last += hints[1]
    return first >= last


def _find_names(found: list[tuple[str, str]], header_roles: Sequence[str], sample: TableSample) -> None:
    """Find name columns without a header: one with common first names, and a neighbour of words as the surname."""
    roles = {role for role, _ in found}
    open_ = [
        at for at, (role, _) in enumerate(found) if not role and not header_roles[at] and _may_be_names(sample, at)
    ]
    if "first" not in roles:
        shares = {at: _share_of_first_names(sample, at) for at in open_}
        best = max(shares, key=lambda at: shares[at], default=None)
        if best is not None and shares[best] >= 0.3:
            if not roles & _NAME_ROLES and _share_of_two_words(sample, best) >= CLEAR_SHARE:
                # "Jean Dupont": few people have two first names
                found[best] = ("fullname", "values")
                return
            found[best] = ("first", "values")
            open_.remove(best)
    firsts = [at for at, (role, _) in enumerate(found) if role == "first"]
    if not firsts and not {"surname", "fullname"} & roles and not any(header_roles) and roles & {"dob", "nir"}:
        _find_rare_names(found, sample, open_)
        return
    if not {"surname", "fullname"} & roles and open_ and firsts:
        beside = min(open_, key=lambda at: (abs(at - firsts[0]), at))
        # a single column of words is the surname wherever it is
        if abs(beside - firsts[0]) <= 2 or len(open_) == 1:
            found[beside] = ("surname", "values")
    elif "surname" in roles and not firsts and open_:
        surname = next(at for at, (role, _) in enumerate(found) if role == "surname")
        beside = min(open_, key=lambda at: (abs(at - surname), at))
        if abs(beside - surname) == 1:
            found[beside] = ("first", "values")


def _find_rare_names(found: list[tuple[str, str]], sample: TableSample, open_: Sequence[int]) -> None:
    """Find names that are in no list beside birth dates: two columns of words next to each other, or one of both."""
    whole = [at for at in open_ if _share_of_two_words(sample, at) >= CLEAR_SHARE]
    pairs = [(at, at + 1) for at in open_ if at + 1 in open_ and at not in whole and at + 1 not in whole]
    if pairs:
        one, two = pairs[0]
        swapped = _share_of_first_names(sample, one) > _share_of_first_names(sample, two)
        found[one] = ("first" if swapped else "surname", "values")
        found[two] = ("surname" if swapped else "first", "values")
    elif whole:
        found[whole[0]] = ("fullname", "values")


def _share_of_two_words(sample: TableSample, at: int) -> float:
    """The share of the filled cells of a column that have two words or more."""
    return sum(bool(_BETWEEN_NAMES.search(cell.strip())) for cell in sample.texts(at)) / int(sample.filled[at].sum())


def _share_of_first_names(sample: TableSample, at: int) -> float:
    """The share of the filled cells of a column that begin with a common first name."""
    from data.identifiers.first_names import FIRST_NAMES

    # a word of lower-case ASCII letters is its own normal form
    lines = "\n".join([cell.replace("\n", " ") for cell in sample.texts(at)]).lower()
    words = _FIRST_WORD.findall(lines)
    known = sum(map(FIRST_NAMES.__contains__, words))
    known += sum(_is_first_name(word) for word in words if word and not (word.isascii() and word.isalpha()))
    return known / max(1, int(sample.filled[at].sum()))


# the same few hundred names occur again and again
@lru_cache(4096)
def _is_first_name(word: str) -> bool:
    from data.identifiers.first_names import FIRST_NAMES

    return word not in FIRST_NAMES and normalise.name(word).decode() in FIRST_NAMES


def _may_be_names(sample: TableSample, at: int) -> bool:
    """Whether the cells of a column look like names and are not only a few different words."""
    filled = int(sample.filled[at].sum())
    # the sentences around a table stand in its first column alone
    in_rows = int((sample.filled[at] & (sample.filled.sum(axis=0) > 1)).sum()) if sample.width > 1 else filled
    if not filled or not sample.has_names(at, CLEAR_SHARE * (in_rows or filled)):
        return False
    distinct = set(map(str.strip, sample.texts(at))) - {""}
    return len(distinct) > filled // 10 + (filled > 5)
