"""Finds where a large file of lines can be cut into chunks that are read like the whole file. Nothing is parsed here.

A reader that can read a file in chunks has `index`, which tells of each block of lines how many records end in it and
whether the next block can be read without those before it. The blocks of a chunk are read by a guide
(`crawler.readers.core.source.LineBlock`), so that they are the blocks of the whole file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from isal import isal_zlib

from crawler.readers.core.encoding import TEXT_BYTES, Lines, detect
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import EMPTY, choose, fallback_reader
from crawler.readers.core.source import Source

BLOCK_ENTRY = struct.Struct("<IIII")
"""Size, records, CRC-32 and border of one block, as a frame `I` holds them."""
_BLOCKS_AT_ONCE = 256
# Text has none of these bytes. With fewer of them in the whole file no window of it can look compressed or encrypted.
_MIN_CONTROLS = 16
# Values that are written across lines (base64) could continue behind the border.
_NEAR, _NEVER_IN_CODES = 64, frozenset(b" ,;|:@-'\"(\t")


class IndexedBlock(NamedTuple):
    """One block of a file: how many records end in it, and whether the following block can be read without it."""

    data: bytes
    records: int
    is_border: bool


class CuttableReader(Protocol):
    """A reader whose files can be read in chunks."""

    def index(self, source: Source, lines: Lines) -> Iterator[IndexedBlock]:
        """The blocks of a file in order; nothing if this file must be read as a whole."""
        ...

    def index_lines(self, source: Source, limits: Limits) -> Lines:
        """The lines of a file in the blocks in which `read` reads them."""
        ...


def index_sample(source: Source, out: Output) -> None:
    """Send the index of a sample: frames `M`, `I`… and `E`; it is incomplete if the sample must be read as a whole."""
    head = source.peek(HEAD)
    reader = (choose(head, source.name) or fallback_reader()) if head else None
    out.begin(source.name, reader.FORMAT if reader is not None else EMPTY)
    cuttable: CuttableReader | None = reader if reader is not None and hasattr(reader, "index") else None  # type: ignore[assignment]
    if cuttable is None or detect(head)[0] != "utf-8" or not _send_blocks(source, out, cuttable):
        out.problem("whole", "it cannot be cut into chunks and is examined as a whole", incomplete=True)
    out.end(source.position)
    out.finish()


def _send_blocks(source: Source, out: Output, reader: CuttableReader) -> bool:
    """Send the index of a file; False if it must be read as a whole."""
    lines = reader.index_lines(source, out.limits)
    if not lines.has_usual_ends:
        return False
    entries: list[bytes] = []
    controls = 0
    waiting: IndexedBlock | None = None
    size = 0
    for block in reader.index(source, lines):
        controls += len(block.data.translate(None, TEXT_BYTES))
        if lines.cut or controls >= _MIN_CONTROLS:
            return False
        if waiting is not None:
            entries.append(_entry(waiting, size, is_border=waiting.is_border and _are_apart(waiting.data, block.data)))
        waiting, size = block, lines.size
        if len(entries) >= _BLOCKS_AT_ONCE:
            out.index(b"".join(entries))
            entries.clear()
    if waiting is None:
        return False
    out.index(b"".join([*entries, _entry(waiting, size, is_border=waiting.is_border)]))
    return waiting.is_border and not lines.cut


def _entry(block: IndexedBlock, size: int, *, is_border: bool) -> bytes:
    return BLOCK_ENTRY.pack(size, block.records, isal_zlib.crc32(block.data), is_border)


def _are_apart(before: bytes, after: bytes) -> bool:
    """Whether no value that is written as letters and digits alone can continue from one block into the next."""
    return bool(_NEVER_IN_CODES & set(before[-_NEAR:]) and _NEVER_IN_CODES & set(after[:_NEAR]))
