"""Rows of a sample that are held in memory until its end, to judge whether it is genuine.

At most `MAX_ROWS` rows are held, chosen by their tags and not by their position. Nothing of them is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crawler.records.column_roles import ColumnPlan
from crawler.records.row_batch import RowBatch
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed
from data.hashing.tags import RECORD_KINDS
from data.identifiers.normalise import nir, nir_valid_key

MAX_ROWS = 128
"""So many rows are judged at most; a share of them has a standard error of 4.4 % at most."""
ROLES = ("surname", "first", "dob", "nir", "email", "phone")
NO_KEY, RIGHT_KEY, WRONG_KEY = 0, 1, 2
"""What is known of the control key of a social security number."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
# digits of a social security number with its key
_WITH_KEY = 15


class AuthenticityRows:
    """Normal forms, record keys and facts of format of at most `MAX_ROWS` rows, one for each person."""

    def __init__(self) -> None:
        self._ranks = np.zeros(0, np.uint64)
        self.keys = np.zeros((0, len(RECORD_KINDS)), np.uint64)
        """Shape (n, 6), the record keys of each row."""
        self.held = np.zeros((0, len(RECORD_KINDS)), np.bool_)
        """Shape (n, 6), which of them any release holds."""
        self.nir_keys: NDArray[np.int8] = np.zeros(0, np.int8)
        """Shape (n,), `NO_KEY`, `RIGHT_KEY` or `WRONG_KEY`."""
        self._forms: dict[str, list[bytes]] = {role: [] for role in ROLES}

    def __repr__(self) -> str:
        """The number of rows only: normal forms are content of a sample."""
        return f"<AuthenticityRows {len(self._ranks)}>"

    def __len__(self) -> int:
        return len(self._ranks)

    def select(self, keys: U64) -> I64:
        """The numbers of the rows that should be held.

        Args:
            keys: shape (n, 6), 0 where a row has no such key.
        """
        ranks = _rank(keys)
        limit = self._ranks[-1] if len(self._ranks) >= MAX_ROWS else np.uint64(2**64 - 1)
        rows = np.flatnonzero((ranks != 0) & (ranks < limit))
        rows = rows[np.argsort(ranks[rows], kind="stable")]
        order = ranks[rows]
        is_first = np.ones(len(rows), np.bool_)
        is_first[1:] = order[1:] != order[:-1]
        if len(self._ranks):
            places = np.minimum(np.searchsorted(self._ranks, order), len(self._ranks) - 1)
            is_first &= self._ranks[places] != order
        return rows[is_first][:MAX_ROWS]

    def add(self, keys: U64, held: Bools, forms: Mapping[str, Packed], nir_keys: NDArray[np.int8]) -> None:
        """Hold rows that `select` chose.

        Args:
            keys: shape (m, 6).
            held: shape (m, 6), which of them any release holds.
            forms: m normal forms by role, without placeholders.
            nir_keys: shape (m,), from `check_nir_keys`.
        """
        ranks = np.concatenate([self._ranks, _rank(keys)])
        order = np.argsort(ranks, kind="stable")[:MAX_ROWS]
        self._ranks = ranks[order]
        self.keys = np.concatenate([self.keys, keys])[order]
        self.held = np.concatenate([self.held, held])[order]
        self.nir_keys = np.concatenate([self.nir_keys, nir_keys])[order]
        for role, kept in self._forms.items():
            column = forms.get(role)
            whole = kept + (column.to_list() if column is not None else [b""] * len(keys))
            self._forms[role] = [whole[at] for at in order]

    def forms(self) -> dict[str, Packed]:
        """The normal forms of the held rows, by role."""
        return {role: Packed.of(held) for role, held in self._forms.items()}

    def state(self) -> dict[str, Any]:
        """The held rows."""
        forms = {role: packed.state() for role, packed in self.forms().items()}
        return {"keys": self.keys, "held": self.held, "nir_keys": self.nir_keys, "forms": forms}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Hold the rows of a `state` as well, as if they had come behind those that are held."""
        new = np.flatnonzero(~np.isin(_rank(state["keys"]), self._ranks))
        forms = {role: Packed.from_state(packed).take(new) for role, packed in state["forms"].items()}
        self.add(state["keys"][new], state["held"][new], forms, state["nir_keys"][new])


def check_nir_keys(plan: ColumnPlan, batch: RowBatch, rows: I64) -> NDArray[np.int8]:
    """Whether the social security numbers of some rows came with a control key, and whether it is right; shape (m,)."""
    found = np.zeros(len(rows), np.int8)
    places = plan.key_places.get("nir", ())
    if not places:
        return found
    for at, text in enumerate(batch.column(places[0]).take(rows).texts()):
        if sum(map(str.isalnum, text)) == _WITH_KEY and nir(text):
            found[at] = RIGHT_KEY if nir_valid_key(text) else WRONG_KEY
    return found


def _rank(keys: U64) -> U64:
    """A number for each row, as good as random and the same for the same row; 0 without a key. Shape (n,)."""
    ranks: U64 = keys.max(axis=1, initial=0) * _SPREAD
    return ranks
