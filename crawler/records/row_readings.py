"""The ways to understand the rows of a table: which cell is whose value, row by row. Pure; `record_keys` hashes them.

A table may have several columns of one kind (name of birth and name of use, landline and mobile), and one column with
whole names. Every filled cell speaks: the first reading of a row takes the first filled cell of each role, and each
further filled cell gives another reading of this row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crawler.records.column_roles import KEY_ROLES, ColumnPlan
from data.arrays.array_types import I64, Bools
from data.arrays.packed import Packed
from data.hashing.tags import name_pair
from data.identifiers.normalise import fold, given_variants, name_variants
from data.identifiers.normalise_columns import normalise_column

# Roles whose values a record key joins with those of each role. A reading that differs in one role gives these keys.
_JOINED = {
    "first": ("surname", "dob", "nir", "email", "phone"),
    "surname": ("first", "dob"),
    "dob": ("first", "surname", "nir", "phone"),
    "nir": ("first", "dob"),
    "email": ("first",),
    "phone": ("first", "dob"),
}
_TITLES = frozenset(["m", "mr", "mme", "mlle", "monsieur", "madame", "mademoiselle", "mrs", "ms", "miss"])
# words between the two surnames of one person
_LINKS = frozenset(["nee", "ne", "epouse", "epse", "ep", "veuve", "vve", "dite", "dit", "alias"])
_MAX_SPLITS = 4
# of one pair of names so many other forms are looked up
_MAX_VARIANTS = 16


class NormalForms:
    """The normal forms of the columns of some rows, each computed once."""

    def __init__(self, column: Callable[[int], Packed]) -> None:
        """`column` returns the cells of a column by its number."""
        self.column = column
        self._made: dict[tuple[str, int], Packed] = {}
        self._names: dict[int, list[dict[str, Packed]]] = {}

    def of(self, role: str, at: int) -> Packed:
        """The normal forms of the cells of a column, read as values of a role."""
        if (role, at) not in self._made:
            self._made[role, at] = normalise_column(role, self.column(at))
        return self._made[role, at]

    def names(self, at: int, *, surname_first: bool) -> list[dict[str, Packed]]:
        """The readings of a column of whole names, at most `_MAX_SPLITS`: surname and first name of each cell."""
        if at not in self._names:
            split = [split_name(cell, surname_first=surname_first) for cell in self.column(at).texts()]
            count = min(_MAX_SPLITS, max(map(len, split), default=0))
            self._names[at] = [
                {
                    role: normalise_column(
                        role, [pairs[number][part] if number < len(pairs) else "" for pairs in split]
                    )
                    for part, role in enumerate(("surname", "first"))
                }
                for number in range(count)
            ]
        return self._names[at]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Another way to understand some rows.

    Attributes:
        role: what is read otherwise: a role, or `names` for both names.
        rows: shape (m,), their numbers.
        forms: m normal forms of each role that a changed record key is made of.
    """

    role: str
    rows: I64
    forms: dict[str, Packed]


def split_name(text: str, *, surname_first: bool = True) -> list[tuple[str, str]]:
    """The (surname, first name) readings of a full name, the best first.

    A comma or a caret separates the two, as do capitals. Else the order is that of most names of the column, and the
    other order is the second reading; of more than two words the surname or the first name may have two.
    """
    surname, comma, first = text.partition("^" if "^" in text else ",")
    if comma:
        first = first.partition("^")[0]
        return [(surname.strip(), first.strip())] if surname.strip() and first.strip() else []
    words = text.split()
    while len(words) > 1 and fold(words[0]).rstrip(".") in _TITLES:
        words = words[1:]
    if len(words) < 2:
        return []
    for at in range(1, len(words) - 1):
        if fold(words[at]).strip(".()") in _LINKS and len(words[at]) > 1:
            # DUPONT née MARTIN Jeanne: both surnames are hers
            after = split_name(" ".join(words[at + 1 :]), surname_first=True)
            return [pair for one, given in after for pair in ((" ".join(words[:at]), given), (one, given))][
                :_MAX_SPLITS
            ]
    capitals = [word for word in words if word.isupper() and len(word) > 1]
    others = [word for word in words if not (word.isupper() and len(word) > 1)]
    if capitals and others:
        return [(" ".join(capitals), " ".join(others))]
    found = [(" ".join(words[:-1]), words[-1]), (" ".join(words[1:]), words[0])]
    if len(words) > 2:
        found += [(words[0], " ".join(words[1:])), (words[-1], " ".join(words[:-1]))]
        if not surname_first:
            found = [found[1], found[0], found[3], found[2]]
    elif not surname_first:
        found.reverse()
    return list(dict.fromkeys(found))


