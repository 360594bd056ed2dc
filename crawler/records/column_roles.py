"""Which column of a table holds what, from its header's words and its values. Pure.

Tags of what the columns hold are `crawler.records.record_keys`; what a header word promises is `data.identifiers.header_words`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from crawler.records.table_sample import SHOWABLE, TableSample
from data.hashing.tags import Kind
from data.identifiers import normalise
from data.identifiers.header_words import role_of

# Roles that carry a value of their own, and the kind of its tag.
VALUE_ROLES = {
    "email": Kind.EMAIL,
    "phone": Kind.PHONE,
    "nir": Kind.NIR,
    "iban": Kind.IBAN,
    "professional": Kind.PROFESSIONAL,
    "token": Kind.TOKEN,
}
# Roles that take part in record keys, in the order of the arguments of `record_inputs`.
KEY_ROLES = ("first", "surname", "dob", "nir", "email", "phone")
ROLES = (*dict.fromkeys((*KEY_ROLES, *VALUE_ROLES)), "fullname", "note")
# A column shows a kind when this share of its filled cells has its form; clearly when nearly all have.
SHOWN, CLEARLY = 0.6, 0.9
# A header whose words are contradicted by this many columns, in all but this share of their cells, is not believed.
_MOST_LIES, _HARDLY = 2, 0.1
_NAMES = frozenset({"surname", "first", "fullname"})
# Rows after the first one that tell whether it is a header.
_FOLLOWING = 5
# "né le 12/03/1975", "Tél: 06 12 34 56 78": a label in the cell itself
_FIRST_WORD = re.compile(r"^[^- \n]*", re.MULTILINE)
_YEAR = re.compile(r"(?:19|20)\d\d")
_LABELLED = re.compile(r"[^\W\d_]{2,}[ :=.]{1,3}[+(]?\d")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a plan: its header, its role ('' for ignored), and whether `header` or `values` said so."""

    name: str
    role: str
    by: str


@dataclass(frozen=True)
class Plan:
    """Which column of a table holds what."""

    columns: tuple[Column, ...]

    @cached_property
    def places(self) -> dict[str, tuple[int, ...]]:
        """Column numbers of each role."""
        found: dict[str, list[int]] = {}
        for number, column in enumerate(self.columns):
            if column.role:
                found.setdefault(column.role, []).append(number)
        return {role: tuple(numbers) for role, numbers in found.items()}

    @property
    def is_useful(self) -> bool:
        """Whether any row could give a tag."""
        roles = set(self.places)
        names = {"first", "surname"} <= roles or "fullname" in roles
        return bool(roles & set(VALUE_ROLES)) or (names and "dob" in roles)

    def names_swapped(self) -> Plan:
        """The same plan with the columns of surnames and first names in each other's place."""
        other = {"surname": "first", "first": "surname"}
        return Plan(tuple(replace(column, role=other.get(column.role, column.role)) for column in self.columns))

    def describe(self) -> list[str]:
        """A line per column: what was understood, by what, and what is ignored."""
        return [
            f"column {number} {column.name!r}: " + (f"{column.role}, by its {column.by}" if column.role else "ignored")
            for number, column in enumerate(self.columns, 1)
        ]


def looks_like_header(row: Sequence[str], following: Sequence[Sequence[str]] = ()) -> bool:
    """`begins_with_header` of a first row and some after it."""
    return begins_with_header(TableSample.of([row, *following[:_FOLLOWING]], len(row)))


def begins_with_header(sample: TableSample) -> bool:
    """Whether the first row names columns: it promises something and holds no value itself.

    Where the rows after it show kinds and it shows none, it is a header even if no word of it is known.
    """
    if not sample.rows:
        return False
    row = sample.row(0)
    if not any(cell.strip() for cell in row):
        return False
    shown = sample.any_form()
    if shown[:, 0].any():
        return False
    known = sum(bool(role_of(cell)) for cell in row)
    return known >= 2 or known == len(row) or bool(shown[:, 1 : 1 + _FOLLOWING].any())


def sniff(header: Sequence[str] | None, sample: Sequence[Sequence[str]]) -> Plan:
    """`plan_of` of rows of texts; short rows are allowed."""
    return plan_of(header, TableSample.of(sample, max(map(len, (*sample, header or ())), default=0)))


def plan_of(header: Sequence[str] | None, sample: TableSample) -> Plan:
    """What each column of a table holds, from its header's words and its values.

    The kinds that values clearly show win over a wrong header. Names show themselves only through the header, common
    first names, or their place beside them.

    Args:
        header: words, or None.
        sample: some rows.
    """
    sample = sample.of_width(max(sample.width, len(header or ())))
    names = [header[at] if header is not None and at < len(header) else "" for at in range(sample.width)]
    promised = [role_of(name) if name else "" for name in names]
    shown = sample.shares()
    found = _roles(promised, sample, shown)
    if _lies(promised, shown):
        # words beside the wrong columns say nothing of names either, if names show themselves
        believed = ["" if role in _NAMES or _promises_another(role, shares) else role
                    for role, shares in zip(promised, shown, strict=True)]  # fmt: skip
        other = _roles(believed, sample, shown)
        if {"surname", "first"} <= {role for role, _ in other}:
            found = other
    return Plan(tuple(Column(names[at], *found[at]) for at in range(sample.width)))


def _roles(promised: Sequence[str], sample: TableSample, shown: Sequence[dict[str, float]]) -> list[tuple[str, str]]:
    """The role of each column, and what said so."""
    found = [_decide(promise, shares) for promise, shares in zip(promised, shown, strict=True)]
    _one_birth_date(found, promised, sample)
    if not {"surname", "fullname"} & {role for role, _ in found} or "first" not in {role for role, _ in found}:
        _find_names(found, promised, sample)
    return found


