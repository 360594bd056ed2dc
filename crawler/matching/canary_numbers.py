"""Numbers the canaries of a watch-list, so that hits are counted in arrays, and collects the numbers of those that hit.

The canaries of one client have numbers next to each other: what is counted for each client is a part of an array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, U8, U64, Bools
from data.errors import StoreError

# So many numbers are collected before repeated ones are dropped.
_MAX_UNSORTED = 1 << 18
# So many canaries of the watch-list for each that hit take less time in an array of all than sorting would.
_MAX_SPARSE = 128
# The bits of a number, beside the number of a row in one 64-bit word: 68 billion canaries, and rows of one batch.
_NUMBER_BITS = 36


class CanaryOwners(Protocol):
    """The watch-list, as matching uses it: the clients to which confirmed tags belong."""

    def resolve(self, tags: U64, digests: U8, kinds: U8, *, passed_over: Bools | None = None) -> tuple[I64, U64]:
        """See `data.case.watchlist.Watchlist.resolve`."""
        ...

    def bundles(self) -> Sequence[Mapping[str, Any]]:
        """See `data.case.watchlist.Watchlist.bundles`: `id`, `client` and the number of `canaries` of each."""
        ...


class CanaryNumbers:
    """The numbers of the canaries of one watch-list: from 0, by client, then by bundle.

    Nothing is computed before the first hit, so that a sample without hits costs nothing here.

    Attributes:
        owners: the watch-list.
    """

    def __init__(self, owners: CanaryOwners) -> None:
        self.owners = owners

    @cached_property
    def _layout(self) -> tuple[list[str], I64, list[str], I64, I64, I64]:
        """Clients in order, the first number of each and the end; ids of bundles, their sizes, first numbers, order."""
        bundles = self.owners.bundles()
        clients = sorted({str(bundle["client"]) for bundle in bundles})
        place = {client: at for at, client in enumerate(clients)}
        client_of = np.array([place[str(bundle["client"])] for bundle in bundles], np.int64)
        sizes = np.array([bundle["canaries"] for bundle in bundles], np.int64)
        order = np.argsort(client_of, kind="stable")
        ends = np.concatenate([[0], np.cumsum(sizes[order])])
        firsts = np.zeros(len(bundles), np.int64)
        firsts[order] = ends[:-1]
        borders = ends[np.searchsorted(client_of[order], np.arange(len(clients) + 1))]
        return clients, borders, [str(bundle["id"]) for bundle in bundles], sizes, firsts, order

    @property
    def clients(self) -> list[str]:
        """The ids of all clients in order."""
        return self._layout[0]

    @property
    def borders(self) -> I64:
        """The first number of each client's canaries, and after the last client the number of all canaries."""
        return self._layout[1]

    def __len__(self) -> int:
        """The number of all canaries, also of those that were retired."""
        return int(self.borders[-1])

    def of_codes(self, codes: U64) -> I64:
        """The numbers of canaries that are given by bundle number << 32 | canary number; shape (n,) both.

        Raises:
            StoreError: a canary is outside of its bundle.
        """
        _, _, ids, sizes, firsts, _ = self._layout
        bundles, within = (codes >> np.uint64(32)).astype(np.int64), (codes & np.uint64(0xFFFFFFFF)).astype(np.int64)
        if len(codes) and (int(bundles.max()) >= len(ids) or (within >= sizes[bundles]).any()):
            raise StoreError(
                "the watch-list is damaged: it holds a canary that its bundle does not have",
                hint="restore watchlist/ from a backup, or import the bundles again",
            )
        numbers: I64 = firsts[bundles] + within
        return numbers

    def codes(self, numbers: I64) -> U64:
        """The inverse of `of_codes`."""
        _, _, _, _, firsts, order = self._layout
        # of bundles without canaries, which begin at the same number, the last one has it
        bundles = order[np.searchsorted(firsts[order], numbers, side="right") - 1]
        return bundles.astype(np.uint64) << np.uint64(32) | (numbers - firsts[bundles]).astype(np.uint64)

    def any_planted(self, numbers: I64) -> bool:
        """Whether any of some canaries is planted."""
        planted = self._is_planted
        return bool(planted.any() and planted[(self.codes(numbers) >> np.uint64(32)).astype(np.int64)].any())

    @cached_property
    def _is_planted(self) -> Bools:
        """Whether the canaries of each bundle are planted, by its number."""
        return np.array([bool(bundle.get("planted", False)) for bundle in self.owners.bundles()], np.bool_)

    def bundle_of(self, bundle: int) -> str:
        """The id of a bundle, given by its number."""
        return self._layout[2][bundle]

    def clients_of(self, numbers: I64) -> I64:
        """The places in `clients` of the owners of canaries; shape (n,) both."""
        return self._owner_of[numbers].astype(np.int64)

    @cached_property
    def _owner_of(self) -> NDArray[Any]:
        """The place of each canary's client: two bytes a canary, looked up in a tenth of the time of a search."""
        places = np.arange(len(self.clients), dtype=np.uint16 if len(self.clients) <= 2**16 else np.uint32)
        return np.repeat(places, np.diff(self.borders))

    def count_by_client(self, numbers: I64) -> I64:
        """How many of some canaries, given by rising numbers, each client has; in the order of `clients`."""
        return np.diff(np.searchsorted(numbers, self.borders))

    def hits_of_people(self, numbers: I64, rows: I64, values: I64) -> I64:
        """The hits whose canaries the rows are about.

        A value that several people of a client share, as the telephone of a household, hits all of them, although the
        row is about one. So a row is about each canary that a value of its own confirms. Where all values are shared,
        it is about the canary that most of them confirm, and of equals the one with the lowest number.

        Args:
            numbers: shape (n,), the canary of each hit.
            rows: shape (n,), its row, less than 2**27.
            values: shape (n,), the number of its value, not negative.

        Returns:
            Places of hits, shape (m,), m <= n; the same canary may occur several times.
        """
        if not len(numbers):
            return np.zeros(0, np.int64)
        # most rows have a value of their own and hits of one client: they are about the canaries of such values
        clients = self.clients_of(numbers)
        is_own = np.bincount(values)[values] == 1
        owner_of = np.full(int(rows.max()) + 1, -1, np.int64)
        owner_of[rows[is_own]] = clients[is_own]
        is_open = np.zeros(len(owner_of), np.bool_)
        is_open[rows[owner_of[rows] != clients]] = True
        to_judge = is_open[rows]
        judged = np.flatnonzero(to_judge)
        judged = judged[self._judged(numbers[judged], rows[judged], values[judged])]
        return np.concatenate([np.flatnonzero(is_own & ~to_judge), judged])

    def _judged(self, numbers: I64, rows: I64, values: I64) -> I64:
        """`hits_of_people`, without the short cut."""
        if not len(numbers):
            return np.zeros(0, np.int64)
        # hits of one row and canary next to each other
        order = np.argsort(rows << _NUMBER_BITS | numbers)
        numbers, rows, values = numbers[order], rows[order], values[order]
        clients = self.clients_of(numbers)
        pair_starts = _starts(rows, numbers)
        is_own = self._are_own(values, clients)
        numbers, rows, clients = numbers[pair_starts], rows[pair_starts], clients[pair_starts]
        has_own = np.logical_or.reduceat(is_own, pair_starts)
        # one group for each row and client; in it the canaries with values of their own, or else the best one
        sizes = np.diff(pair_starts, append=len(values))
        group_starts = _starts(rows, clients)
        group_of = np.repeat(np.arange(len(group_starts)), np.diff(group_starts, append=len(numbers)))
        best = np.flatnonzero(sizes == np.maximum.reduceat(sizes, group_starts)[group_of])
        best = best[np.diff(group_of[best], prepend=-1) > 0]
        chosen = has_own.copy()
        chosen[best[~np.logical_or.reduceat(has_own, group_starts)]] = True
        return order[pair_starts[chosen]]

    def _are_own(self, values: I64, clients: I64) -> Bools:
        """Which hits are of values that confirm one canary of their client only."""
        order = np.argsort(values * len(self.clients) + clients)
        starts = _starts(values[order], clients[order])
        sizes = np.diff(starts, append=len(values))
        own = np.zeros(len(values), np.bool_)
        own[order[starts[sizes == 1]]] = True
        return own


