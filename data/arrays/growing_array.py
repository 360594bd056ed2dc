"""Arrays that grow row by row without being copied: 15 M rows of six keys are 720 MB, and twice that would be too much."""

from __future__ import annotations

import mmap
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

_FIRST = 1 << 15
# Room that is taken at once: pages that nothing was written to cost no memory.
_STEP = 1.5
# Words that are moved together where some are dropped.
_CHUNK = 1 << 20


class Growing(Generic[Scalar]):
    """Numbers of one kind in rows of one width."""

    def __init__(self, kind: type[Scalar], width: int) -> None:
        """Of `width` numbers a row."""
        self._kind, self._width = np.dtype(kind), width
        # private, for only such a mapping can be made longer; it is moved by its pages, not by its bytes
        self._held = mmap.mmap(-1, _FIRST, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._size = 0

    def __len__(self) -> int:
        return self._size // self._width

    def add(self, rows: NDArray[Scalar]) -> None:
        """Rows of shape (n, width), or (n,) for a width of one."""
        each, size = self._kind.itemsize, self._size + rows.size
        if each * size > len(self._held):
            self._held.resize(max(each * size, int(_STEP * len(self._held))))
        # the view is gone before the mapping grows again
        np.frombuffer(self._held, self._kind, rows.size, each * self._size)[:] = rows.reshape(-1)
        self._size = size

    def rows(self) -> NDArray[Scalar]:
        """All rows, shape (n, width), not copied; nothing may be added afterwards."""
        return np.frombuffer(self._held, self._kind, self._size).reshape(-1, self._width)

    def distinct(self) -> NDArray[Scalar]:
        """All numbers sorted, each once, not copied; nothing may be added or asked for afterwards."""
        words = np.frombuffer(self._held, self._kind, self._size)
        words.sort()
        kept = min(1, len(words))
        for at in range(1, len(words), _CHUNK):
            part = words[at : at + _CHUNK]
            part = part[part != words[at - 1 : at - 1 + len(part)]]
            words[kept : kept + len(part)] = part
            kept += len(part)
        return words[:kept]
