"""What stands in compressed files beside their data (fields, comments, frames to be skipped) until it is looked into."""

from __future__ import annotations

from crawler.readers.core.members import read_embedded
from crawler.readers.core.output import Output
from crawler.readers.core.signatures import SignatureFinder
from crawler.readers.core.source import Source

# what is kept of one file, in which a packed file begins
_MOST_KEPT = 2**26
_PIECE = 2**22


class AuxiliaryData:
    """Kept as it goes by, for a member is open until all data has been read."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._size = 0
        self._passed = False

    def add(self, data: bytes) -> None:
        """Keep bytes if a packed file begins in them."""
        if SignatureFinder(data).find() is None:
            return
        if self._size + len(data) > _MOST_KEPT:
            self._passed = True
            return
        self._size += len(data)
        self._kept.append(data)

    def frame(self, source: Source) -> bool:
        """Take the frame to be skipped that begins here, as zstd and lz4 have them: a mark, a size and anything; False if it is cut."""
        head = source.read(8)
        size = int.from_bytes(head[4:], "little")
        data = source.read(min(size, _PIECE))
        self.add(data)
        skipped = source.skip(size - len(data))
        self._passed = self._passed or skipped > 0
        return len(head) == 8 and len(data) + skipped == size

    def read(self, source: Source, out: Output) -> None:
        """Read the packed files in it as members of the open one."""
        for data in self._kept:
            read_embedded(data, source, out, at=0)
        if self._passed:
            detail = (
                "what stands beside its data is too large to be looked into; only its bytes as they stand were examined"
            )
            out.problem("size", detail, incomplete=True)