def _starts(one: I64, other: I64) -> I64:
    """Where runs of equal pairs begin; n >= 1."""
    begins = np.ones(len(one), np.bool_)
    begins[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return np.flatnonzero(begins)


class MarkedCanaries:
    """A set of canaries by number, each with marks; takes a byte a canary of the watch-list at most."""

    def __init__(self) -> None:
        self._numbers, self._marks = np.zeros(0, np.int64), np.zeros(0, np.uint8)
        self._waiting: list[tuple[I64, U8]] = []
        self._unsorted = 0
        # the marks of all canaries, once so many have one that this needs less memory
        self._dense: U8 | None = None

    def __bool__(self) -> bool:
        """Whether any canary has a mark."""
        return self._dense is not None or bool(self._unsorted or len(self._numbers))

    def add(self, numbers: I64, marks: int | U8, total: int) -> None:
        """Set marks (bits) of some canaries, whose numbers are less than `total`: the same for all, or shape (n,)."""
        if self._dense is not None:
            if isinstance(marks, int):
                self._dense[numbers] |= np.uint8(marks)
                return
            # a canary may occur several times: each set of marks is set for itself
            for each in np.flatnonzero(np.bincount(marks, minlength=1)).tolist():
                self._dense[numbers[marks == each]] |= np.uint8(each)
            return
        self._waiting.append((numbers, np.broadcast_to(np.uint8(marks), numbers.shape)))
        self._unsorted += len(numbers)
        if self._unsorted > _MAX_UNSORTED + len(self._numbers):
            self._sort()
            if total <= _MAX_SPARSE * len(self._numbers):
                self._dense = np.zeros(total, np.uint8)
                self._dense[self._numbers] = self._marks
                self._numbers, self._marks = np.zeros(0, np.int64), np.zeros(0, np.uint8)

    def state(self) -> dict[str, Any]:
        """The canaries that have a mark."""
        numbers, marks = self.sorted()
        return {"numbers": numbers, "marks": marks}

    def add_state(self, state: Mapping[str, Any], total: int) -> None:
        """Set the marks of a `state` as well."""
        self.add(state["numbers"], state["marks"], total)

    def sorted(self) -> tuple[I64, U8]:
        """The rising numbers of all canaries that have a mark, and the marks of each."""
        if self._dense is not None:
            numbers = np.flatnonzero(self._dense)
            return numbers, self._dense[numbers]
        self._sort()
        return self._numbers, self._marks

    def _sort(self) -> None:
        if not self._unsorted:
            return
        numbers = np.concatenate([self._numbers, *(numbers for numbers, _ in self._waiting)])
        marks = np.concatenate([self._marks, *(marks for _, marks in self._waiting)])
        order = np.argsort(numbers, kind="stable")
        numbers = numbers[order]
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        self._numbers, self._marks = numbers[starts], np.bitwise_or.reduceat(marks[order], starts)
        self._waiting, self._unsorted = [], 0