def reads_like_text(plan: Plan, sample: Sequence[Sequence[str]]) -> bool:
    """`is_prose` of rows of texts."""
    return is_prose(plan, TableSample.of(sample))


def is_prose(plan: Plan, sample: TableSample) -> bool:
    """Whether rows are rather lines of text: no record key can come of their columns, and sentences stand in them.

    Prose with a comma at the same place in every line is taken for a table, and notes of a table speak of people.
    """
    roles = set(plan.places)
    named = "first" in roles or "fullname" in roles
    if (named and roles & {"nir", "email", "phone", "dob"}) or ("dob" in roles and roles & {"nir", "phone"}):
        return False
    rows = zip(*map(sample.texts, range(sample.width)), strict=True)
    wordy = sum(any(len(cell.split(None, 2)) > 2 or _LABELLED.search(cell) for cell in row) for row in rows)
    return wordy * 2 > sample.rows


def _promises_another(promise: str, shares: dict[str, float]) -> bool:
    """Whether a header word promises a kind that the values of its column clearly do not show."""
    return promise in SHOWABLE and promise != "professional" and bool(shares) and shares[promise] < _HARDLY


def _lies(promised: Sequence[str], shown: Sequence[dict[str, float]]) -> bool:
    """Whether a header stands beside the wrong columns: two of its words or more are contradicted by the values."""
    return sum(map(_promises_another, promised, shown)) >= _MOST_LIES


def _decide(promise: str, shares: dict[str, float]) -> tuple[str, str]:
    best = next((role for role in SHOWABLE if shares.get(role, 0.0) >= CLEARLY), "")
    if promise in shares and shares[promise] >= (SHOWN if best else 0.01):
        return promise, "header"
    if best and (best != promise or promise not in ROLES):
        # digits alone are weak: nine of them are a professional number, a telephone number without its 0, or anything
        if best == "professional" and not promise:
            return "", ""
        return (best, "values") if best != "dob" or promise != "date" else ("", "")
    shown = next((role for role in SHOWABLE if shares.get(role, 0.0) >= SHOWN and role != "professional"), "")
    if promise in {"surname", "first", "fullname", "note", "token"}:
        return (shown, "values") if shown and promise != "note" and promise != "token" else (promise, "header")
    if promise in ROLES and not shares:
        return promise, "header"
    return (shown, "values") if shown and promise != "date" else ("", "")


def _one_birth_date(found: list[tuple[str, str]], promised: Sequence[str], sample: TableSample) -> None:
    """Of several columns of dates the promised one is the birth date, else the one that lies furthest back."""
    dates = [at for at, (role, _) in enumerate(found) if role == "dob"]
    if len(dates) < 2:
        return
    keep = [at for at in dates if promised[at] == "dob"] or [min(dates, key=lambda at: _middle_year(sample.texts(at)))]
    for at in dates:
        if at not in keep:
            found[at] = ("", "")


def _middle_year(cells: Sequence[str]) -> int:
    """The median year of a column of dates as four digits where the text has them."""
    years = sorted(_YEAR.findall("\n".join(cells)))
    return int(years[len(years) // 2]) if years else 9999


def _find_names(found: list[tuple[str, str]], promised: Sequence[str], sample: TableSample) -> None:
    """Name columns without words: the one with common first names, and a wordy neighbour as its surname."""
    roles = {role for role, _ in found}
    open_ = [at for at, (role, _) in enumerate(found) if not role and not promised[at] and _wordy(sample, at)]
    if "first" not in roles:
        shares = {at: _share_of_first_names(sample, at) for at in open_}
        best = max(shares, key=lambda at: shares[at], default=None)
        if best is not None and shares[best] >= 0.3:
            found[best] = ("first", "values")
            open_.remove(best)
    firsts = [at for at, (role, _) in enumerate(found) if role == "first"]
    if not {"surname", "fullname"} & roles and open_ and firsts:
        beside = min(open_, key=lambda at: (abs(at - firsts[0]), at))
        # a lone column of words is the surname wherever it stands
        if abs(beside - firsts[0]) <= 2 or len(open_) == 1:
            found[beside] = ("surname", "values")
    elif "surname" in roles and not firsts and open_:
        surname = next(at for at, (role, _) in enumerate(found) if role == "surname")
        beside = min(open_, key=lambda at: (abs(at - surname), at))
        if abs(beside - surname) == 1:
            found[beside] = ("first", "values")


def _share_of_first_names(sample: TableSample, at: int) -> float:
    """How many of the filled cells of a column begin with a common first name."""
    from data.identifiers.first_names import FIRST_NAMES

    # in lower case, a word of ASCII letters is its normal form
    lines = "\n".join([cell.replace("\n", " ") for cell in sample.texts(at)]).lower()
    words = _FIRST_WORD.findall(lines)
    known = sum(map(FIRST_NAMES.__contains__, words))
    known += sum(_is_first_name(word) for word in words if word and not (word.isascii() and word.isalpha()))
    return known / max(1, int(sample.filled[at].sum()))


# the same few hundred names come again and again
@lru_cache(4096)
def _is_first_name(word: str) -> bool:
    from data.identifiers.first_names import FIRST_NAMES

    return word not in FIRST_NAMES and normalise.name(word).decode() in FIRST_NAMES


def _wordy(sample: TableSample, at: int) -> bool:
    """Cells like names: short, letters, and not the same few words again and again."""
    filled = int(sample.filled[at].sum())
    if not filled or not sample.like_names(at, CLEARLY * filled):
        return False
    distinct = set(map(str.strip, sample.texts(at))) - {""}
    return len(distinct) > filled // 10 + (filled > 5)
