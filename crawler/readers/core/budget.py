"""Counts the bytes, members and rows that one sample becomes, and ends the reading of decompression bombs."""

from __future__ import annotations

from dataclasses import dataclass

from crawler.readers.core.limits import (
    ENTRY_FLOORS,
    MAX_GROWTH,
    PIECE,
    REREAD_FLOOR,
    REREAD_RATIO,
    TREE_FLOORS,
    ContentsTooLarge,
    Limits,
)
from data.errors import LimitReached


@dataclass(slots=True)
class _OpenMember:
    """Counts of a member that has begun and not ended.

    Attributes:
        bytes_before: decompressed bytes of all members when it began.
        members_before: number of members when it began.
        size: its own bytes so far.
        closed: no more members are read inside it.
    """

    bytes_before: int
    members_before: int
    size: int = 0
    closed: bool = False


class SampleBudget:
    """What was read from one sample so far, and what its limits still allow.

    Args:
        limits: of the sample.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: list[_OpenMember] = []
        self._members = 0
        # bytes of the sample, bytes that containers decompressed to, and bytes of rows and text
        self._input = 0
        self._decompressed = 0
        self._output = 0
        self._size_of_last = 0
        # bytes of members that began inside other bytes (embedded archives), and how many of these are read again
        self._embedded = 0
        self._reread = 0

    def begin_member(self) -> None:
        """A member begins inside the open one; the first call begins the sample itself.

        Raises:
            LimitReached: the sample holds too many members.
            ContentsTooLarge: one of the open members holds too many.
        """
        if self._open:
            self._members += 1
            if self._members > self._limits.max_entries:
                raise LimitReached(f"it holds more than {self._limits.max_entries} members")
            self.check_contents()
        self._open.append(_OpenMember(self._decompressed, self._members))

    def end_member(self) -> None:
        """The open member ends."""
        self._size_of_last = self._open.pop().size

    def add_input(self, size: int) -> None:
        """Bytes of the sample itself arrived."""
        self._input += size

    def add_decompressed(self, size: int, depth: int) -> None:
        """Bytes of the member that is open at `depth` were decompressed or copied out of its container.

        Raises:
            LimitReached: the sample has decompressed to too many bytes.
        """
        self._decompressed += size
        self._open[depth - 1].size += size
        if self._decompressed > self._limits.max_output:
            raise LimitReached(f"it decompresses to more than {self._limits.max_output} bytes")

    def add_output(self, size: int) -> None:
        """Bytes of rows or text are sent.

        Raises:
            LimitReached: rows and text are far larger than the bytes that they were read from.
        """
        self._output += size
        if self._output > self._limits.max_output + MAX_GROWTH * (self._input + self._decompressed):
            raise LimitReached("its rows and text are far larger than the bytes that they were read from")

    def add_embedded(self, used: int) -> None:
        """The member that ended last was an embedded archive.

        Args:
            used: bytes that belong to it; those that it read beyond are read again.
        """
        self._embedded += self._size_of_last
        # a reader may look one piece ahead
        self._reread += max(0, self._size_of_last - used - PIECE)

    @property
    def embedded(self) -> int:
        """Bytes of all embedded archives that were read so far."""
        return self._embedded

    def allows_embedded(self) -> bool:
        """Whether embedded archives may still be read: False once most of what looked like one was none."""
        return self._reread <= max(REREAD_FLOOR, REREAD_RATIO * (self._input + self._decompressed - self._embedded))

    def is_closed(self, depth: int) -> bool:
        """Whether no more members are read inside the member that is open at `depth`: its contents were too large."""
        return self._open[depth - 1].closed

    def close(self, depth: int) -> None:
        """No more members are read inside the member that is open at `depth`."""
        self._open[depth - 1].closed = True

    def check_contents(self) -> None:
        """Compare the contents of every open member with its size, the outermost first.

        Raises:
            LimitReached: the contents of the sample itself are too large.
            ContentsTooLarge: those of a member are.
        """
        deepest = len(TREE_FLOORS) - 1
        for level, member in enumerate(self._open):
            if member.closed:
                continue
            size, floor = member.size if level else self._input, min(level, deepest)
            # each layer of containers hands its bytes out once more
            most = max(TREE_FLOORS[floor], self._limits.max_ratio * size * (len(self._open) - level))
            if self._decompressed - member.bytes_before > most:
                sentence = f"its contents decompress to more than {self._limits.max_ratio:g} times its size"
            elif self._members - member.members_before > max(ENTRY_FLOORS[floor], size):
                sentence = "it holds more members than bytes"
            else:
                continue
            if not level:
                raise LimitReached(sentence)
            member.closed = True
            raise ContentsTooLarge(sentence, level + 1)
