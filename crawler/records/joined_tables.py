"""Joins tables of one sample by a column of record ids: names in one table, numbers of the same people in another. Pure.

A database describes a person in several tables. Without the join their rows have no record key in common, and each
person would count once in every table. Which columns hold record ids is told by their headers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crawler.records.column_roles import KEY_ROLES, ColumnPlan, plan_columns
from crawler.records.row_batch import RowBatch
from data.arrays.array_types import I64
from data.arrays.packed import Packed
from data.identifiers.header_words import id_of_whom
from data.identifiers.normalise_columns import normalise_column

# Rows of earlier tables that are held at most, and the bytes of their cells.
MAX_ROWS, MAX_BYTES = 300_000, 64 * 2**20
# With so many bytes or more it is open whether they are too many, if they were counted in chunks of a file.
BORDER_BYTES = 48 * 2**20
# Of the tables so many are held, the newest ones: each further one is compared with all of them.
MAX_TABLES = 64
# A hostile header names each of its columns an id.
MAX_ID_COLUMNS = 3
# Tables are joined if at least so many of the first rows of the later one, and this share of them, have an id of the
# earlier one; in columns that both tables have, this share of the rows agrees.
LEAST_ROWS, JOINED_SHARE, AGREEING_SHARE = 5, 0.9, 0.8
# A table of so many rows is no short one, as far as its first rows tell.
MANY_ROWS = 200
# A table with the header of an earlier one and so many of its ids is that of another database: a part of a table has others.
REPEATED_SHARE = 0.1
_ROLES = (*KEY_ROLES, "fullname")


@dataclass(frozen=True, slots=True, eq=False)
class _IdCells:
    """The ids of the first rows of a table: the cells without white space around them, and how many are not empty."""

    stripped: list[bytes]
    filled: int

    @classmethod
    def of(cls, cells: Packed) -> _IdCells:
        """The ids in a column."""
        items = cells.to_list()
        return cls([item.strip() for item in items], sum(map(bool, items)))


@dataclass(slots=True, eq=False)
class _KeptTable:
    """Rows of a table with a column of ids, completed from earlier tables; `own` is its header before that."""

    own: Sequence[str]
    header: Sequence[str]
    plan: ColumnPlan
    ids: dict[int, str]
    has_names: bool
    batches: list[RowBatch] = field(default_factory=list)
    _rows: dict[int, dict[bytes, int]] = field(default_factory=dict)
    _columns: dict[int, Packed] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(map(len, self.batches))

    def row_of(self, at: int) -> Mapping[bytes, int]:
        """The number of the row of each id in a column."""
        if at not in self._rows:
            rows = self._rows[at] = {}
            for number, item in enumerate(self.column(at).to_list()):
                if item := item.strip():
                    rows.setdefault(item, number)
        return self._rows[at]

    def find(self, at: int, ids: Packed) -> I64:
        """The number of the row with each id in a column; shape (n,), -1 for none."""
        known = self.row_of(at)
        return np.array([known.get(item.strip(), -1) for item in ids.to_list()], np.int64)

    def has_any(self, cells: Mapping[int, _IdCells]) -> bool:
        """Whether it has any of the ids in the columns of a later table."""
        for at in self.ids:
            known = self.row_of(at).keys()
            for each in cells.values():
                if not known.isdisjoint(each.stripped):
                    return True
        return False

    def find_enough(self, at: int, ids: _IdCells, share: float) -> tuple[I64, I64] | None:
        """The rows of `ids` whose id is in a column, and the rows here that have it; None if they are too few to join.

        Args:
            at: the column of this table.
            ids: cells of a later table.
            share: of its filled cells so many must be known, and `LEAST_ROWS` at least.
        """
        known = self.row_of(at)
        if sum(map(known.__contains__, ids.stripped)) < max(LEAST_ROWS, share * ids.filled):
            return None
        rows = np.array([known.get(item, -1) for item in ids.stripped], np.int64)
        found = np.flatnonzero(rows >= 0)
        return found, rows[found]

    def column(self, at: int) -> Packed:
        """A column of all rows, and an empty cell after the last one."""
        if at not in self._columns:
            self._columns[at] = Packed.concatenated([*(batch.column(at) for batch in self.batches), Packed.empty(1)])
        return self._columns[at]


@dataclass(frozen=True, slots=True, eq=False)
class JoinedTable:
    """How the rows of a table are completed from an earlier one.

    Attributes:
        at: the number of its column of ids.
        header: its own header, and that of the columns that are added.
    """

    at: int
    header: list[str]
    _earlier: _KeptTable
    _earlier_at: int
    _added: tuple[int, ...]
    _width: int

    def apply(self, batch: RowBatch) -> RowBatch:
        """The rows with the columns of the earlier table; empty where it has no row with the id."""
        rows = self._earlier.find(self._earlier_at, batch.column(self.at))
        own = [batch.column(at) for at in range(self._width)]
        return RowBatch((*own, *(self._earlier.column(at).take(rows) for at in self._added)), len(batch))


class EarlierTables:
    """The tables of a sample that have a column of ids, in bounded memory.

    Attributes:
        dropped: whether rows or tables were too many to be held.
    """

    def __init__(self) -> None:
        self.dropped = False
        self._tables: list[_KeptTable] = []
        self._open: _KeptTable | None = None
        self._is_full = False
        self._rows = self._bytes = 0
        # of a chunk of a file: its rows that were to be kept, and the bytes of their cells
        self._offered = np.zeros(2, np.int64)

    def end(self) -> None:
        """The rows of the table that began last are all there; those of the next one are not kept."""
        self._open = None

    def begin(
        self, header: Sequence[str] | None, plan: ColumnPlan, joined: tuple[JoinedTable, ColumnPlan] | None = None
    ) -> None:
        """A table begins; its rows are kept if it has a column of ids and describes people.

        Args:
            header: of the table.
            plan: what its columns hold.
            joined: how its rows are completed, and what their columns hold then; the next table gets all of it.
        """
        self.end()
        ids = _id_columns(header or (), plan)
        if header is not None and ids and not self._is_full and set(_ROLES) & plan.key_places.keys():
            whole, of_whole = (header, plan) if joined is None else (joined[0].header, joined[1])
            self._open = _KeptTable(header, whole, of_whole, ids, _has_names(of_whole))
            self._tables.append(self._open)
            if len(self._tables) > MAX_TABLES:
                self.dropped = True
                oldest = self._tables.pop(0)
                self._rows -= sum(map(len, oldest.batches))
                self._bytes -= sum(batch.nbytes for batch in oldest.batches)

    def keep(self, batch: RowBatch) -> None:
        """Rows of the table that began last, completed."""
        if self._open is None:
            return
        self._offered += (len(batch), batch.nbytes)
        self._rows += len(batch)
        self._bytes += batch.nbytes
        if self._rows > MAX_ROWS or self._bytes > MAX_BYTES:
            self.dropped = self._is_full = True
            self._forget()
            return
        self._open.batches.append(batch)

    def state(self) -> dict[str, Any]:
        """What a chunk of a file has offered, whose only table this is; rows that were too many count until that was noticed."""
        return {"rows": int(self._offered[0]), "bytes": int(self._offered[1]), "dropped": self.dropped}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Count the rows of a chunk."""
        self._offered += (state["rows"], state["bytes"])
        rows, size = self._offered.tolist()
        self.dropped |= state["dropped"] or rows > MAX_ROWS or size > MAX_BYTES

    @property
    def has_doubt(self) -> bool:
        """Whether it cannot be told if the rows of chunks are too many: bytes of rows that came in one piece count twice."""
        rows, size = self._offered.tolist()
        return rows <= MAX_ROWS and BORDER_BYTES <= size <= 2 * MAX_BYTES

    def join(self, header: Sequence[str] | None, plan: ColumnPlan, first: RowBatch) -> JoinedTable | None:
        """How a table is completed; None if no earlier one has the same ids and more about the same people.

        The tables of several databases have the same ids for different people. Where the first table of another database
        is seen, all earlier ones are forgotten.

        Args:
            header: of the table, as that of `first`.
            plan: what its columns hold.
            first: its first rows.
        """
        if header is None or not set(_ROLES) & plan.key_places.keys():
            return None
        ids = _id_columns(header, plan)
        if not ids or not self._tables:
            return None
        cells = {at: _IdCells.of(first.column(at)) for at in ids}
        if all(each.filled < LEAST_ROWS for each in cells.values()):
            return None
        # most earlier tables have none of the ids, and are not looked at again
        near = [earlier for earlier in self._tables if earlier.has_any(cells)]
        if any(_is_of_another_database(header, ids, cells, plan, first, earlier) for earlier in near):
            self._forget()
            return None
        has_names = _has_names(plan)
        missing = [role for role in _ROLES if not _has_role(plan, role)]
        for at, whose in ids.items():
            for earlier in reversed(near):
                for earlier_at, earlier_whose in earlier.ids.items():
                    if not _are_same_ids((whose, has_names), (earlier_whose, earlier.has_names)):
                        continue
                    if not whose and not earlier_whose and 2 * len(first) < min(MANY_ROWS, earlier.rows):
                        # both count from 1: a short table beside a long one is of other people
                        continue
                    added = tuple(number for role in missing for number in earlier.plan.key_places.get(role, ()))
                    if added and _agree(cells[at], first, plan, earlier, earlier_at):
                        width = len(plan.columns)
                        words = [*header, *[""] * width][:width]
                        words += [earlier.header[number] if number < len(earlier.header) else "" for number in added]
                        return JoinedTable(at, words, earlier, earlier_at, added, width)
        return None

    def _forget(self) -> None:
        self.end()
        self._tables.clear()
        self._rows = self._bytes = 0


