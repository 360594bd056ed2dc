"""Value tags and record keys of table rows, by the roles of their columns (`crawler.records.column_roles`). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crawler.records.column_roles import KEY_ROLES, VALUE_ROLES, ColumnPlan
from crawler.records.row_batch import RowBatch
from data.arrays.array_types import U64
from data.arrays.packed import Packed, join_packed, pair_packed
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags
from data.hashing.tags import record_keys as keys_of
from data.identifiers.normalise_columns import normalise_column

# --- tags of rows ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class RowTags:
    """The tags of a batch of rows.

    Attributes:
        keys: shape (n, 6), the record keys of each row, 0 if a part is missing.
        extra_keys: shape (m,), further record keys of rows that have several values of one role.
        extra_rows: shape (m,), the rows of `extra_keys`.
        values: per kind, the rows and their value tags, shape (k,) both; absent values are left out.
    """

    keys: U64
    extra_keys: U64
    extra_rows: NDArray[np.int64]
    values: dict[Kind, tuple[NDArray[np.int64], U64]]


def split_name(text: str) -> list[tuple[str, str]]:
    """The (surname, first name) readings of a full name: by a comma, by capitals, else in both orders."""
    surname, comma, first = text.partition(",")
    if comma:
        return [(surname.strip(), first.strip())]
    words = text.split()
    if len(words) < 2:
        return []
    capitals = [word for word in words if word.isupper() and len(word) > 1]
    others = [word for word in words if not (word.isupper() and len(word) > 1)]
    if capitals and others:
        return [(" ".join(capitals), " ".join(others))]
    return list(dict.fromkeys([(" ".join(words[:-1]), words[-1]), (" ".join(words[1:]), words[0])]))


class NormalForms:
    """The normal forms of the columns of some rows, each computed once."""

    def __init__(self, column: Callable[[int], Packed]) -> None:
        """`column` returns the cells of a column by its number."""
        self.column = column
        self._made: dict[tuple[str, int], Packed] = {}

    def of(self, role: str, at: int) -> Packed:
        """The normal forms of the cells of a column, read as values of a role."""
        if (role, at) not in self._made:
            self._made[role, at] = normalise_column(role, self.column(at))
        return self._made[role, at]


def column_readings(plan: ColumnPlan, count: int, forms: NormalForms) -> Iterator[dict[str, Packed]]:
    """The ways to read rows of `count` cells a column: one column in normal form for each role.

    One reading takes the first column of every role; each further column of a role gives a reading in which it takes
    the place of the first. A column of full names gives readings of its own.
    """
    places = plan.places
    columns: dict[str, list[Packed]] = {
        role: [forms.of(role, at) for at in places[role]] for role in KEY_ROLES if role in places
    }
    for at in places.get("fullname", ()):
        split = [split_name(cell) for cell in forms.column(at).texts()]
        for reading in range(2):
            parts = [pairs[reading] if reading < len(pairs) else ("", "") for pairs in split]
            if reading and not any(parts_ != ("", "") for parts_ in parts):
                continue
            pair = {
                "surname": normalise_column("surname", [part[0] for part in parts]),
                "first": normalise_column("first", [part[1] for part in parts]),
            }
            if "surname" not in columns and "first" not in columns:
                columns = {**columns, "surname": [pair["surname"]], "first": [pair["first"]]}
            else:
                yield {role: options[0] for role, options in columns.items()} | pair
    if not columns and count:
        return
    yield {role: options[0] for role, options in columns.items()}
    for role, options in columns.items():
        for option in options[1:]:
            yield {each: (option if each == role else choices[0]) for each, choices in columns.items()}


def tag_rows(plan: ColumnPlan, batch: RowBatch, probe_key: bytes) -> RowTags:
    """The tags of every row of a batch, computed for whole columns at a time."""
    forms = NormalForms(batch.column)
    # the reading with the most columns gives `keys`, the others give `extra_keys`
    found_readings = sorted(column_readings(plan, len(batch), forms), key=len, reverse=True)
    keys = np.zeros((len(batch), len(RECORD_KINDS)), np.uint64)
    extra_keys: list[U64] = []
    extra_rows: list[NDArray[np.int64]] = []
    for number, parts in enumerate(found_readings):
        made = keys_of(probe_key, **parts) if parts else keys
        if number == 0:
            keys = made
            continue
        rows, places = np.nonzero((made != keys) & (made != 0))
        extra_keys.append(made[rows, places])
        extra_rows.append(rows)
    values: dict[Kind, tuple[NDArray[np.int64], U64]] = {}
    for role, kind in VALUE_ROLES.items():
        found = [probe_tags(probe_key, kind, forms.of(role, at)) for at in plan.places.get(role, ())]
        if found:
            rows = np.concatenate([np.flatnonzero(tags) for tags in found])
            values[kind] = rows, np.concatenate([tags[tags != 0] for tags in found])
    return RowTags(
        keys,
        np.concatenate(extra_keys) if extra_keys else np.zeros(0, np.uint64),
        np.concatenate(extra_rows) if extra_rows else np.zeros(0, np.int64),
        values,
    )


def row_digest_inputs(plan: ColumnPlan, batch: RowBatch) -> list[tuple[Kind, Packed]]:
    """The inputs of confirm digests of rows: kinds and normal forms of everything that `tag_rows` tags.

    Returns:
        Columns with one item for each row, empty if the row has none. A value may occur in several columns.
    """
    forms = NormalForms(batch.column)
    inputs = [column for parts in column_readings(plan, len(batch), forms) for column in record_key_columns(parts)]
    for role, kind in VALUE_ROLES.items():
        inputs += [(kind, forms.of(role, at)) for at in plan.places.get(role, ())]
    return inputs


def record_key_columns(parts: dict[str, Packed]) -> list[tuple[Kind, Packed]]:
    """The inputs of the six record keys as columns, for confirm digests in batch.

    A kind is left out if `parts` lacks a column for it; an item is empty if the row lacks a part.
    """
    first, surname, dob = parts.get("first"), parts.get("surname"), parts.get("dob")
    nir, email, phone = parts.get("nir"), parts.get("email"), parts.get("phone")
    names = pair_packed(surname, first) if surname is not None and first is not None else None
    pairs = ((names, dob), (nir, first), (nir, dob), (email, first), (phone, first), (phone, dob))
    return [
        (kind, join_packed(a, b))
        for kind, (a, b) in zip(RECORD_KINDS, pairs, strict=True)
        if a is not None and b is not None
    ]
