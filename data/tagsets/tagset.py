"""Sorted, bucketed, memory-mapped sets of tags: build, save, open, look up, merge, difference.

A tag is truncated to its first 44 bits. The first 4, 12 or 20 of these number a bucket; the others, its suffix, are
stored in the bucket as whole big-endian bytes. With 20 bucket bits that is 3 bytes per tag. Smaller sets have fewer
buckets and longer suffixes; all sets keep the same bits of a tag, so they remain comparable.
"""

from __future__ import annotations

import hashlib
import itertools
import mmap
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import U8, U32, U64
from data.arrays.packed import read_only
from data.durable_files import file_errors_as_ours, open_file, replace_file
from data.errors import StoreError, StoreVersion
from data.tagsets.tag_bits import KEPT_BITS

_DROPPED_BITS = np.uint64(64 - KEPT_BITS)
# (members, bits): from this many members on, this many bits number the buckets. Suffixes then have 3, 4 and 5 bytes.
_BUCKET_BITS = ((1 << 18, 20), (1 << 12, 12), (0, 4))

# log2 of the size in bits of the largest Bloom filter: 512 MB, for 500 million members. Larger sets get fewer bits per
# member.
_MAX_FILTER_BITS = 32
# The filter of a set of so many members is made in a tenth of a second without compiled code.
_SMALL_SET = 1 << 18

_MAGIC = b"TOCSINTS"
_VERSION = 1
# magic, version, bucket bits, number of members, SHA-256 of everything after the header
_HEADER = struct.Struct("<8sIIQ32s")
HEADER_BYTES = _HEADER.size
_MAX_MEMBERS = 2**32 - 1


def distinct(tags: U64) -> U64:
    """The distinct tags, sorted.

    `numpy.unique` hashes since numpy 2.3, which is 20 times slower than a sort on random 64-bit integers.
    """
    ordered = np.sort(tags)
    keep = np.ones(len(ordered), bool)
    keep[1:] = ordered[1:] != ordered[:-1]
    return ordered[keep]


