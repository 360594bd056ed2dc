"""Chunks of a large file: its index, where it is cut, and what an examiner is asked to examine of it.

The index comes from a reader (`crawler.readers.core.file_cuts`) and is made once for each file. A chunk owns the rows of
some windows (`WINDOW_ROWS` rows each) and the bytes of some blocks of the byte pass; it reads a little more on both sides.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from data.arrays.array_types import U32
from data.errors import WireError

WINDOW_ROWS = 2**15
"""Rows that the record pass processes together; chunks begin with the first of them."""
SCAN_BLOCK = 256 * 1024
"""Bytes that the byte pass scans together: few enough for a block and its views to stay in a core's own cache."""
SCAN_AROUND = 4096
"""Bytes on both sides of a block that are context: the longest candidate, with each character escaped twice."""


CUTTABLE_FORMATS = frozenset({"delimited", "json_lines"})
"""Formats whose readers can read a file in chunks."""


@dataclass(frozen=True, slots=True, eq=False)
class FileIndex:
    """What is known of a file before it is cut.

    Attributes:
        sha256: hex, of the whole file. crc: its CRC-32. bytes: its size. format: as its reader names it.
        blocks: shape (n, 4), for each block of lines its bytes, the records that end in it, its CRC-32, and 1 if the next
            block can be read without it; no blocks if the file must be read as a whole.
    """

    sha256: str
    crc: int
    bytes: int
    format: str
    blocks: U32

    @property
    def is_cuttable(self) -> bool:
        """Whether the file can be examined in chunks."""
        return len(self.blocks) > 1

    @classmethod
    def whole(cls, kind: str) -> Self:
        """The index of a file of a format that must be read as a whole; the rest of the file was not looked at."""
        return cls("", 0, 0, kind, np.zeros((0, 4), np.uint32))

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {
            "sha256": self.sha256,
            "crc": self.crc,
            "bytes": self.bytes,
            "format": self.format,
            "blocks": base64.b64encode(self.blocks.astype("<u4").tobytes()).decode(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            WireError: the value is no index.
        """
        try:
            blocks = np.frombuffer(base64.b64decode(value["blocks"], validate=True), "<u4").reshape(-1, 4)
            index = cls(str(value["sha256"]), int(value["crc"]), int(value["bytes"]), str(value["format"]), blocks)
        except (KeyError, TypeError, ValueError) as error:
            raise WireError("an index of a file is damaged") from error
        if len(blocks) and int(blocks[:, 0].sum(dtype=np.int64)) != index.bytes:
            raise WireError("an index of a file does not describe all of its bytes")
        return index


@dataclass(frozen=True, slots=True)
class Chunk:
    """What an examiner is asked to examine of a file.

    The bytes that it gets are those of the first block (`head` bytes, unless the chunk begins with it) and then those of
    the file from `start` to `end`.

    Attributes:
        number: of the chunk, from 0. count: number of chunks.
        head: bytes of the first block; 0 if the chunk begins with it. head_records: its records.
        start, end: places in the file.
        lines_start, lines_end: the blocks of lines, as places in the file. first_record: number of their first record.
        records: of these blocks.
        blocks: the size and CRC-32 of each, that of the head first.
        first_row, end_row: the rows that the chunk owns, without a header line; -1 for all to the end.
        scan_start, scan_end: the bytes that the byte pass scans for this chunk.
        bytes: of the whole file.
    """

    number: int
    count: int
    head: int
    head_records: int
    start: int
    end: int
    lines_start: int
    lines_end: int
    first_record: int
    records: int
    blocks: tuple[tuple[int, int], ...]
    first_row: int
    end_row: int
    scan_start: int
    scan_end: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            WireError: the value is no chunk.
        """
        try:
            chunk = cls(**{**value, "blocks": tuple((int(size), int(crc)) for size, crc in value["blocks"])})
        except (KeyError, TypeError, ValueError) as error:
            raise WireError("a chunk of a file is described wrongly") from error
        if not all(type(getattr(chunk, name)) is int for name in cls.__slots__ if name != "blocks"):
            raise WireError("a chunk of a file is described wrongly")
        return chunk


def cut(index: FileIndex, chunk_bytes: int) -> list[Chunk]:
    """The chunks of a file, of about so many bytes each; one chunk of everything if it cannot be cut."""
    sizes, records = (index.blocks[:, at].astype(np.int64) for at in (0, 1))
    ends, last_records = np.cumsum(sizes), np.cumsum(records)
    borders = np.flatnonzero(index.blocks[:, 3])
    # a window begins in the block that holds its first row, or in the one before it if the first line is a header
    starts: list[tuple[int, int]] = [(0, 0)]
    wanted = float(chunk_bytes)
    for window in range(1, int(last_records[-1] - 1) // WINDOW_ROWS + 1) if len(sizes) else ():
        block = int(np.searchsorted(last_records, window * WINDOW_ROWS, side="right"))
        before = borders[: np.searchsorted(borders, block)]
        first = int(before[-1]) + 1 if len(before) else 0
        place = int(ends[first] - sizes[first])
        if first > 0 and place >= wanted and index.bytes - place >= chunk_bytes // 2:
            starts.append((window, first))
            wanted = place + chunk_bytes
    chunks = []
    for number, (window, first) in enumerate(starts):
        is_last = number + 1 == len(starts)
        end_row = -1 if is_last else starts[number + 1][0] * WINDOW_ROWS
        last = len(sizes) - 1
        if not is_last:
            # up to the record behind the last row, which is its last row itself if the first line is a header
            holding = int(np.searchsorted(last_records, end_row + 1))
            last = int(borders[np.searchsorted(borders, min(holding, len(sizes) - 1))])
        lines_start, lines_end = int(ends[first] - sizes[first]), int(ends[last])
        scan_start = _scan_border(lines_start, index.bytes)
        following = index.bytes if is_last else int(ends[starts[number + 1][1]] - sizes[starts[number + 1][1]])
        scan_end = _scan_border(following, index.bytes)
        start = min(lines_start, max(0, scan_start - SCAN_AROUND))
        head = 0 if first == 0 else int(sizes[0])
        blocks = [(int(index.blocks[at, 0]), int(index.blocks[at, 2])) for at in range(first, last + 1)]
        chunks.append(
            Chunk(
                number=number,
                count=len(starts),
                head=head,
                head_records=int(records[0]) if head else 0,
                start=start,
                end=max(lines_end, min(index.bytes, scan_end + SCAN_AROUND)),
                lines_start=lines_start,
                lines_end=lines_end,
                first_record=int(last_records[first] - records[first]),
                records=int(records[first : last + 1].sum()),
                blocks=(((int(sizes[0]), int(index.blocks[0, 2])),) if head else ()) + tuple(blocks),
                first_row=window * WINDOW_ROWS,
                end_row=end_row,
                scan_start=scan_start,
                scan_end=scan_end,
                bytes=index.bytes,
            )
        )
    return chunks


def _scan_border(place: int, size: int) -> int:
    """The first place at or behind this one at which the byte pass begins a block, or the end of the file."""
    return min(size, -(-place // SCAN_BLOCK) * SCAN_BLOCK)
