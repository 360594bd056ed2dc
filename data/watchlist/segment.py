"""One segment of the watch-list: entries sorted by tag, memory-mapped, so that a look-up reads only what it needs.

    watchlist/segment-ID/values.part     entries of single values
    watchlist/segment-ID/records.part    entries of record keys

A part is a header and four arrays. The first two are those of a `data.tagsets.tagset.TagSet` in which a tag may occur
several times: the starts of its buckets, and the suffixes. The third has the rest of each entry in the same order: the
first eight bytes of its confirm digest, its person, and its kind. The last is the Bloom filter of the set.

A person is a number within the segment: the first person of its bundle plus the number of the canary within the bundle.
An entry takes 16 bytes, and 1 to 2 bytes in the filter.
"""

from __future__ import annotations

import hashlib
import itertools
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, U8, U32, U64, Bools
from data.arrays.packed import read_only
from data.durable_files import open_file
from data.errors import StoreError, StoreVersion
from data.tagsets.tag_bits import KEPT_BITS
from data.tagsets.tagset import TagSet
from data.watchlist.manifest import RESTORE_HINT

ENTRY_DTYPE = np.dtype([("digest", "<u8"), ("person", "<u4"), ("kind", "u1")])
"""What a part holds of an entry besides its tag."""
PARTS = ("values", "records")
MAX_SHARING = 64
"""So many entries of a segment may have one value: more than a household has. A filler of forms that 45,000 people of a
vendor have would else make each row that holds it a hit for all of them. A value with more entries confirms nobody."""
PADDING = 16
"""Bytes after the suffixes and after the entries, because the kernels read whole words."""
_MAGIC, _VERSION = b"TOCSINWL", 1
# magic, version, bucket bits, number of entries, log2 of the filter's size in bits
HEADER = struct.Struct("<8sIIQI36x")
_BLOCK = 8 * 2**20
# Entries are counted in ranges of about 2 to the power of this.
_RANGE_BITS = 20


@dataclass(frozen=True, slots=True)
class PartLayout:
    """The places of the arrays of a part in its file.

    Attributes:
        count: number of entries. bits: number of bits that number the buckets.
        filter_bits: log2 of the size of the Bloom filter in bits.
    """

    count: int
    bits: int
    filter_bits: int

    @classmethod
    def of(cls, count: int) -> PartLayout:
        """The layout of a part with so many entries."""
        return cls(count, TagSet.bucket_bits(count), TagSet.bloom_filter_bits(count))

    @property
    def width(self) -> int:
        """Bytes of a suffix."""
        return (KEPT_BITS - self.bits) // 8

    @property
    def starts(self) -> int:
        """Place of the starts of the buckets."""
        return HEADER.size

    @property
    def suffixes(self) -> int:
        """Place of the suffixes."""
        return self.starts + 4 * ((1 << self.bits) + 1)

    @property
    def entries(self) -> int:
        """Place of the entries."""
        return self.suffixes + self.width * self.count + PADDING

    @property
    def filter(self) -> int:
        """Place of the Bloom filter."""
        return self.entries + ENTRY_DTYPE.itemsize * self.count + PADDING

    @property
    def size(self) -> int:
        """Size of the file."""
        return self.filter + (1 << self.filter_bits - 3)

    def header(self) -> bytes:
        """The header of the file."""
        return HEADER.pack(_MAGIC, _VERSION, self.bits, self.count, self.filter_bits)


