"""What reading one sample may cost, and the errors with which a reader ends the reading of a member."""

from __future__ import annotations

from dataclasses import dataclass

from data.errors import LimitReached, ReaderFailed

HEAD = 65_536
"""A format is recognised by this many first bytes of a sample or member."""
PIECE = 65_536
"""Bytes that a reader reads at a time."""
MAX_NAME = 1024
"""Characters that are kept of the name of a member."""
MAX_PROBLEMS = 50
"""Problems that are reported for one member; further ones still mark it incomplete."""
# Limits of one frame. 262,144 cells are 1 MiB of offsets: with at most 2 MiB of values a frame stays under 4 MiB.
MAX_CELLS = 262_144
MAX_ROWS = 4096
MAX_VALUES = 2 * 2**20
MAX_TEXT = 2**20
MAX_FRAME = 4 * 2**20
# Rows and text may be this many times larger than the bytes they were made of (padding of ragged rows, escapes).
MAX_GROWTH = 8
# Bytes that look like the start of an embedded archive are read as that archive; those that it does not use are put
# back and read again. At most REREAD_RATIO times as many bytes may be read again as there are outside of embedded
# archives; the first REREAD_FLOOR bytes are always allowed.
REREAD_RATIO, REREAD_FLOOR = 16, 64 * 2**20
# A member that decompresses to less than this is never reported as a decompression bomb, whatever its ratio.
RATIO_FLOOR = 4 * 2**20
# The same for everything inside the sample together, inside a member of it, inside a member of that, and so on: a tree
# of small bombs is one bomb. Inner floors are lower, so an inner bomb ends first and the members beside it are still
# read.
TREE_FLOORS = tuple(size * 2**20 for size in (512, 128, 64, 32, 16))
# The same for the number of members: no format stores more members than it has bytes.
ENTRY_FLOORS = (32_000, 8000, 4000, 2000, 1000)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the reading of one sample may cost. Every reader gets the same object.

    The sandbox enforces `memory`, `cpu`, `wall` and `total_time`; `Output` enforces `slow_after`, `max_output`,
    `max_entries` and the ratio of a member's contents to its size. A reader enforces the rest where its format makes
    that necessary.

    Attributes:
        memory: bytes of address space for working, in addition to `hold`.
        hold: bytes of a sample that a reader may keep in memory if its format needs random access.
        cpu: seconds of processor time.
        slow_after: seconds of processor time after which a reader must have read its member at a minimum speed.
        wall: seconds in which the reader neither waits for input nor for its output to be taken.
        total_time: seconds in all, including waiting, before the last byte was handed over.
        max_output: bytes that all containers of the sample together may decompress to.
        max_entries: members at all depths.
        max_depth: containers inside containers.
        max_ratio: decompressed bytes for one compressed byte, through all layers; and bytes of everything inside a
            member for one byte of that member.
        recognition: seconds of processor time for recognising text in all pictures of the sample.
        picture_bytes: bytes of a picture whose text is recognised.
        picture_pixels: pixels of such a picture.
        max_line: bytes of one line or record.
        max_columns: columns of one table.
    """

    memory: int = 512 * 2**20
    hold: int = 2**30
    cpu: float = 600.0
    slow_after: float = 10.0
    wall: float = 600.0
    total_time: float = 86_400.0
    max_output: int = 64 * 2**30
    max_entries: int = 1_000_000
    max_depth: int = 8
    max_ratio: float = 2000.0
    recognition: float = 120.0
    picture_bytes: int = 64 * 2**20
    picture_pixels: int = 40_000_000
    max_line: int = 2**20
    max_columns: int = 1024


class Damaged(ReaderFailed):
    """The bytes of a member end early or are wrong. A reader raises it; what was read before stays.

    Whoever called the reader reports it as a problem of the member and marks the member incomplete.

    Attributes:
        code: of the problem, one word.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class MemberGivenUp(LimitReached):
    """One member is not read any further. It ends, its own bytes go to the byte pass, and what follows it is read.

    `Output` raises it, and the function that began the member catches it.

    Attributes:
        code: of the problem, one word.
        depth: of the member, as `Output.depth` counts.
    """

    code = "limit"

    def __init__(self, sentence: str, depth: int) -> None:
        super().__init__(sentence)
        self.depth = depth


class ContentsTooLarge(MemberGivenUp):
    """The contents of a member are far larger than its size allows."""

    code = "ratio"


class TooSlow(MemberGivenUp):
    """The reader of a member takes too much processor time for each of its bytes."""

    code = "slow"