class TagSet:
    """A set of tags truncated to their first 44 bits; 0 is never a member. Immutable; threads may share it."""

    __slots__ = ("_bloom_filter", "_map", "bits", "path", "starts", "suffixes", "use_bloom_filter")

    kept_bits = KEPT_BITS
    MAX_BUCKET_BITS = 20

    def __init__(self, bits: int, starts: U32, suffixes: U8) -> None:
        """For `build` and `open`.

        Args:
            bits: number of bits that number the buckets: 4, 12 or 20.
            starts: as for `data.tagsets.tagset_kernels.lookup_loop`.
            suffixes: as for `data.tagsets.tagset_kernels.lookup_loop`.
        """
        self.bits, self.starts, self.suffixes = bits, read_only(starts, np.uint32), read_only(suffixes, np.uint8)
        self.path: Path | None = None
        self._map: mmap.mmap | None = None
        self.use_bloom_filter = False
        """Whether look-ups ask a Bloom filter first. It takes 1 to 2 bytes per member; the first look-up builds it."""
        self._bloom_filter: U8 | None = None

    def __repr__(self) -> str:
        return f"<TagSet of {len(self)}>"

    def __len__(self) -> int:
        return int(self.starts[-1])

    @classmethod
    def build(cls, tags: U64) -> Self:
        """Build a set from tags, shape (n,), in any order, with or without duplicates; zeros are left out."""
        # A sort, because numpy.unique hashes, which takes 20 times as long on random 64-bit integers.
        truncated = np.sort(tags[tags != 0] >> _DROPPED_BITS)
        if len(truncated):
            truncated = truncated[np.concatenate(([True], truncated[1:] != truncated[:-1]))]
        return cls._of_truncated(truncated)

    @classmethod
    def _of_truncated(cls, truncated: U64) -> Self:
        """Build a set from sorted distinct truncated tags."""
        if len(truncated) > _MAX_MEMBERS:
            raise StoreError(f"a tag set holds at most {_MAX_MEMBERS} tags", hint="split the client or the release")
        return cls.of_truncated(truncated)

    @classmethod
    def of_truncated(cls, truncated: U64) -> Self:
        """Build a set from sorted truncated tags; a tag that occurs several times is a member as often.

        Such a set can be looked up in, and its members numbered; it cannot be merged.
        """
        bits = cls.bucket_bits(len(truncated))
        borders = np.arange((1 << bits) + 1, dtype=np.uint64) << np.uint64(KEPT_BITS - bits)
        starts = np.searchsorted(truncated, borders).astype(np.uint32)
        width = (KEPT_BITS - bits) // 8
        whole = truncated.astype(">u8").view(np.uint8).reshape(-1, 8)
        return cls(bits, starts, np.ascontiguousarray(whole[:, 8 - width :]).reshape(-1))

    @staticmethod
    def bucket_bits(count: int) -> int:
        """How many bits number the buckets of a set of so many members."""
        return next(bits for least, bits in _BUCKET_BITS if count >= least)

    @staticmethod
    def bloom_filter_bits(count: int) -> int:
        """Log2 of the size in bits of the Bloom filter of a set of so many members."""
        return min(max((8 * count - 1).bit_length(), 7), _MAX_FILTER_BITS)

    def make_bloom_filter(self) -> U8:
        """The Bloom filter of this set; its size is 2**`bloom_filter_bits` bits."""
        filter_bits = self.bloom_filter_bits(len(self))
        bloom_filter = np.zeros(1 << filter_bits - 3, np.uint8)
        if len(self) <= _SMALL_SET:
            # as `fill_bloom_filter`, without loading numba, which takes a command longer than all of this
            chosen = self._truncated() >> np.uint64(38 - filter_bits)
            masks = np.uint64(1) << (chosen >> np.uint64(6) & np.uint64(63)) | np.uint64(1) << (chosen & np.uint64(63))
            np.bitwise_or.at(bloom_filter.view("<u8"), (chosen >> np.uint64(12)).astype(np.int64), masks)
            return bloom_filter
        from data.tagsets import tagset_kernels

        tagset_kernels.fill_bloom_filter(self.bits, self.starts, self.suffixes, filter_bits, bloom_filter)
        return bloom_filter

    def attach_bloom_filter(self, bloom_filter: U8) -> U8:
        """Use, and return, a filter that `make_bloom_filter` made of an equal set."""
        self._bloom_filter, self.use_bloom_filter = read_only(bloom_filter, np.uint8), True
        return self._bloom_filter

    @property
    def nbytes(self) -> int:
        """Size of the saved file."""
        return _HEADER.size + self.starts.nbytes + self.suffixes.nbytes

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """Which tags, shape (n,), are members; a foreign tag counts as a member with probability len / 2**44."""
        from data.tagsets import tagset_kernels

        tags = read_only(tags, np.uint64)
        arrays = self.bits, self.starts, self.suffixes
        if not self.use_bloom_filter or not len(self):
            return tagset_kernels.lookup_loop(tags, *arrays)
        bloom_filter = self._bloom_filter
        if bloom_filter is None:
            bloom_filter = self.attach_bloom_filter(self.make_bloom_filter())
        return tagset_kernels.filtered_lookup_loop(tags, *arrays, self.bloom_filter_bits(len(self)), bloom_filter)

    def look_up_column(self, tags: U64, column: int, found: NDArray[np.bool_]) -> None:
        """Look up one column of tags, shape (n, columns), and mark the members in the same column of `found`.

        Places that `found` already marks are not looked up.
        """
        left = np.flatnonzero((tags[:, column] != 0) & ~found[:, column])
        found[left, column] = self.lookup(tags[left, column])

    def to_array(self) -> U64:
        """The truncated members in order, as 64-bit tags whose last 20 bits are zero; `lookup` finds each of them."""
        return self._as_tags(self._truncated())

    def _truncated(self) -> U64:
        return self.decode(0, len(self))

    def decode(self, low: int, high: int) -> U64:
        """The truncated members from one place to another."""
        width = (KEPT_BITS - self.bits) // 8
        wide = np.zeros((high - low, 8), np.uint8)
        wide[:, 8 - width :] = self.suffixes[width * low : width * high].reshape(-1, width)
        # only the buckets that these places are in; numbers of another type would make numpy convert all starts
        first = max(0, int(np.searchsorted(self.starts, np.uint32(low), "right")) - 1)
        last = int(np.searchsorted(self.starts, np.uint32(high), "left"))
        borders = np.clip(self.starts[first : last + 1].astype(np.int64), low, high)
        buckets = np.repeat(np.arange(first, first + len(borders) - 1, dtype=np.uint64), np.diff(borders))
        suffixes: U64 = wide.reshape(-1).view(">u8").astype(np.uint64)
        return suffixes | buckets << np.uint64(KEPT_BITS - self.bits)

    def members_at(self, places: NDArray[np.int64]) -> U64:
        """The truncated members at some places, shape (n,)."""
        width = (KEPT_BITS - self.bits) // 8
        wide = np.zeros((len(places), 8), np.uint8)
        wide[:, 8 - width :] = self.suffixes.reshape(-1, width)[places]
        buckets = np.searchsorted(self.starts, places.astype(np.uint32), "right") - 1
        suffixes: U64 = wide.reshape(-1).view(">u8").astype(np.uint64)
        return suffixes | buckets.astype(np.uint64) << np.uint64(KEPT_BITS - self.bits)

    @staticmethod
    def _as_tags(truncated: U64) -> U64:
        tags = truncated << _DROPPED_BITS
        # a member whose first 44 bits are all zero must not look like an absent tag
        tags[:1][tags[:1] == 0] = 1
        return tags

    def merge(self, *others: TagSet) -> TagSet:
        """The union of this set and others, also called as `TagSet.merge(a, b, …)`."""
        # Each run is sorted already, and numpy's stable sort takes advantage of sorted runs.
        merged = np.sort(np.concatenate([part._truncated() for part in (self, *others)]), kind="stable")
        if len(merged):
            merged = merged[np.concatenate(([True], merged[1:] != merged[:-1]))]
        return TagSet._of_truncated(merged)

    def difference(self, other: TagSet) -> TagSet:
        """The members that `other` does not have."""
        truncated = self._truncated()
        return TagSet._of_truncated(truncated[~other.lookup(self._as_tags(truncated))])

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the set atomically, with mode 0600, and flush it to the disk.

        Raises:
            StoreFull: no space is left.
            StoreError: the folder cannot be written.
        """
        parts = [self.starts.astype("<u4", copy=False).data, self.suffixes.data]
        save_tag_set(path, _MAGIC, self.bits, len(self), parts)

    @classmethod
    def open(cls, path: Path, *, use_bloom_filter: bool = False) -> Self:
        """Map a saved set into memory; header, length and bucket starts are checked, the digest only by `verify`.

        Args:
            path: of the file.
            use_bloom_filter: set this if most tags to look up will not be members.

        Raises:
            StoreVersion: a newer Tocsin wrote the file.
            StoreError: the file is missing or damaged.
        """
        mapped, _, bits, count = map_tag_set(path, _MAGIC)
        size = len(mapped)
        if bits not in (4, 12, 20):
            raise damaged_error(path, "its header is invalid")
        buckets, width = (1 << bits) + 1, (KEPT_BITS - bits) // 8
        if size != _HEADER.size + 4 * buckets + width * count:
            raise damaged_error(path, f"its size, {size} bytes, does not match its header")
        starts = np.frombuffer(mapped, "<u4", buckets, _HEADER.size)
        # The kernels read memory at these places without checking them.
        if starts[0] != 0 or starts[-1] != count or np.any(starts[1:] < starts[:-1]):
            raise damaged_error(path, "the starts of its buckets are not in order")
        suffixes: Any = np.frombuffer(mapped, np.uint8, width * count, _HEADER.size + 4 * buckets)
        opened = cls(bits, starts, suffixes)
        opened.path, opened._map, opened.use_bloom_filter = path, mapped, use_bloom_filter
        return opened

    def verify(self) -> None:
        """Compare an opened set with its digest, which reads all of it; raises StoreError if they differ."""
        if self._map is None or self.path is None:
            return
        verify_digest(self.path, self._map)


def save_tag_set(
    path: Path, magic: bytes, bits: int, count: int, parts: Sequence[memoryview], version: int = _VERSION
) -> None:
    """Write a set of either format: header (magic, version, `bits`, number of members, digest), then its arrays.

    Raises:
        StoreFull, StoreError: as `write_atomically`.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    write_atomically(path, _HEADER.pack(magic, version, bits, count, digest.digest()), parts)


