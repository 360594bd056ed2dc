"""Arrays that grow row by row without being copied: 15 M rows of six keys are 720 MB, and twice that would be too much."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

_FIRST = 4096
# Room that is taken at once: pages that nothing was written to cost no memory.
_STEP = 1.5


class Growing:
    """Words of 64 bits in rows of one width."""

    def __init__(self, width: int) -> None:
        """Of `width` words a row."""
        self._width = width
        self._held = np.empty(0, np.uint64)
        self._size = 0

    def __len__(self) -> int:
        return self._size // self._width

    def add(self, rows: U64) -> None:
        """Rows of shape (n, width), or (n,) for a width of one."""
        size = self._size + rows.size
        if size > len(self._held):
            # grown in place by the allocator: large ones are moved by their pages, not by their bytes
            self._held.resize(max(size, _FIRST, int(_STEP * len(self._held))), refcheck=False)
        self._held[self._size : size] = rows.reshape(-1)
        self._size = size

    def rows(self) -> U64:
        """All rows, shape (n, width), not copied; nothing may be added afterwards."""
        return self._held[: self._size].reshape(-1, self._width)

    def distinct(self) -> U64:
        """All words sorted, each once, not copied unless some stand there twice; nothing may be added afterwards."""
        words = self._held[: self._size]
        words.sort()
        again = words[1:] == words[:-1]
        return words[np.concatenate(([True], ~again))] if again.any() else words
