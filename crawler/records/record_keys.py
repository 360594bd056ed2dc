"""Rows of typed columns to value tags and record keys. Pure; which column holds what is `crawler.records.column_roles`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from crawler.records.column_roles import KEY_ROLES, VALUE_ROLES, Plan
from crawler.records.table_sample import TableSample
from data.arrays.packed import Packed, join_packed, pair_packed
from data.errors import WireError
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags
from data.hashing.tags import record_keys as keys_of
from data.identifiers.normalise_columns import normalise_column

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
MAX_COLUMNS = 1 << 16
MAX_ROWS = 1 << 20


class Cells(Sequence[Packed]):
    """Columns of rows that lie in one piece, each put together when it is first asked for."""

    def __init__(self, blob: U8, starts: U32, ends: U32) -> None:
        """Cells of shape (rows, columns), from `starts` to `ends` in the blob."""
        self._blob, self._starts, self._ends = blob, starts, ends
        self._made: dict[int, Packed] = {}
        self._whole: TableSample | None = None

    def __len__(self) -> int:
        return int(self._starts.shape[1])

    @overload
    def __getitem__(self, at: int) -> Packed: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Packed]: ...
    def __getitem__(self, at: int | slice) -> Packed | Sequence[Packed]:
        """One column, or some."""
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        if at not in self._made:
            whole = self._whole
            self._made[at] = (
                Packed.gathered(self._blob, self._starts, self._ends, at) if whole is None else whole.column(at)
            )
        return self._made[at]

    def sample(self, rows: int) -> TableSample:
        """The first rows; where these are all, their columns serve here as well."""
        sample = TableSample.of_cells(self._blob, self._starts[:rows], self._ends[:rows])
        if rows == len(self._starts):
            self._whole = sample
        return sample

    def rows(self, chosen: slice | NDArray[np.int64]) -> Cells:
        """The same columns of some rows, in the order given."""
        return Cells(self._blob, np.ascontiguousarray(self._starts[chosen]), np.ascontiguousarray(self._ends[chosen]))


@dataclass(frozen=True, slots=True, eq=False)
class RowBatch:
    """Rows of one table as columns of UTF-8 cells."""

    columns: Sequence[Packed]
    rows: int

    def __repr__(self) -> str:
        """Its shape; cells are content of a sample."""
        return f"<RowBatch {self.rows} rows, {len(self.columns)} columns>"

    def __len__(self) -> int:
        return self.rows

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> RowBatch:
        """From rows of cells; short rows are filled up with empty cells."""
        width = max((len(row) for row in rows), default=0)
        return cls(
            tuple(Packed.of([row[at].encode() if at < len(row) else b"" for row in rows]) for at in range(width)),
            len(rows),
        )

    @classmethod
    def from_frame(cls, payload: bytes) -> RowBatch:
        """From the payload of an `R` frame, every number of which is checked.

        Raises:
            WireError: it is not a frame that an honest reader makes.
        """
        if len(payload) < 8:
            raise WireError("a row frame without its numbers")
        rows, width = struct.unpack_from("<II", payload)
        if rows > MAX_ROWS or width > MAX_COLUMNS or 4 * width * (rows + 1) > len(payload):
            raise WireError("a row frame claims more than it holds")
        at = 8
        columns = []
        whole = np.frombuffer(payload, np.uint8)
        for _ in range(width):
            end = at + 4 * (rows + 1)
            if end > len(payload):
                raise WireError("a row frame ends inside its offsets")
            offsets = np.frombuffer(payload, "<u4", rows + 1, at).astype(np.int64)
            size = int(offsets[-1])
            if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any() or end + size > len(payload):
                raise WireError("a row frame has offsets that lead nowhere")
            columns.append(Packed(whole[end : end + size], offsets))
            at = end + size
        if at != len(payload):
            raise WireError("a row frame is longer than its rows")
        return cls(tuple(columns), rows)

    @classmethod
    def from_cells(cls, payload: bytes) -> RowBatch:
        """From the payload of a `C` frame, every number of which is checked.

        Raises:
            WireError: it is not a frame that an honest reader makes.
        """
        if len(payload) < 8:
            raise WireError("a frame of cells without its numbers")
        rows, width = struct.unpack_from("<II", payload)
        count = rows * width
        blob = len(payload) - 8 - 8 * count
        if rows > MAX_ROWS or width > MAX_COLUMNS or blob < 0:
            raise WireError("a frame of cells claims more than it holds")
        starts = np.frombuffer(payload, "<u4", count, 8)
        ends = np.frombuffer(payload, "<u4", count, 8 + 4 * count)
        if count and ((starts > ends).any() or int(ends.max()) > blob):
            raise WireError("a frame of cells has places that lead nowhere")
        return cls(
            Cells(
                np.frombuffer(payload, np.uint8, blob, 8 + 8 * count),
                starts.reshape(rows, width),
                ends.reshape(rows, width),
            ),
            rows,
        )

    def to_frame(self) -> bytes:
        """The payload of an `R` frame; the inverse of `from_frame`."""
        parts = [struct.pack("<II", self.rows, len(self.columns))]
        for column in self.columns:
            parts += [column.offsets.astype("<u4").tobytes(), column.blob.tobytes()]
        return b"".join(parts)

    def column(self, at: int) -> Packed:
        """One column; one that this batch does not have is empty."""
        return self.columns[at] if at < len(self.columns) else Packed.empty(self.rows)

    def cell(self, row: int, column: int) -> str:
        """One cell; '' where this batch has no such column."""
        return self.columns[column].text(row) if column < len(self.columns) else ""

    def sample(self, rows: int) -> TableSample:
        """The first rows, as many as there are, to judge the columns by."""
        rows = min(rows, self.rows)
        if isinstance(self.columns, Cells):
            return self.columns.sample(rows)
        return TableSample.of_columns([column.part(0, rows) for column in self.columns], rows)

    def lines(self) -> bytes:
        """All rows as lines of text, cells divided by semicolons."""
        columns = [column.to_list() for column in self.columns]
        return b"".join([b" ; ".join(row) + b"\n" for row in zip(*columns, strict=True)])

    def take(self, rows: NDArray[np.int64]) -> RowBatch:
        """Some rows, in the order given."""
        if isinstance(self.columns, Cells):
            return RowBatch(self.columns.rows(rows), len(rows))
        return RowBatch(tuple(column.take(rows) for column in self.columns), len(rows))

    def drop(self, count: int) -> RowBatch:
        """Without the first rows."""
        if isinstance(self.columns, Cells):
            return RowBatch(self.columns.rows(slice(count, None)), self.rows - count)
        return RowBatch(tuple(column.part(count) for column in self.columns), self.rows - count)


# --- tags of rows ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class RowTags:
    """Tags of a batch.

    Attributes:
        keys: shape (n, 6), the record keys of each row, 0 where a part is missing.
        extra_keys: shape (m,), further record keys of rows with several values of one role; extra_rows: their rows.
        values: per kind, rows and value tags, both shape (k,), absent ones left out.
    """

    keys: U64
    extra_keys: U64
    extra_rows: NDArray[np.int64]
    values: dict[Kind, tuple[NDArray[np.int64], U64]]


def split_name(text: str) -> list[tuple[str, str]]:
    """(surname, first) readings of a full name: by comma, by capitals, else both orders."""
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


class Forms:
    """Normal forms of the columns of some rows, each made once."""

    def __init__(self, column: Callable[[int], Packed]) -> None:
        """`column` gives the cells of a column by its number."""
        self.column = column
        self._made: dict[tuple[str, int], Packed] = {}

    def of(self, role: str, at: int) -> Packed:
        """The normal form of every cell of a column, in the sense of a role."""
        if (role, at) not in self._made:
            self._made[role, at] = normalise_column(role, self.column(at))
        return self._made[role, at]


def readings(plan: Plan, count: int, forms: Forms) -> Iterator[dict[str, Packed]]:
    """Columns in normal form, one dict for the first reading and one for every other column of a role in its place."""
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


def tag_rows(plan: Plan, batch: RowBatch, probe_key: bytes) -> RowTags:
    """The tags of every row of a batch, whole columns at a time."""
    forms = Forms(batch.column)
    # the reading with all of the plan's own columns is the widest one
    found_readings = sorted(readings(plan, len(batch), forms), key=len, reverse=True)
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


def row_inputs(plan: Plan, batch: RowBatch) -> list[tuple[Kind, Packed]]:
    """Kinds and normal forms of everything that `tag_rows` tags: what confirm digests are made of.

    Returns:
        Columns with an item for each row, empty where a row has none; a value may stand in several of them.
    """
    forms = Forms(batch.column)
    inputs = [column for parts in readings(plan, len(batch), forms) for column in record_columns(parts)]
    for role, kind in VALUE_ROLES.items():
        inputs += [(kind, forms.of(role, at)) for at in plan.places.get(role, ())]
    return inputs


def record_columns(parts: dict[str, Packed]) -> list[tuple[Kind, Packed]]:
    """The inputs of the six record keys as columns, for confirm digests in batch; empty where a part is missing."""
    first, surname, dob = parts.get("first"), parts.get("surname"), parts.get("dob")
    nir, email, phone = parts.get("nir"), parts.get("email"), parts.get("phone")
    names = pair_packed(surname, first) if surname is not None and first is not None else None
    pairs = ((names, dob), (nir, first), (nir, dob), (email, first), (phone, first), (phone, dob))
    return [
        (kind, join_packed(a, b))
        for kind, (a, b) in zip(RECORD_KINDS, pairs, strict=True)
        if a is not None and b is not None
    ]
