"""Data in compressed files that is not compressed: header fields, comments, skippable frames.

It is searched for archives.
"""

from __future__ import annotations

from crawler.readers.core.members import read_embedded
from crawler.readers.core.output import Output
from crawler.readers.core.signatures import SignatureFinder
from crawler.readers.core.source import Source

# bytes that are kept of one file because an archive begins in them
_MAX_KEPT = 2**26
_PIECE = 2**22


class AuxiliaryData:
    """Keeps such data until it can be read: the decompressed member is open until all of the file was read."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._size = 0
        self._too_large = False

    def add(self, data: bytes) -> None:
        """Keep these bytes if an archive begins in them."""
        if SignatureFinder(data).find() is None:
            return
        if self._size + len(data) > _MAX_KEPT:
            self._too_large = True
            return
        self._size += len(data)
        self._kept.append(data)

    def add_skippable_frame(self, source: Source) -> bool:
        """Read the skippable frame that begins here: a mark, a size and any data. zstd and lz4 have the same form.

        Returns:
            False if the source ends inside the frame.
        """
        head = source.read(8)
        size = int.from_bytes(head[4:], "little")
        data = source.read(min(size, _PIECE))
        self.add(data)
        skipped = source.skip(size - len(data))
        self._too_large = self._too_large or skipped > 0
        return len(head) == 8 and len(data) + skipped == size

    def read_embedded(self, source: Source, out: Output) -> None:
        """Read the archives in it as members of the open one."""
        for data in self._kept:
            read_embedded(data, source, out, at=0)
        if self._too_large:
            detail = "its header fields or skippable frames are too large to be searched for embedded archives"
            out.problem("size", detail, incomplete=True)
