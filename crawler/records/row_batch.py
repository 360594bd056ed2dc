"""Rows of a table as a reader sends them: columns of UTF-8 cells, decoded from frames and checked."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from crawler.matching.matched_lines import MAX_BESIDE, MAX_LINE, MatchedLine
from crawler.records.table_sample import TableSample
from data.arrays.array_types import U8, U32
from data.arrays.packed import Packed
from data.errors import WireError

MAX_COLUMNS = 1 << 16
MAX_ROWS = 1 << 20


class LazyColumns(Sequence[Packed]):
    """The columns of rows whose cells lie in one blob; each column is put together at its first use."""

    def __init__(self, blob: U8, starts: U32, ends: U32) -> None:
        """Cells from `starts` to `ends` in the blob; shape (rows, columns) both."""
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
        """One column, or a slice of columns."""
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        if at not in self._made:
            whole = self._whole
            self._made[at] = (
                Packed.from_cells(self._blob, self._starts, self._ends, at) if whole is None else whole.column(at)
            )
        return self._made[at]

    @property
    def nbytes(self) -> int:
        """About how many bytes the cells take; rows that were taken of others share their blob."""
        return self._blob.nbytes + self._starts.nbytes + self._ends.nbytes

    def sample(self, rows: int) -> TableSample:
        """The first rows. If these are all rows, the columns of the sample are reused here."""
        sample = TableSample.of_cells(self._blob, self._starts[:rows], self._ends[:rows])
        if rows == len(self._starts):
            self._whole = sample
        return sample

    def rows(self, chosen: slice | NDArray[np.int64]) -> LazyColumns:
        """The same columns of the chosen rows, in the order given."""
        return LazyColumns(
            self._blob, np.ascontiguousarray(self._starts[chosen]), np.ascontiguousarray(self._ends[chosen])
        )


@dataclass(frozen=True, slots=True, eq=False)
class RowBatch:
    """Rows of one table as columns of UTF-8 cells."""

    columns: Sequence[Packed]
    rows: int

    def __repr__(self) -> str:
        """The shape only: cells are content of a sample."""
        return f"<RowBatch {self.rows} rows, {len(self.columns)} columns>"

    def __len__(self) -> int:
        return self.rows

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> RowBatch:
        """A batch of rows of texts; short rows are filled up with empty cells."""
        width = max((len(row) for row in rows), default=0)
        return cls(
            tuple(Packed.of([row[at].encode() if at < len(row) else b"" for row in rows]) for at in range(width)),
            len(rows),
        )

    @classmethod
    def joined(cls, batches: Sequence[RowBatch]) -> RowBatch:
        """The rows of several batches, one after the other; narrow rows are filled up with empty cells."""
        if len(batches) == 1:
            return batches[0]
        width = max((len(batch.columns) for batch in batches), default=0)
        return cls(
            tuple(Packed.concatenated([batch.column(at) for batch in batches]) for at in range(width)),
            sum(map(len, batches)),
        )

    @classmethod
    def from_frame(cls, payload: bytes) -> RowBatch:
        """Decode the payload of an `R` frame; every number in it is checked.

        Raises:
            WireError: no correct reader makes such a frame.
        """
        if len(payload) < 8:
            raise WireError("a row frame is too short for its numbers")
        rows, width = struct.unpack_from("<II", payload)
        if rows > MAX_ROWS or width > MAX_COLUMNS or 4 * width * (rows + 1) > len(payload):
            raise WireError("a row frame announces more rows or columns than it holds")
        at = 8
        columns = []
        whole = np.frombuffer(payload, np.uint8)
        for _ in range(width):
            end = at + 4 * (rows + 1)
            if end > len(payload):
                raise WireError("a row frame ends within its offsets")
            offsets = np.frombuffer(payload, "<u4", rows + 1, at).astype(np.int64)
            size = int(offsets[-1])
            if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any() or end + size > len(payload):
                raise WireError("a row frame has offsets outside of its cells")
            columns.append(Packed(whole[end : end + size], offsets))
            at = end + size
        if at != len(payload):
            raise WireError("a row frame is longer than its rows")
        return cls(tuple(columns), rows)

    @classmethod
    def from_cells(cls, payload: bytes) -> RowBatch:
        """Decode the payload of a `C` frame; every number in it is checked.

        Raises:
            WireError: no correct reader makes such a frame.
        """
        if len(payload) < 8:
            raise WireError("a frame of cells is too short for its numbers")
        rows, width = struct.unpack_from("<II", payload)
        count = rows * width
        blob = len(payload) - 8 - 8 * count
        if rows > MAX_ROWS or width > MAX_COLUMNS or blob < 0:
            raise WireError("a frame of cells announces more rows or columns than it holds")
        starts = np.frombuffer(payload, "<u4", count, 8)
        ends = np.frombuffer(payload, "<u4", count, 8 + 4 * count)
        if count and ((starts > ends).any() or int(ends.max()) > blob):
            raise WireError("a frame of cells has cells outside of its lines")
        return cls(
            LazyColumns(
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
        """One column; empty cells if the batch has no such column."""
        return self.columns[at] if at < len(self.columns) else Packed.empty(self.rows)

    def cell(self, row: int, column: int) -> str:
        """One cell; '' if the batch has no such column."""
        return self.columns[column].text(row) if column < len(self.columns) else ""

    def sample(self, rows: int) -> TableSample:
        """The first rows, or fewer if the batch has fewer; the roles of columns are decided by them."""
        rows = min(rows, self.rows)
        if isinstance(self.columns, LazyColumns):
            return self.columns.sample(rows)
        return TableSample.of_columns([column.part(0, rows) for column in self.columns], rows)

    def lines(self) -> bytes:
        """All rows as lines of text, with semicolons between the cells."""
        columns = [column.to_list() for column in self.columns]
        return b"".join([b" ; ".join(row) + b"\n" for row in zip(*columns, strict=True)])

    def line_of(self, row: int) -> MatchedLine:
        """A row as a line of text, with the rows before and after it; each cut to the bounds of evidence."""
        rows = [each for each in (row - 1, row, row + 1) if 0 <= each < len(self)]
        # each column is put together once for all three of them
        cells = [column.to_list() for column in self.take(np.array(rows)).columns]
        lines = [b" ; ".join(line).rstrip(b"\n") for line in zip(*cells, strict=True)]
        at = rows.index(row)
        before, after = b"".join(lines[:at]), b"".join(lines[at + 1 :])
        return MatchedLine(before[-MAX_BESIDE:], lines[at][:MAX_LINE], after[:MAX_BESIDE])

    def take(self, rows: NDArray[np.int64]) -> RowBatch:
        """The rows with these numbers, in the order given."""
        if isinstance(self.columns, LazyColumns):
            return RowBatch(self.columns.rows(rows), len(rows))
        return RowBatch(tuple(column.take(rows) for column in self.columns), len(rows))

    @property
    def nbytes(self) -> int:
        """About how many bytes the cells take."""
        if isinstance(self.columns, LazyColumns):
            return self.columns.nbytes
        return sum(column.blob.nbytes + column.offsets.nbytes for column in self.columns)

    def first(self, count: int) -> RowBatch:
        """The first rows of the batch, all of them if there are fewer."""
        if count >= self.rows:
            return self
        if isinstance(self.columns, LazyColumns):
            return RowBatch(self.columns.rows(slice(count)), count)
        return RowBatch(tuple(column.part(0, count) for column in self.columns), count)

    def drop(self, count: int) -> RowBatch:
        """The batch without its first rows."""
        if isinstance(self.columns, LazyColumns):
            return RowBatch(self.columns.rows(slice(count, None)), self.rows - count)
        return RowBatch(tuple(column.part(count) for column in self.columns), self.rows - count)
