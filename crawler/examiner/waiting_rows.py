"""Rows of small tables that follow each other and have one header: they wait until they can be processed as one table.

A table costs the examiner a millisecond whatever its size, and a dump may have 20,000 of three rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from crawler.records.row_batch import RowBatch
from data.identifiers.header_words import id_of_whom

M = TypeVar("M")

# Of a table, and of those that follow it with the same header, so many rows or bytes are collected.
WAITING_ROWS, MAX_WAITING_BYTES = 200, 2**20


@dataclass(slots=True)
class WaitingRows(Generic[M]):
    """The rows that wait.

    Attributes:
        members: for which their hits count.
        batches: the rows as they came.
        rows: their number. nbytes: of their cells. tables: number of tables.
    """

    members: tuple[M, ...]
    batches: list[RowBatch] = field(default_factory=list)
    rows: int = 0
    nbytes: int = 0
    tables: int = 1

    def add(self, batch: RowBatch) -> None:
        """Add rows."""
        self.batches.append(batch)
        self.rows += len(batch)
        self.nbytes += batch.nbytes

    @property
    def are_enough(self) -> bool:
        """Whether so many rows wait that they are to be processed."""
        return self.rows >= WAITING_ROWS or self.nbytes > MAX_WAITING_BYTES


def may_wait(header: Sequence[str] | None, rows: int) -> bool:
    """Whether the first rows of a table may wait for those of others that have the same header.

    Tables with record ids may be of different databases, in which the same id is that of somebody else.
    """
    return rows < WAITING_ROWS and header is not None and all(id_of_whom(word) is None for word in header)
