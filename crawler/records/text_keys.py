"""Record keys of people in running text, and which reading of a person counts. Pure.

`crawler.records.running_text` finds the people and their readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crawler.records.column_roles import VALUE_ROLES
from crawler.records.record_keys import TagInputs
from crawler.records.running_text import FoundPerson
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed
from data.hashing.tags import Kind, probe_tags, record_keys
from data.identifiers.normalise_columns import normalise_column

# the order of the parts of a reading
_ROLES = ("surname", "first", "dob", "nir", "email", "phone")


@dataclass(frozen=True, slots=True, eq=False)
class TaggedReadings:
    """All readings of some people, with their tags.

    Attributes:
        keys: shape (n, 6), the record keys of each reading, 0 if a part is missing.
        people: shape (n,), the person of each reading, rising from 0; the first reading of a person is the best.
        certain: shape (p,), whether a person counts even if no reading is known.
        parts: the normal forms by role, n items each.
    """

    keys: U64
    people: I64
    certain: Bools
    parts: dict[str, Packed]

    def choose(self, known: I64) -> I64:
        """The numbers of the readings that count, at most one for each person.

        Of each person that is the reading with most known keys, and of equals the first. People who are neither
        certain nor known have none, nor have people without a key.

        Args:
            known: shape (n,), how many keys of each reading are known.
        """
        order = np.lexsort((np.arange(len(known)), -known, self.people))
        heads = order[np.flatnonzero(np.diff(self.people[order], prepend=-1))]
        keep = (known[heads] > 0) | self.certain[self.people[heads]]
        chosen: I64 = heads[keep & self.keys[heads].any(axis=1)]
        return chosen

    def values(self, probe_key: bytes) -> dict[Kind, U64]:
        """The tags of the single values of each reading, per kind; shape (n,), 0 if it has none."""
        return {
            VALUE_ROLES[role]: probe_tags(probe_key, VALUE_ROLES[role], column)
            for role, column in self.parts.items()
            if role in VALUE_ROLES
        }

    def inputs(self, values: dict[Kind, U64]) -> TagInputs:
        """What was hashed; `values` are the tags that the method of this name made."""
        columns = [(kind, self.parts[role], values[kind]) for role, kind in VALUE_ROLES.items() if kind in values]
        return TagInputs(self.parts, self.keys, columns)


def tag_readings(found: Sequence[FoundPerson], probe_key: bytes) -> TaggedReadings:
    """The tags of all readings of some people, computed for whole columns at a time."""
    rows = [reading for person in found for reading in person.readings]
    columns = list(zip(*rows, strict=True)) or [()] * len(_ROLES)
    parts = {role: normalise_column(role, column) for role, column in zip(_ROLES, columns, strict=True)}
    return TaggedReadings(
        record_keys(probe_key, **parts),
        np.repeat(np.arange(len(found)), [len(person.readings) for person in found]),
        np.array([person.certain for person in found], np.bool_),
        parts,
    )