class SegmentPart:
    """The values or the record keys of one segment. Immutable; threads may share it.

    Attributes:
        tags: the tags, for look-ups; a tag may occur several times.
        entries: shape (13 * n + padding,), the rest of each entry.
    """

    def __init__(self, tags: TagSet, entries: U8, path: Path | None = None, mapped: mmap.mmap | None = None) -> None:
        self.tags, self.entries = tags, read_only(entries, np.uint8)
        self._path, self._mapped = path, mapped

    def __len__(self) -> int:
        return len(self.tags)

    @classmethod
    def of_sorted(cls, truncated: U64, entries: NDArray[Any]) -> SegmentPart:
        """A part in memory.

        Args:
            truncated: shape (n,), the first 44 bits of each tag, sorted.
            entries: shape (n,), of `ENTRY_DTYPE`.
        """
        tags = TagSet.of_truncated(truncated)
        tags.use_bloom_filter = True
        padded = np.concatenate([entries.view(np.uint8).reshape(-1), np.zeros(PADDING, np.uint8)])
        return cls(tags, padded)

    @classmethod
    def open(cls, path: Path) -> SegmentPart:
        """Map the file of a part; header, size and order of the buckets are checked, all bytes only by `verify`.

        Raises:
            FileNotFoundError: the file does not exist.
            StoreVersion: a newer Tocsin wrote it.
            StoreError: it is damaged.
        """
        try:
            with open_file(path) as file:
                head = file.read(HEADER.size)
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if head else None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(
                f"the watch-list cannot be read: {path.name}: {error.strerror}", hint="run: tocsin doctor"
            ) from error
        if mapped is None or len(head) < HEADER.size or not head.startswith(_MAGIC):
            raise damaged_error(path, "it does not begin with the signature of a watch-list")
        _, version, bits, count, filter_bits = HEADER.unpack(head)
        if version > _VERSION:
            raise StoreVersion("the watch-list was written by a newer Tocsin", hint="update Tocsin")
        layout = PartLayout(count, bits, filter_bits)
        if version != _VERSION or bits not in (4, 12, 20) or filter_bits != TagSet.bloom_filter_bits(count):
            raise damaged_error(path, "its header is invalid")
        if len(mapped) != layout.size:
            raise damaged_error(path, f"its size, {len(mapped):,} bytes, does not match its header")
        starts = np.frombuffer(mapped, "<u4", (1 << bits) + 1, layout.starts)
        # the kernels read memory at these places without checking them
        if starts[0] != 0 or starts[-1] != count or np.any(starts[1:] < starts[:-1]):
            raise damaged_error(path, "the starts of its buckets are not in order")
        suffixes: Any = np.frombuffer(mapped, np.uint8, layout.width * count, layout.suffixes)
        tags = TagSet(bits, starts, suffixes)
        tags.attach_bloom_filter(np.frombuffer(mapped, np.uint8, 1 << filter_bits - 3, layout.filter))
        entries = np.frombuffer(mapped, np.uint8, ENTRY_DTYPE.itemsize * count + PADDING, layout.entries)
        return cls(tags, entries, path, mapped)

    def verify(self, digest: str) -> None:
        """Compare all bytes of an opened part with their SHA-256; raises StoreError if they differ."""
        if self._mapped is None or self._path is None:
            return
        found = hashlib.sha256()
        with memoryview(self._mapped) as view:
            for start in range(0, len(view), _BLOCK):
                found.update(view[start : start + _BLOCK])
        if found.hexdigest() != digest:
            raise damaged_error(self._path, "its content does not match its checksum")

    @property
    def people_and_kinds(self) -> NDArray[Any]:
        """The entries as an array of `ENTRY_DTYPE`."""
        return self.entries[: ENTRY_DTYPE.itemsize * len(self)].view(ENTRY_DTYPE)

    # --- as a sorted run of a merge (`data.watchlist.segment_writer`) -------------------------------------------------

    def borders(self, range_bits: int) -> I64:
        """The place of the first entry of each of 2**range_bits equal ranges of tags, and the number of entries."""
        if range_bits <= self.tags.bits:
            return self.tags.starts[:: 1 << self.tags.bits - range_bits].astype(np.int64)
        wanted = np.arange((1 << range_bits) + 1, dtype=np.uint64) << np.uint64(KEPT_BITS - range_bits)
        return np.searchsorted(self._truncated, wanted)

    def read(self, low: int, high: int) -> tuple[U64, NDArray[Any]]:
        """The truncated tags and the entries from one place to another."""
        entries = self.people_and_kinds[low:high]
        if self.tags.bits < TagSet.MAX_BUCKET_BITS:
            return self._truncated[low:high], entries
        return self.tags.decode(low, high), entries

    @cached_property
    def _truncated(self) -> U64:
        return self.tags.decode(0, len(self))


