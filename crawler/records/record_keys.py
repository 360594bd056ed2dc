"""Value tags and record keys of table rows, by the roles of their columns (`crawler.records.column_roles`). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crawler.matching.candidates import Candidates
from crawler.records.column_roles import KEY_ROLES, VALUE_ROLES, ColumnPlan
from crawler.records.row_batch import RowBatch
from data.arrays.array_types import I64, U64
from data.arrays.packed import Packed, join_packed, pair_packed
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags
from data.hashing.tags import record_keys as keys_of
from data.identifiers.normalise_columns import normalise_column

Lookup = Callable[[U64], NDArray[np.bool_]]

KEY_PARTS = {
    Kind.NAME_DOB: ("names", "dob"),
    Kind.NIR_FIRST: ("nir", "first"),
    Kind.NIR_DOB: ("nir", "dob"),
    Kind.EMAIL_FIRST: ("email", "first"),
    Kind.PHONE_FIRST: ("phone", "first"),
    Kind.PHONE_DOB: ("phone", "dob"),
}
"""The two parts of each record key by role, in the order in which they are joined; "names" is the pair of both names."""

# --- tags of rows ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class RowTags:
    """The tags of a batch of rows.

    Attributes:
        keys: shape (n, 6), the record keys of each row, 0 if a part is missing.
        extra_keys: shape (m,), further record keys of rows that have several values of one role.
        extra_rows: shape (m,), the rows of `extra_keys`.
        values: per kind, the rows and their value tags, shape (k,) both; absent values are left out.
        inputs: what was hashed.
    """

    keys: U64
    extra_keys: U64
    extra_rows: NDArray[np.int64]
    values: dict[Kind, tuple[NDArray[np.int64], U64]]
    inputs: TagInputs


@dataclass(frozen=True, slots=True, eq=False)
class TagInputs:
    """Normal forms of a batch of n rows, with the tags that were made of them.

    Attributes:
        readings: for each reading its columns by role, and its record keys, shape (n, 6).
        columns: for each column of single values their kind, n normal forms, and their tags, shape (n,), 0 for absent.
    """

    readings: list[tuple[dict[str, Packed], U64]]
    columns: list[tuple[Kind, Packed, U64]]

    def candidates(self, listed_keys: Lookup, listed_values: Lookup) -> Candidates:
        """The record keys and values whose tags a watch-list has, with the number of their row.

        Args:
            listed_keys: which of some record keys are on the list; shape (m,) both.
            listed_values: which of some value tags are.
        """
        parts = []
        for number, (forms, keys) in enumerate(self.readings):
            if number:
                # most keys of a further reading are those of the first, and were looked up with it
                listed = (keys != self.readings[0][1]) & (keys != 0)
                listed[listed] = listed_keys(keys[listed])
            else:
                listed = listed_keys(keys.ravel()).reshape(keys.shape)
            for at, kind in enumerate(RECORD_KINDS):
                if len(rows := np.flatnonzero(listed[:, at])):
                    parts.append(_candidates(kind, keys[rows, at], record_key_inputs(kind, forms, rows), rows))
        for kind, column, tags in self.columns:
            if len(rows := np.flatnonzero(listed_values(tags))):
                parts.append(_candidates(kind, tags[rows], column.take(rows), rows))
        return Candidates.concatenated(parts)


def _candidates(kind: Kind, tags: U64, values: Packed, rows: I64) -> Candidates:
    return Candidates(np.full(len(tags), kind, np.uint8), tags, values, rows)


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
    readings: list[tuple[dict[str, Packed], U64]] = []
    for number, parts in enumerate(found_readings):
        made = keys_of(probe_key, **parts) if parts else keys
        readings.append((parts, made))
        if number == 0:
            keys = made
            continue
        rows, places = np.nonzero((made != keys) & (made != 0))
        extra_keys.append(made[rows, places])
        extra_rows.append(rows)
    values: dict[Kind, tuple[NDArray[np.int64], U64]] = {}
    columns: list[tuple[Kind, Packed, U64]] = []
    for role, kind in VALUE_ROLES.items():
        found = [probe_tags(probe_key, kind, forms.of(role, at)) for at in plan.places.get(role, ())]
        columns += [(kind, forms.of(role, at), tags) for at, tags in zip(plan.places.get(role, ()), found, strict=True)]
        if found:
            rows = np.concatenate([np.flatnonzero(tags) for tags in found])
            values[kind] = rows, np.concatenate([tags[tags != 0] for tags in found])
    return RowTags(
        keys,
        np.concatenate(extra_keys) if extra_keys else np.zeros(0, np.uint64),
        np.concatenate(extra_rows) if extra_rows else np.zeros(0, np.int64),
        values,
        TagInputs(readings, columns),
    )


def record_key_inputs(kind: Kind, parts: dict[str, Packed], rows: I64) -> Packed:
    """The inputs of one of the six record keys for some rows that have it; `parts` are the columns by role."""
    first, second = KEY_PARTS[kind]
    b = parts[second].take(rows)
    if first == "names":
        return join_packed(pair_packed(parts["surname"].take(rows), parts["first"].take(rows)), b)
    return join_packed(parts[first].take(rows), b)


def record_key_columns(parts: dict[str, Packed]) -> list[tuple[Kind, Packed]]:
    """The inputs of the six record keys as columns, for confirm digests in batch.

    A kind is left out if `parts` lacks a column for it; an item is empty if the row lacks a part.
    """
    parts = dict(parts)
    if "surname" in parts and "first" in parts:
        parts["names"] = pair_packed(parts["surname"], parts["first"])
    return [(kind, join_packed(parts[a], parts[b])) for kind, (a, b) in KEY_PARTS.items() if {a, b} <= parts.keys()]