def read_rows(plan: ColumnPlan, count: int, cells: NormalForms) -> tuple[dict[str, Packed], list[Reading]]:
    """The first reading of each of `count` rows, as normal forms by role, and the other readings.

    Roles without a column are left out.
    """
    places = plan.key_places
    columns = {role: [cells.of(role, at) for at in places[role]] for role in KEY_ROLES if role in places}
    forms = {role: _first_filled(options) for role, options in columns.items()}
    whole = [
        pair
        for at in places.get("fullname", ())
        for pair in cells.names(at, surname_first=plan.columns[at].surname_first)
    ]
    others: list[tuple[str, dict[str, Packed], Bools]] = []
    if whole:
        plain = {role: forms.get(role, Packed.empty(count)) for role in ("surname", "first")}
        # whole names are read where a name is missing
        open_ = (plain["surname"].lengths == 0) | (plain["first"].lengths == 0)
        forms |= plain
        for pair in whole:
            has_pair = pair["first"].lengths > 0
            forms |= {role: _choose(forms[role], pair[role], open_ & has_pair) for role in plain}
            others.append(("names", pair, has_pair & ~open_))
            open_ &= ~has_pair
        # a first name beside a whole name
        taken = ((plain["surname"].lengths == 0) | (plain["first"].lengths == 0)) & ~open_
        others.append(("first", {"first": plain["first"]}, taken & (plain["first"].lengths > 0)))
    for role, options in columns.items():
        before = options[0].lengths > 0
        for column in options[1:]:
            filled = column.lengths > 0
            others.append((role, {role: column}, before & filled))
            before |= filled
    return forms, [reading for role, changed, where in others for reading in _other(role, changed, where, forms)]


def name_texts(plan: ColumnPlan, column: Callable[[int], Packed]) -> Iterator[list[tuple[str, str]]]:
    """Surname and first name of each row as they are written, once for each pair of columns and each whole name.

    A name that a row does not have is ''.
    """
    places = plan.key_places
    texts = {role: [column(at).texts() for at in places[role]] for role in ("surname", "first") if role in places}
    for surnames in texts.get("surname", ()):
        for firsts in texts.get("first", ()):
            yield list(zip(surnames, firsts, strict=True))
    if len(texts) == 1:
        for role, options in texts.items():
            for option in options:
                yield [(text, "") if role == "surname" else ("", text) for text in option]
    for at in places.get("fullname", ()):
        split = [split_name(cell, surname_first=plan.columns[at].surname_first) for cell in column(at).texts()]
        yield [pairs[0] if pairs else ("", "") for pairs in split]


def name_variant_pairs(plan: ColumnPlan, column: Callable[[int], Packed]) -> tuple[I64, list[bytes]]:
    """The pairs of names (`data.hashing.tags.name_pair`) in other forms than the first, with the row of each."""
    owners: list[int] = []
    pairs: list[bytes] = []
    for texts in name_texts(plan, column):
        for row, (surname, first) in enumerate(texts):
            if not surname or not first:
                continue
            surnames, firsts = _surname_forms(surname), _first_forms(first)
            count = min(_MAX_VARIANTS, len(surnames) * len(firsts))
            if count > 1:
                made = [name_pair(one, two) for one in surnames for two in firsts][1:count]
                pairs += made
                owners += [row] * len(made)
    return np.array(owners, np.int64), pairs


# cached because names repeat: half of a country's people share a few thousand
@lru_cache(maxsize=1 << 16)
def _surname_forms(text: str) -> tuple[bytes, ...]:
    return tuple(name_variants(text))


@lru_cache(maxsize=1 << 16)
def _first_forms(text: str) -> tuple[bytes, ...]:
    return tuple(given_variants(text))


def _other(role: str, changed: dict[str, Packed], where: Bools, forms: dict[str, Packed]) -> Iterator[Reading]:
    """A reading of some rows with other normal forms of a role, or of both names."""
    rows = np.flatnonzero(where)
    if len(rows):
        joined = _JOINED["first" if role == "names" else role]
        kept = {each: forms[each].take(rows) for each in joined if each in forms and each not in changed}
        yield Reading(role, rows, kept | {each: column.take(rows) for each, column in changed.items()})


def _first_filled(columns: Sequence[Packed]) -> Packed:
    """Of each row the first item that is not empty."""
    found = columns[0]
    for column in columns[1:]:
        found = _choose(found, column, (found.lengths == 0) & (column.lengths > 0))
    return found


def _choose(a: Packed, b: Packed, of_b: Bools) -> Packed:
    """The items of `a`, in some rows those of `b`."""
    if not of_b.any():
        return a
    if of_b.all():
        return b
    numbers = np.arange(len(a))
    return Packed.concatenated([a, b]).take(np.where(of_b, numbers + len(a), numbers))
