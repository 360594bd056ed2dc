"""Value tags and record keys of table rows, by the roles of their columns (`crawler.records.column_roles`). Pure.

`crawler.records.row_readings` finds the ways to understand a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crawler.matching.candidates import Candidates, UnreadCandidates
from crawler.records.column_roles import VALUE_ROLES, ColumnPlan
from crawler.records.row_batch import RowBatch
from crawler.records.row_readings import NormalForms, Reading, read_rows
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed, join_packed, pair_packed
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags
from data.hashing.tags import record_keys as keys_of
from data.identifiers.normalise import fold

Lookup = Callable[[U64], NDArray[np.bool_]]

# headers of columns with a street
_ADDRESS = re.compile(r"(?:(?:pat(?:ient)?|dom(?:icile)?|postal)[_ ]?)?(?:adr(?:esse)?s?|address|addr|rue|street|voie)(?:[_ ]?(?:1|postale|line ?1|ligne ?1|domicile|pat(?:ient)?))?$", re.IGNORECASE)  # fmt: skip
_STREET = re.compile(
    r"\D{0,12}?(?P<number>\d{1,4})?(?!\d)(?: ?(?:bis|ter|quater|[a-d])\b)?[ ,]{0,3}(?P<street>[^,;\d\n]+)"
)
_STREET_WORDS = frozenset(
    [
        *(
            "rue",
            "avenue",
            "boulevard",
            "place",
            "impasse",
            "allee",
            "allees",
            "chemin",
            "route",
            "quai",
            "cours",
            "square",
        ),
        *(
            "passage",
            "residence",
            "cite",
            "lieu",
            "dit",
            "ave",
            "av",
            "blvd",
            "bvd",
            "bd",
            "pl",
            "imp",
            "che",
            "ch",
            "all",
        ),
        *("street", "road", "lane", "de", "du", "des", "del", "la", "le", "les", "au", "aux", "en", "et", "bis", "ter"),
    ]
)

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
class TaggedReading:
    """Another way to understand some rows, with its record keys.

    Attributes:
        reading: its rows and normal forms.
        keys: shape (m, 6), the record keys of these rows in this reading, all of them.
        changed: shape (m, 6), which of them differ from those of the first reading and are not 0.
    """

    reading: Reading
    keys: U64
    changed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TagInputs:
    """Normal forms of a batch of n rows, with the tags that were made of them.

    Attributes:
        forms: the first reading of each row, by role.
        keys: shape (n, 6), the record keys of the first reading.
        columns: for each column of single values their kind, n normal forms, and their tags, shape (n,), 0 for absent.
        others: the other readings.
    """

    forms: dict[str, Packed]
    keys: U64
    columns: list[tuple[Kind, Packed, U64]]
    others: list[TaggedReading] = field(default_factory=list)

    def candidates(
        self, listed_keys: Lookup, listed_values: Lookup, further: list[UnreadCandidates] | None = None
    ) -> Candidates:
        """The record keys and values whose tags a watch-list has, with the number of their row.

        Args:
            listed_keys: which of some record keys are on the list; shape (m,) both.
            listed_values: which of some value tags are.
            further: gets the record keys but name+dob, which are then left out of the result. Of a row with a listed
                value these are all of them, listed or not: most need not even be looked up.
        """
        parts: list[Candidates] = []

        def add(kind: Kind, tags: U64, forms: dict[str, Packed], of_forms: I64, rows: I64) -> None:
            if further is None or kind == Kind.NAME_DOB:
                parts.append(_candidates(kind, tags, record_key_inputs(kind, forms, of_forms), rows))
                return
            kinds = np.full(len(tags), kind, np.uint8)
            further.append(
                UnreadCandidates(kinds, tags, rows, lambda some: record_key_inputs(kind, forms, of_forms[some]))
            )

        in_values = [(kind, column, tags, np.flatnonzero(listed_values(tags))) for kind, column, tags in self.columns]
        is_hit = np.zeros(len(self.keys), np.bool_)
        if further is not None:
            for _, _, _, rows in in_values:
                is_hit[rows] = True
        listed = _listed_or_open(self.keys, self.keys != 0, is_hit, listed_keys)
        for at, kind in enumerate(RECORD_KINDS):
            if len(rows := np.flatnonzero(listed[:, at])):
                add(kind, self.keys[rows, at], self.forms, rows, rows)
        for other in self.others:
            # the keys that did not change were looked up with the first reading
            listed = _listed_or_open(other.keys, other.changed, is_hit[other.reading.rows], listed_keys)
            for at, kind in enumerate(RECORD_KINDS):
                if len(rows := np.flatnonzero(listed[:, at])):
                    add(kind, other.keys[rows, at], other.reading.forms, rows, other.reading.rows[rows])
        for kind, column, tags, rows in in_values:
            if len(rows):
                parts.append(_candidates(kind, tags[rows], column.take(rows), rows))
        return Candidates.concatenated(parts)


@dataclass(frozen=True, slots=True, eq=False)
class RowTags:
    """The tags of a batch of rows.

    Attributes:
        keys: shape (n, 6), the record keys of each row in its first reading, 0 if a part is missing.
        values: per kind, the rows and their value tags, shape (k,) both; absent values are left out.
        inputs: what was hashed, with the other readings.
    """

    keys: U64
    values: dict[Kind, tuple[NDArray[np.int64], U64]]
    inputs: TagInputs


def _listed_or_open(keys: U64, asked: Bools, is_hit: Bools, listed: Lookup) -> Bools:
    """Which of some record keys are on a list, or are of a row that hits and no name+dob; shape (n, 6)."""
    open_ = asked & is_hit[:, np.newaxis]
    open_[:, 0] = False
    looked_up = asked & ~open_
    looked_up[looked_up] = listed(keys[looked_up])
    found: Bools = open_ | looked_up
    return found


def _candidates(kind: Kind, tags: U64, values: Packed, rows: I64) -> Candidates:
    return Candidates(np.full(len(tags), kind, np.uint8), tags, values, rows)


def tag_rows(plan: ColumnPlan, batch: RowBatch, probe_key: bytes) -> RowTags:
    """The tags of every row of a batch, computed for whole columns at a time."""
    cells = NormalForms(batch.column)
    forms, readings = read_rows(plan, len(batch), cells)
    keys = keys_of(probe_key, **forms) if forms else np.zeros((len(batch), len(RECORD_KINDS)), np.uint64)
    others = [tag_reading(reading, keys, probe_key) for reading in readings]
    values: dict[Kind, tuple[NDArray[np.int64], U64]] = {}
    columns: list[tuple[Kind, Packed, U64]] = []
    for role, kind in VALUE_ROLES.items():
        places = plan.places.get(role, ())
        found = [probe_tags(probe_key, kind, cells.of(role, at)) for at in places]
        columns += [(kind, cells.of(role, at), tags) for at, tags in zip(places, found, strict=True)]
        if found:
            rows = np.concatenate([np.flatnonzero(tags) for tags in found])
            values[kind] = rows, np.concatenate([tags[tags != 0] for tags in found])
    return RowTags(keys, values, TagInputs(forms, keys, columns, [other for other in others if other.changed.any()]))


def name_address_tags(plan: ColumnPlan, batch: RowBatch, forms: Mapping[str, Packed], probe_key: bytes) -> U64:
    """The tags of name and address of each row, shape (n,), 0 if a part is missing.

    Of an address the house number and the longest word of the street are compared: the rest is written in many ways, and
    the name makes it one person's.

    Args:
        plan: what the columns hold; an address is recognised by its header.
        batch: n rows.
        forms: normal forms of the rows by role, n each.
        probe_key: of the case.
    """
    at = next((at for at, column in enumerate(plan.columns) if not column.role and _ADDRESS.match(column.name)), None)
    if at is None or not {"surname", "first"} <= forms.keys():
        return np.zeros(len(batch), np.uint64)
    addresses = Packed.of([_short_address(text) for text in batch.column(at).texts()])
    names = pair_packed(forms["surname"], forms["first"])
    return probe_tags(probe_key, Kind.NAME_ADDRESS, join_packed(names, addresses))


def _short_address(text: str) -> bytes:
    """`12 republique` for "12 bis, rue de la République, 69001 Lyon"; b'' if no street is named."""
    found = _STREET.match(fold(text))
    if found is None:
        return b""
    words = [word for word in re.findall(r"[a-z]{2,}", found["street"]) if word not in _STREET_WORDS]
    return f"{found['number'] or ''} {max(words, key=len)}".encode() if words else b""


def tag_reading(reading: Reading, keys: U64, probe_key: bytes) -> TaggedReading:
    """The record keys of another reading; `keys` are those of the first reading of all rows, shape (n, 6)."""
    made = keys_of(probe_key, **reading.forms)
    before = keys[reading.rows]
    changed = (made != 0) & (made != before)
    return TaggedReading(reading, np.where(changed, made, before), changed)


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