def _id_columns(header: Sequence[str], plan: ColumnPlan) -> dict[int, str]:
    """The columns of ids and whose ids they are, those of a kind of person first."""
    found = {
        at: whose
        for at, column in enumerate(plan.columns[: len(header)])
        if not column.role and (whose := id_of_whom(header[at])) is not None
    }
    return dict(sorted(found.items(), key=lambda item: not item[1])[:MAX_ID_COLUMNS])


def _are_same_ids(one: tuple[str, bool], other: tuple[str, bool]) -> bool:
    """Whether two columns may hold the same ids: `id` of the table with the names stands for a patient's id.

    Args:
        one: whose ids those of one column are, and whether its table has names.
        other: the same of the other column.
    """
    (whose, has_names), (other_whose, other_has_names) = one, other
    if whose == other_whose:
        return True
    return has_names if not whose else other_has_names if not other_whose else False


def _has_names(plan: ColumnPlan) -> bool:
    return any(_has_role(plan, role) for role in ("first", "surname", "fullname"))


def _has_role(plan: ColumnPlan, role: str) -> bool:
    names = {"first", "surname", "fullname"}
    if role in names and "fullname" in plan.key_places:
        return True
    return role in plan.key_places or (role == "fullname" and bool(names & plan.key_places.keys()))


