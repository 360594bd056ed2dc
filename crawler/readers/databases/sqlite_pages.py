"""Parts of a SQLite file that belong to no row: freed pages, gaps inside pages, and bytes after the last page.

`sqlite_file` reads the rows.

Source: https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

# header length of each page type: interior and leaf pages of indexes and tables
_PAGE_HEADER_BYTES = {2: 12, 5: 12, 10: 8, 13: 8}
_FILE_HEADER_BYTES = 100
# no archive or compressed file is shorter
_MIN_GAP_BYTES = 24


def unused_ranges(held: bytearray) -> Iterator[tuple[int, int]]:
    """Start and end of each unused range: freed pages first, then gaps in pages, then the bytes after the last page.

    Consecutive freed pages form one range.
    """
    size = int.from_bytes(held[16:18], "big")
    size = 65_536 if size == 1 else size
    if size < 512 or size & (size - 1):
        return
    claimed = int.from_bytes(held[28:32], "big")
    pages = len(held) // size
    if claimed and held[24:28] == held[92:96]:
        pages = min(pages, claimed)
    yield from _page_ranges(sorted(_freed_pages(held, size, pages)), size)
    for page in range(pages):
        yield from _gaps(held, page * size, size)
    if len(held) > pages * size:
        yield pages * size, len(held)


def _freed_pages(held: bytearray, size: int, pages: int) -> set[int]:
    """Numbers of all freed pages, counted from 0: the pages of the freelist and the pages that it lists."""
    freed: set[int] = set()
    trunk = int.from_bytes(held[32:36], "big")
    while 0 < trunk <= pages and trunk - 1 not in freed:
        freed.add(trunk - 1)
        at = (trunk - 1) * size
        trunk, count = struct.unpack_from(">II", held, at)
        leaves = struct.unpack_from(f">{min(count, size // 4 - 2)}I", held, at + 8)
        freed.update(leaf - 1 for leaf in leaves if 0 < leaf <= pages)
    return freed


def _page_ranges(pages: list[int], size: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(pages):
        stop = start + 1
        while stop < len(pages) and pages[stop] == pages[stop - 1] + 1:
            stop += 1
        yield pages[start] * size, (pages[stop - 1] + 1) * size
        start = stop


def _gaps(held: bytearray, page: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of a page that no cell uses: between cell pointers and first cell, and where cells were deleted."""
    at = page or _FILE_HEADER_BYTES
    header = _PAGE_HEADER_BYTES.get(held[at])
    if header is None:
        return
    block, cells, content = struct.unpack_from(">HHH", held, at + 1)
    start = at + header + 2 * cells
    stop = page + (content or 65_536)
    if start + _MIN_GAP_BYTES <= stop <= page + size:
        yield start, stop
    for _ in range(size // 4):
        if not 0 < block <= size - 4:
            return
        block_at = page + block
        block, length = struct.unpack_from(">HH", held, block_at)
        if _MIN_GAP_BYTES <= length <= page + size - block_at:
            yield block_at, block_at + length
