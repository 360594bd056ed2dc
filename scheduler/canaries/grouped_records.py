"""Groups the tags of many clients by client, in a file without a name, so that memory does not grow with the tables."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, Bools
from data.case.bundle import RECORD_DTYPE

_RAW = np.dtype((np.void, RECORD_DTYPE.itemsize))


class GroupedRecords:
    """The records of clients that are given by numbers. Use it in a `with` block.

    Attributes:
        canaries: how many canaries each client has, by its number.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` gets the file, which vanishes with the process."""
        self.canaries: I64 = np.zeros(0, np.int64)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._written = 0
        self._clients: list[I64] = []
        self._starts: list[I64] = []
        self._ends: list[I64] = []

    def add(self, records: NDArray[Any], clients: I64) -> Bools:
        """Add rows, whose canaries are numbered anew, from 0 for each client in the order of rows.

        Args:
            records: of dtype `RECORD_DTYPE`; their canaries are numbers of rows.
            clients: shape (rows,), the client of each row, -1 for none.

        Returns:
            Shape (rows,): which rows have records. Those of a row without a client are left out.
        """
        tagged = np.zeros(len(clients), bool)
        tagged[records["canary"]] = True
        rows = np.flatnonzero(tagged & (clients >= 0))
        count = max(len(self.canaries), int(clients.max(initial=-1)) + 1)
        self.canaries = np.concatenate([self.canaries, np.zeros(count - len(self.canaries), np.int64)])
        order = rows[np.argsort(clients[rows], kind="stable")]
        sorted_clients = clients[order]
        present, first, sizes = np.unique(sorted_clients, return_index=True, return_counts=True)
        numbers = np.zeros(len(clients), np.int64)
        numbers[order] = np.arange(len(order)) - np.repeat(first, sizes) + self.canaries[sorted_clients]
        self.canaries[present] += sizes
        owners = clients[records["canary"]]
        chosen = np.flatnonzero(owners >= 0)
        # numpy sorts numbers of two bytes by radix, ten times as fast
        keys = owners[chosen].astype(np.uint16) if count <= 1 << 16 else owners[chosen]
        chosen = chosen[np.argsort(keys, kind="stable")]
        sorted_records = np.ascontiguousarray(records).view(_RAW)[chosen].view(RECORD_DTYPE)
        sorted_records["canary"] = numbers[sorted_records["canary"]]
        present, first, sizes = np.unique(owners[chosen], return_index=True, return_counts=True)
        self._clients.append(present)
        self._starts.append(self._written + first)
        self._ends.append(self._written + first + sizes)
        self._file.write(sorted_records.view(np.uint8).data)
        self._written += len(sorted_records)
        return tagged

    def by_client(self, clients: Sequence[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The records of each of some clients, in the order given."""
        self._file.flush()
        all_clients = np.concatenate([np.zeros(0, np.int64), *self._clients])
        starts = np.concatenate([np.zeros(0, np.int64), *self._starts])
        ends = np.concatenate([np.zeros(0, np.int64), *self._ends])
        order = np.argsort(all_clients, kind="stable")
        borders = np.searchsorted(all_clients[order], np.arange(len(self.canaries) + 1))
        for client in clients:
            pieces = order[borders[client] : borders[client + 1]]
            size = RECORD_DTYPE.itemsize
            yield client, np.frombuffer(self._read(size * starts[pieces], size * ends[pieces]), RECORD_DTYPE)

    def _read(self, starts: I64, ends: I64) -> bytearray:
        """The bytes of some ranges of the file, one after the other."""
        found = bytearray(int((ends - starts).sum()))
        with memoryview(found) as whole:
            at = 0
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                while start < end:
                    count = os.preadv(self._file.fileno(), [whole[at : at + end - start]], start)
                    if not count:
                        raise OSError("the temporary file of the tags is truncated")
                    at, start = at + count, start + count
        return found

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