def map_tag_set(path: Path, magic: bytes, newest: int = _VERSION) -> tuple[mmap.mmap, int, int, int]:
    """Map a saved set of the format that `magic` names.

    Returns:
        The mapped file and, from its header, the version, the number saved as `bits`, and the number of members.

    Raises:
        StoreVersion: a newer Tocsin wrote the file.
        StoreError: the file is missing, or is not a set of this format.
    """
    try:
        with open_file(path) as file:
            head = file.read(_HEADER.size)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if head else None
    except OSError as error:
        raise StoreError(
            f"the tag set {path.name} cannot be read: {error.strerror}", hint="run: tocsin doctor"
        ) from error
    if mapped is None or len(head) < _HEADER.size or not head.startswith(magic):
        raise damaged_error(path, "it does not begin with the signature of a tag set")
    _, version, bits, count, _ = _HEADER.unpack(head)
    if version > newest:
        raise StoreVersion(f"the tag set {path.name} was written by a newer Tocsin", hint="update Tocsin")
    if version < 1:
        raise damaged_error(path, "its header is invalid")
    return mapped, version, bits, count


def verify_digest(path: Path, mapped: mmap.mmap) -> None:
    """Compare a mapped set with its digest, which reads all of it; raises StoreError if they differ."""
    with memoryview(mapped) as view:
        stored = _HEADER.unpack(view[: _HEADER.size])[-1]
        if hashlib.sha256(view[_HEADER.size :]).digest() != stored:
            raise damaged_error(path, "its content does not match its digest")


def write_atomically(path: Path, header: bytes, parts: Iterable[memoryview]) -> None:
    """Write a file atomically, with mode 0600, and flush it to the disk.

    Raises:
        StoreFull: no space is left.
        StoreError: the folder cannot be written.
    """
    with file_errors_as_ours(path.name, path.parent):
        replace_file(path, itertools.chain([header], parts))


def damaged_error(path: Path, what: str) -> StoreError:
    """The error for a damaged tag set; `what` completes "the tag set is damaged: …"."""
    return StoreError(
        f"the tag set {path.name} is damaged: {what}",
        hint="restore it from a backup, or import the bundle or release it came from again",
    )
