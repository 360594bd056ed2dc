"""Files that lie beside each other and are one table: its rows, its long texts and its description.

A reader gets the bytes of one file. So the files of such a table that lie in one container are held until its end, and
the one with the rows is then read with the others at hand (`Source.companions`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from crawler.process.companion_names import WHOLES, belongs_to_rows, ending_of
from crawler.readers.core.source import Source

# bytes of all files that are held in one sample
MAX_HELD = 2**28
_PIECE = 2**20


@dataclass(slots=True)
class WaitingFile:
    """A file whose reading waits for those beside it."""

    name: str
    source: Source
    data: bytes

    def reopened(self) -> Source:
        """The file from its first byte; what could not be read of it is reported by its reader."""
        return Source(self._chunks(), self.name, self.source.amplification)

    def _chunks(self) -> Iterator[bytes]:
        yield self.data
        # all that is left if the file was too large to be held
        yield from iter(self.source.piece, b"")
        if self.source.damage is not None:
            raise self.source.damage


@dataclass(slots=True)
class WaitingFiles:
    """The files of a sample that wait, by the depth of their container."""

    waiting: dict[int, list[WaitingFile]] = field(default_factory=dict)
    size: int = 0

    def take(self, source: Source, depth: int) -> Source | None:
        """Hold a file whose reading has to wait for the end of its container.

        Args:
            source: the file, whose name tells that others may belong to it.
            depth: of its container.

        Returns:
            None if it waits. The file from its first byte if it is too large to be held: it has to be read at once.
        """
        parts = []
        while piece := source.piece(_PIECE):
            parts.append(piece)
            self.size += len(piece)
            if self.size > MAX_HELD:
                self.size -= sum(map(len, parts))
                return WaitingFile(source.name, source, b"".join(parts)).reopened()
        self.waiting.setdefault(depth, []).append(WaitingFile(source.name, source, b"".join(parts)))
        return None

    def release(self, depth: int) -> Iterator[Source]:
        """The files that waited in a container that has ended, those with rows together with what belongs to them."""
        files = self.waiting.pop(depth, [])
        by_name = {held.name.lower(): held for held in files}
        endings: dict[str, set[str]] = defaultdict(set)
        for name in by_name:
            endings[name[: -len(ending_of(name))]].add(ending_of(name))
        for held in files:
            source = held.reopened()
            stem, ending = held.name[: -len(ending_of(held.name))].lower(), ending_of(held.name)
            for part in WHOLES.get(ending, ()):
                if beside := by_name.get(stem + part):
                    source.companions[part] = beside.data
            # what a file of rows has read already is not read once more by itself
            source.joined = belongs_to_rows(ending, endings[stem])
            self.size -= len(held.data)
            yield source