def damaged_error(path: Path, what: str) -> StoreError:
    """The error for a damaged part; `what` completes "the watch-list is damaged: …"."""
    return StoreError(f"the watch-list is damaged: {path.parent.name}/{path.name}: {what}", hint=RESTORE_HINT)


class WatchlistSegment:
    """Both parts of a segment, and the bundles that they contain.

    Attributes:
        id: name of its folder; '' for a segment in memory.
        parts: the part of values and the part of record keys.
        numbers: shape (b,), the number of each bundle on the watch-list.
        firsts: shape (b,), the first person of each bundle, ascending.
        active: shape (b,), 0 for each retired bundle, else 1.
        digests: the SHA-256 of each part, as hex digits; empty in memory.
    """

    def __init__(
        self,
        parts: tuple[SegmentPart, SegmentPart],
        numbers: Sequence[int],
        firsts: Sequence[int],
        retired: frozenset[int] = frozenset(),
        name: str = "",
        digests: Sequence[str] = (),
    ) -> None:
        self.id, self.parts, self.digests = name, parts, tuple(digests)
        self.numbers: U32 = read_only(np.array(numbers, np.uint32), np.uint32)
        self.firsts: U32 = read_only(np.array(firsts, np.uint32), np.uint32)
        self.active: U8 = read_only(np.array([number not in retired for number in numbers], np.uint8), np.uint8)

    @property
    def values(self) -> SegmentPart:
        """The entries of single values."""
        return self.parts[0]

    @property
    def records(self) -> SegmentPart:
        """The entries of record keys."""
        return self.parts[1]

    def __len__(self) -> int:
        """Number of entries, of retired bundles too."""
        return sum(map(len, self.parts))

    def verify(self) -> None:
        """Compare all bytes with their checksums; raises StoreError if they differ."""
        for part, digest in zip(self.parts, self.digests, strict=False):
            part.verify(digest)

    def count_shared(self) -> int:
        """How many entries of active bundles are of values that have too many of them to recognise anybody."""
        shared = 0
        for part in self.parts:
            range_bits = min(TagSet.MAX_BUCKET_BITS, (len(part) >> _RANGE_BITS).bit_length())
            borders = part.borders(range_bits)
            for low, high in itertools.pairwise(borders.tolist()):
                truncated, entries = part.read(low, high)
                active = self.active[np.searchsorted(self.firsts, entries["person"], "right") - 1] != 0
                truncated = truncated[active]
                ends = np.flatnonzero(np.diff(truncated, append=~truncated[-1:]))
                sizes = np.diff(ends, prepend=-1)
                shared += int(sizes[sizes > MAX_SHARING].sum())
        return shared

    def resolve(self, tags: U64, digests: U64, kinds: U8, most: int, passed_over: Bools) -> list[tuple[I64, U64]]:
        """For each part the numbers of the values that it confirms, ascending, and their canaries.

        Args:
            tags: shape (n,).
            digests: shape (n,), the first eight bytes of each confirm digest.
            kinds: shape (n,).
            most: a value that more canaries have confirms none of them.
            passed_over: shape (n,), gets True for each such value.
        """
        from data.watchlist import entry_kernels

        found = []
        for part, is_records in zip(self.parts, (False, True), strict=True):
            if not len(part):
                continue
            room = len(tags) + len(tags) // 8 + 64
            values, codes = np.empty(room, np.int64), np.empty(room, np.uint64)
            state = np.zeros(2, np.int64)
            while True:
                entry_kernels.find_matches(
                    tags, digests, kinds, is_records, part.tags.bits, part.tags.starts, part.tags.suffixes,
                    part.entries, self.firsts, self.active, self.numbers, most, state, values, codes, passed_over,
                )  # fmt: skip
                if state[0] == len(tags):
                    break
                values = np.concatenate([values, np.empty(len(values), np.int64)])
                codes = np.concatenate([codes, np.empty(len(codes), np.uint64)])
            found.append((values[: state[1]], codes[: state[1]]))
        return found
