"""The rows of a sample that are looked at again, their normal forms kept in bounded room; how is left to `crawler.lineage.typo_search`.

They are of two kinds: people whom no release knows, and people who are known by a key that is no proof alone while
other keys say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crawler.lineage.field_errors import STRONG
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed
from data.releases.people import rows_with_key

MOST = 1024
"""So many people of each kind are kept; a share among them then has a standard error of 1.6 % at most."""
ROLES = ("first", "surname", "dob", "nir", "email", "phone")


class Kept:
    """Normal forms of at most `MOST` rows, chosen by their tags and not by their place."""

    def __init__(self) -> None:
        self._ranks = np.zeros(0, np.uint64)
        self._forms: dict[str, list[bytes]] = {role: [] for role in ROLES}

    def __repr__(self) -> str:
        """How many; normal forms are content of a sample."""
        return f"<{len(self._ranks)} rows kept>"

    def __len__(self) -> int:
        return len(self._ranks)

    def wanted(self, keys: U64) -> I64:
        """Which of these rows, shape (n, 6), are to be kept: numbers of rows, distinct people by their keys."""
        ranks = _rank(keys)
        limit = self._ranks[-1] if len(self._ranks) >= MOST else np.uint64(2**64 - 1)
        rows = np.flatnonzero(ranks < limit)
        rows = rows[np.argsort(ranks[rows], kind="stable")]
        order = ranks[rows]
        fresh = np.ones(len(rows), bool)
        fresh[1:] = order[1:] != order[:-1]
        return rows[fresh & ~np.isin(order, self._ranks)][:MOST]

    def keep(self, keys: U64, forms: Mapping[str, Packed]) -> None:
        """Keep rows that `wanted` named: their keys, shape (m, 6), and normal forms by role, m each."""
        ranks = np.concatenate([self._ranks, _rank(keys)])
        order = np.argsort(ranks, kind="stable")[:MOST]
        for role, held in self._forms.items():
            column = forms.get(role)
            whole = held + (column.to_list() if column is not None else [b""] * len(keys))
            self._forms[role] = [whole[at] for at in order]
        self._ranks = ranks[order]

    def forms(self) -> dict[str, Packed]:
        """The normal forms of the rows kept, by role."""
        return {role: Packed.of(held) for role, held in self._forms.items()}


class Doubtful:
    """What is kept of a sample for a second look.

    Attributes:
        unmatched: people whom no release knows.
        weak: people who are known by weak keys alone (`crawler.lineage.field_errors.WEAK`), and have others that are not known.
    """

    def __init__(self) -> None:
        self.unmatched, self.weak = Kept(), Kept()

    def __repr__(self) -> str:
        return f"<Doubtful {len(self.unmatched)} unmatched, {len(self.weak)} weakly known>"

    def wanted(self, keys: U64, seen: Bools) -> I64:
        """Which rows are to be kept: numbers of rows.

        Args:
            keys: shape (n, 6).
            seen: shape (n, 6), which of them any release holds.
        """
        # whoever is known by a strong key is out of doubt: mostly nearly all, and two columns tell
        sure = np.zeros(len(keys), bool)
        for column in STRONG:
            sure |= seen[:, column]
        rows = np.flatnonzero(~sure)
        rows = rows[rows_with_key(keys[rows])]
        known = rows_with_key(seen[rows])
        lost, weak = rows[~known], rows[known]
        weak = weak[rows_with_key((keys[weak] != 0) & ~seen[weak])]
        return np.concatenate(
            [some[kept.wanted(keys[some])] for some, kept in ((lost, self.unmatched), (weak, self.weak))]
        )

    def keep(self, keys: U64, seen: Bools, forms: Mapping[str, Packed]) -> None:
        """Keep rows that `wanted` named: keys and which are held, shape (m, 6), and normal forms by role, m each."""
        known = rows_with_key(seen)
        for kept, rows in ((self.unmatched, np.flatnonzero(~known)), (self.weak, np.flatnonzero(known))):
            if len(rows):
                kept.keep(keys[rows], {role: column.take(rows) for role, column in forms.items()})


def _rank(keys: U64) -> U64:
    """A number for each row that hangs on its first key alone: as good as drawn by lot, and the same for the same row."""
    first = np.argmax(keys != 0, axis=1)
    picked: U64 = keys[np.arange(len(keys)), first] * np.uint64(0x9E3779B97F4A7C15)
    return picked
