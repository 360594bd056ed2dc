"""Bytes in memory as a file, for libraries that read from one and seek in it."""

from __future__ import annotations


class HeldFile:
    """A file that reads from bytes in memory; unlike `BytesIO` it does not copy them.

    Args:
        data: must not change its size.
    """

    def __init__(self, data: bytearray) -> None:
        self._data = memoryview(data)
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        end = len(self._data) if size is None or size < 0 else self._at + size
        found = bytes(self._data[self._at : end])
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place, counted from the beginning, from here, or from the end."""
        self._at = max(0, offset + (0, self._at, len(self._data))[whence])
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def get_size(self) -> int:
        """The number of bytes."""
        return len(self._data)
