"""Memory for keys: never written to swap or to a core dump, empty in forked processes, overwritten at its end.

Locking needs RLIMIT_MEMLOCK; where it does not suffice, the memory is used all the same, and `locked` says so.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)
# Linux: a forked process finds zeros. Python has no name for it.
_MADV_WIPEONFORK = 18
# Bytes of CPython's `bytes` object before its content; the last one is the terminating zero.
_HEADER = bytes.__basicsize__ - 1


class LockedBytes:
    """A buffer of fixed size for one secret."""

    def __init__(self, size: int) -> None:
        """Zeros.

        Args:
            size: in bytes, at least 1.
        """
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, pages, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._map.madvise(mmap.MADV_DONTDUMP)
        self._map.madvise(_MADV_WIPEONFORK)
        anchor = ctypes.c_char.from_buffer(self._map)
        self.locked = _libc.mlock(ctypes.c_void_p(ctypes.addressof(anchor)), ctypes.c_size_t(pages)) == 0
        del anchor
        self.view = memoryview(self._map)[:size]

    @classmethod
    def take(cls, value: bytes) -> LockedBytes:
        """A locked copy of a value, whose own bytes are overwritten; nothing else may use that object."""
        found = cls(max(1, len(value)))
        found.view[: len(value)] = value
        found.shrink(len(value))
        overwrite(value)
        return found

    def __len__(self) -> int:
        """Size in bytes."""
        return len(self.view)

    def __repr__(self) -> str:
        """The size, never the content."""
        return f"<LockedBytes, {len(self.view)} bytes>"

    def shrink(self, size: int) -> None:
        """Keep only the first bytes."""
        self.view[size:] = bytes(len(self.view) - size)
        self.view = self.view[:size]

    def wipe(self) -> None:
        """Overwrite the content with zeros."""
        self.view[:] = bytes(len(self.view))

    def __del__(self) -> None:
        """Overwrite the content: freed pages would keep it until they are used again."""
        if hasattr(self, "view"):
            self.wipe()


def overwrite(value: bytes) -> None:
    """Overwrite the content of a `bytes` object in place.

    Only for an object that this process made itself and that nothing else refers to: `bytes` are shared freely.
    """
    if len(value) > 1:
        ctypes.memset(id(value) + _HEADER, 0, len(value))


def protect(values: Iterable[bytes]) -> bool:
    """Lock the pages on which `bytes` objects lie, and leave them out of core dumps; False if some could not be locked.

    For keys that libraries need as `bytes`. The pages hold other objects as well, and stay locked until the process
    ends. Copies that libraries make are not covered. A forked process inherits that its pages are left out of core
    dumps, but not that they are locked.
    """
    all_locked = True
    for value in values:
        start = id(value) // mmap.PAGESIZE * mmap.PAGESIZE
        end = id(value) + sys.getsizeof(value)
        size = ctypes.c_size_t(-(-(end - start) // mmap.PAGESIZE) * mmap.PAGESIZE)
        all_locked &= _libc.mlock(ctypes.c_void_p(start), size) == 0
        all_locked &= _libc.madvise(ctypes.c_void_p(start), size, mmap.MADV_DONTDUMP) == 0
    return all_locked
