"""The rows of a sample that are uncertain, with their normal forms, in bounded memory.

`crawler.lineage.typo_search` looks them up again with one typing error undone. There are three sorts: people whom no
release knows, people who are known only by a key that proves nothing by itself while other keys contradict it, and people
who have nothing but a telephone or a mailbox by which they are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from crawler.lineage.field_errors import STRONG_COLUMNS
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed
from data.hashing.tags import RECORD_KINDS, Kind
from data.releases.people import rows_with_key

MAX_HELD = 1024
"""So many people of each sort are held at most; a share of them then has a standard error of 1.6 % at most."""
ROLES = ("first", "surname", "dob", "nir", "email", "phone")
# Four people on each number: households are smaller.
_LEAST_VALUES_PER_OWNER = 0.25
# Keys of people who have more than a telephone or a mailbox.
_BEYOND_CONTACTS = [at for at, kind in enumerate(RECORD_KINDS) if kind not in (Kind.EMAIL_FIRST, Kind.PHONE_FIRST)]


class HeldRows:
    """Normal forms of at most `MAX_HELD` rows, which are chosen by their tags and not by their position."""

    def __init__(self) -> None:
        self._ranks = np.zeros(0, np.uint64)
        self._forms: dict[str, list[bytes]] = {role: [] for role in ROLES}

    def __repr__(self) -> str:
        """The number of rows only: normal forms are content of a sample."""
        return f"<HeldRows {len(self._ranks)}>"

    def __len__(self) -> int:
        return len(self._ranks)

    def select(self, keys: U64) -> I64:
        """The numbers of the rows that should be held, one row for each distinct person.

        Args:
            keys: shape (n, 6), each row with a key.
        """
        ranks = _rank(keys)
        limit = self._ranks[-1] if len(self._ranks) >= MAX_HELD else np.uint64(2**64 - 1)
        rows = np.flatnonzero(ranks < limit)
        rows = rows[np.argsort(ranks[rows], kind="stable")]
        order = ranks[rows]
        is_first = np.ones(len(rows), bool)
        is_first[1:] = order[1:] != order[:-1]
        return rows[is_first & ~np.isin(order, self._ranks)][:MAX_HELD]

    def add(self, keys: U64, forms: Mapping[str, Packed]) -> None:
        """Hold rows that `select` chose.

        Args:
            keys: shape (m, 6).
            forms: m normal forms by role.
        """
        ranks = np.concatenate([self._ranks, _rank(keys)])
        order = np.argsort(ranks, kind="stable")[:MAX_HELD]
        for role, held in self._forms.items():
            column = forms.get(role)
            whole = held + (column.to_list() if column is not None else [b""] * len(keys))
            self._forms[role] = [whole[at] for at in order]
        self._ranks = ranks[order]

    def forms(self) -> dict[str, Packed]:
        """The normal forms of the held rows, by role."""
        return {role: Packed.of(held) for role, held in self._forms.items()}

    def values_per_owner(self, role: str, owners: int) -> float:
        """How many different values of a role there are for each person who has one; at most 1, since relatives share.

        Args:
            role: `nir`, `email` or `phone`.
            owners: people of the whole sample who have a value. If not all of them are held, a pair who share a value
                is held with the square of the probability with which a person is.
        """
        values = [value for value in self._forms[role] if value]
        if not values:
            return 1.0
        shared = sum(count * (count - 1) / 2 for count in Counter(values).values())
        if owners <= len(values):
            return len(set(values)) / len(values)
        return max(_LEAST_VALUES_PER_OWNER, 1 - shared * (owners / len(values)) ** 2 / owners)

    def state(self) -> dict[str, Any]:
        """The held rows."""
        return {"ranks": self._ranks, "forms": {role: packed.state() for role, packed in self.forms().items()}}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Hold the rows of a `state` as well, as if they had come behind those that are held."""
        new = np.flatnonzero(~np.isin(state["ranks"], self._ranks))
        ranks = np.concatenate([self._ranks, state["ranks"][new]])
        order = np.argsort(ranks, kind="stable")[:MAX_HELD]
        for role, held in self._forms.items():
            whole = held + Packed.from_state(state["forms"][role]).take(new).to_list()
            self._forms[role] = [whole[at] for at in order]
        self._ranks = ranks[order]


class UncertainRows:
    """The uncertain rows of a sample.

    Attributes:
        unmatched: people whom no release knows.
        weakly_known: people who are known by weak keys alone (`crawler.lineage.field_errors.WEAK_KINDS`) and also have
            keys that are not known.
        reached: people who are known by a telephone or a mailbox and have nothing else.
    """

    def __init__(self) -> None:
        self.unmatched, self.weakly_known, self.reached = HeldRows(), HeldRows(), HeldRows()

    def __repr__(self) -> str:
        return f"<UncertainRows {len(self.unmatched)} unmatched, {len(self.weakly_known)} weakly known>"

    def state(self) -> dict[str, Any]:
        """All rows."""
        return {name: held.state() for name, held in self._all().items()}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Add the rows of a `state`, as if they had come behind those that are here."""
        for name, held in self._all().items():
            held.add_state(state[name])

    def select(self, keys: U64, held: Bools) -> I64:
        """The numbers of the rows that should be kept.

        Args:
            keys: shape (n, 6).
            held: shape (n, 6), which of them any release holds.
        """
        # a person known by a strong key is certain: mostly nearly all are, and two columns show it
        certain = np.zeros(len(keys), bool)
        for column in STRONG_COLUMNS:
            certain |= held[:, column]
        rows = np.flatnonzero(~certain)
        rows = rows[rows_with_key(keys[rows])]
        sorts = [(kept, rows[which]) for kept, which in self._sorted(keys[rows], held[rows])]
        return np.unique(np.concatenate([some[kept.select(keys[some])] for kept, some in sorts]))

    def add(self, keys: U64, held: Bools, forms: Mapping[str, Packed]) -> None:
        """Keep rows that `select` chose.

        Args:
            keys: shape (m, 6).
            held: shape (m, 6), which of them any release holds.
            forms: m normal forms by role.
        """
        for kept, rows in self._sorted(keys, held):
            if len(chosen := rows[kept.select(keys[rows])]):
                kept.add(keys[chosen], {role: column.take(chosen) for role, column in forms.items()})

    def _all(self) -> dict[str, HeldRows]:
        return {"unmatched": self.unmatched, "weakly_known": self.weakly_known, "reached": self.reached}

    def _sorted(self, keys: U64, held: Bools) -> Iterator[tuple[HeldRows, I64]]:
        """Each sort with its rows, of rows that no strong key proves."""
        known = rows_with_key(held)
        yield self.unmatched, np.flatnonzero(~known)
        yield self.weakly_known, np.flatnonzero(known & rows_with_key((keys != 0) & ~held))
        yield self.reached, np.flatnonzero(known & ~rows_with_key(keys[:, _BEYOND_CONTACTS] != 0))


def _rank(keys: U64) -> U64:
    """A number for each row that depends on its first key alone: as good as random, and the same for the same row."""
    first = np.argmax(keys != 0, axis=1)
    picked: U64 = keys[np.arange(len(keys)), first] * np.uint64(0x9E3779B97F4A7C15)
    return picked