def _is_of_another_database(
    header: Sequence[str],
    ids: Mapping[int, str],
    cells: Mapping[int, _IdCells],
    plan: ColumnPlan,
    first: RowBatch,
    earlier: _KeptTable,
) -> bool:
    """Whether a table has the columns of an earlier one and ids of it for other people.

    A table that was exported in parts has its own ids in each part, and one that stands there twice has the same people.
    """
    if ids != earlier.ids or list(header) != list(earlier.own):
        return False
    for at in ids:
        both = earlier.find_enough(at, cells[at], REPEATED_SHARE)
        if both is None or _say_the_same(first, plan, earlier, *both) is True:
            return False
    return True


def _agree(ids: _IdCells, first: RowBatch, plan: ColumnPlan, earlier: _KeptTable, earlier_at: int) -> bool:
    """Whether nearly all first rows of a table have an id of an earlier one, and say the same where both say something."""
    both = earlier.find_enough(earlier_at, ids, JOINED_SHARE)
    return both is not None and _say_the_same(first, plan, earlier, *both) is not False


def _say_the_same(first: RowBatch, plan: ColumnPlan, earlier: _KeptTable, rows: I64, of_earlier: I64) -> bool | None:
    """Whether rows of two tables say the same of people in the columns that both have; None if that cannot be told."""
    told = None
    for role in KEY_ROLES:
        if role not in plan.key_places or role not in earlier.plan.key_places:
            continue
        own = normalise_column(role, first.column(plan.key_places[role][0]).take(rows)).to_list()
        held = normalise_column(role, earlier.column(earlier.plan.key_places[role][0]).take(of_earlier)).to_list()
        both = [one == other for one, other in zip(own, held, strict=True) if one and other]
        if len(both) >= LEAST_ROWS:
            if sum(both) < AGREEING_SHARE * len(both):
                return False
            told = True
    return told


def plan_joined(joined: JoinedTable, first: RowBatch, rows: int) -> ColumnPlan:
    """What the columns of a joined table hold, by so many of its first rows."""
    return plan_columns(joined.header, joined.apply(first).sample(rows))
