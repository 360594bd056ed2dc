"""What reading one sample may cost, and the errors that end the reading of a member."""

from __future__ import annotations

from dataclasses import dataclass

from data.errors import LimitReached, ReaderFailed

HEAD = 65_536
"""Bytes of a sample or member that decide its format."""
PIECE = 65_536
"""Bytes that a reader takes at a time."""
MAX_NAME = 1024
MAX_PROBLEMS = 50
# 262,144 cells are 1 MiB of offsets: with at most 2 MiB of values a frame stays under 4 MiB
MAX_CELLS = 262_144
MAX_ROWS = 4096
MAX_VALUES = 2 * 2**20
MAX_TEXT = 2**20
MAX_FRAME = 4 * 2**20
# rows and text may be this many times larger than the bytes they were made of (padding of ragged rows, escapes)
MAX_GROWTH = 8
# what begins like a packed file and is none may make its bytes be read so many times over
REREAD_RATIO, REREAD_FLOOR = 16, 64 * 2**20
# a member below this size is never called a bomb, whatever its ratio
RATIO_FLOOR = 4 * 2**20
# and so with all that is inside the sample together, inside a member of it, inside a member of that …: trees of small
# bombs. An inner one ends first, so that what stands beside it is read.
TREE_FLOORS = tuple(size * 2**20 for size in (512, 128, 64, 32, 16))
# the same for numbers of members, of which no format writes more than its bytes
ENTRY_FLOORS = (32_000, 8000, 4000, 2000, 1000)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the reading of one sample may cost.

    Attributes:
        memory: bytes of address space, beside what is held. cpu: seconds of processor time.
        hold: bytes of a sample that a format with random access may keep in memory.
        wall: seconds in which the reader neither waits for input nor for its output to be taken.
        total_time: seconds in all, waiting included, before the last byte was handed over.
        max_output: bytes that containers may unpack to. max_entries: members at all depths.
        max_depth: containers inside containers. max_ratio: unpacked bytes for one packed byte, through all layers, and
        of all that is inside a member for one byte of it.
        max_line: bytes of one line or record. max_columns: columns of one table.
    """

    memory: int = 512 * 2**20
    hold: int = 2**30
    cpu: float = 600.0
    wall: float = 600.0
    total_time: float = 86_400.0
    max_output: int = 64 * 2**30
    max_entries: int = 1_000_000
    max_depth: int = 8
    max_ratio: float = 2000.0
    max_line: int = 2**20
    max_columns: int = 1024


class Damaged(ReaderFailed):
    """The bytes of a container end or go wrong here; what was read before stays.

    Attributes:
        code: one word for the problem frame.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class ContentsTooLarge(LimitReached):
    """What is inside a member is far more than it can honestly hold; the member ends, and what follows it is read.

    Attributes:
        depth: of the member, as `Output.depth`.
    """

    def __init__(self, sentence: str, depth: int) -> None:
        super().__init__(sentence)
        self.depth = depth
