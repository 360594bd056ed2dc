"""Arrays that grow row by row without being copied.

15 million rows of six keys are 720 MB; a copy on growing would need twice that, which is too much memory.
"""

from __future__ import annotations

import mmap
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

_INITIAL_BYTES = 1 << 15
# Up to so many bytes lie in an ordinary array: making and freeing a mapping takes as long as reading a small table.
_SMALL_BYTES = 1 << 13
# A full mapping grows by this factor: pages that were never written to cost no memory.
_GROWTH_FACTOR = 1.5
# Numbers that `distinct` moves at a time while it removes duplicates.
_CHUNK = 1 << 20


class GrowingArray(Generic[Scalar]):
    """A two-dimensional array of one element type and a fixed row width, to which rows are appended."""

    def __init__(self, kind: type[Scalar], width: int) -> None:
        """An empty array of element type `kind` with `width` numbers per row."""
        self._kind, self._width = np.dtype(kind), width
        # made with the first rows: most arrays of a small sample stay empty
        self._small: NDArray[Scalar] | None = None
        self._mapping: mmap.mmap | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size // self._width

    def add(self, rows: NDArray[Scalar]) -> None:
        """Append rows of shape (n, width), or (n,) if the width is 1."""
        if not rows.size:
            return
        item_bytes, size = self._kind.itemsize, self._size + rows.size
        if self._mapping is None and item_bytes * size <= _SMALL_BYTES:
            if self._small is None:
                self._small = np.empty(_SMALL_BYTES // item_bytes, self._kind)
            self._small[self._size : size] = rows.reshape(-1)
            self._size = size
            return
        if self._mapping is None:
            # Only a private mapping can be made longer. The kernel moves its pages; no bytes are copied.
            self._mapping = mmap.mmap(-1, _INITIAL_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if self._small is not None:
                np.frombuffer(self._mapping, self._kind, self._size)[:] = self._small[: self._size]
                self._small = None
        if item_bytes * size > len(self._mapping):
            self._mapping.resize(max(item_bytes * size, int(_GROWTH_FACTOR * len(self._mapping))))
        # No view may exist when the mapping is resized, so this one is not kept.
        np.frombuffer(self._mapping, self._kind, rows.size, item_bytes * self._size)[:] = rows.reshape(-1)
        self._size = size

    def rows(self) -> NDArray[Scalar]:
        """All rows, shape (n, width), as a view without a copy; `add` must not be called afterwards."""
        return self._words().reshape(-1, self._width)

    def distinct(self) -> NDArray[Scalar]:
        """All numbers, sorted and each once, sorted in place: call no other method afterwards."""
        words = self._words()
        words.sort()
        kept = min(1, len(words))
        for at in range(1, len(words), _CHUNK):
            part = words[at : at + _CHUNK]
            part = part[part != words[at - 1 : at - 1 + len(part)]]
            words[kept : kept + len(part)] = part
            kept += len(part)
        return words[:kept]

    def _words(self) -> NDArray[Scalar]:
        if self._small is not None:
            return self._small[: self._size]
        if self._mapping is None:
            return np.zeros(0, self._kind)
        return np.frombuffer(self._mapping, self._kind, self._size)
