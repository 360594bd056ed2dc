"""Compact tag sets for releases in Elias-Fano encoding: build, save, open, look up, merge.

A tag is truncated to its first 44 bits, as in `data.tagsets.tagset`, or to fewer. A set of n members with b kept bits
takes a foreign tag for a member with probability n / 2**b, so a small set needs fewer bits for the same exactness.
The first h bits of a tag, where 2**h is about the number of members, number its bucket. The upper bit array stores, for
each bucket, a one for each member and then a zero. The lower bit array stores the remaining bits of each member,
without gaps. At 15 million members this takes 2.9 bytes per tag, while `data.tagsets.tagset` takes 3.3.

Source: Elias 1974, "Efficient storage and retrieval by content and address of static files".
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import U8, U16, U32, U64
from data.arrays.packed import read_only
from data.durable_files import open_file
from data.errors import StoreError
from data.tagsets.tag_bits import KEPT_BITS, MIN_KEPT_BITS
from data.tagsets.tagset import (
    HEADER_BYTES,
    TagSet,
    damaged_error,
    map_tag_set,
    save_tag_set,
    verify_digest,
)
from data.tagsets.verified_files import verify_changed_files

_MAGIC = b"TOCSINEF"
# In version 1 every set kept 44 bits and stored the start of every group in four bytes. Sets of version 1 are still
# opened and merged.
_VERSION, _VERSION_1 = 2, 1
# Of every 256 groups of buckets the first has its start stored in four bytes; each group also has the distance from
# that start stored in two bytes. Keyed hashes spread tags so evenly that two bytes suffice. If they do not, every group
# has its start stored in four bytes.
_COARSE_BITS = 8
# log2 of the number of buckets in a group, as in `data.tagsets.elias_fano_kernels`
_GROUP_BITS = 4
# bytes of padding, because a kernel may read a whole word from the last byte on
_PADDING = 8
_MIN_BUCKET_BITS, _MAX_BUCKET_BITS = 4, 31


@dataclass(frozen=True, slots=True)
class _Layout:
    """The numbers that fix the sizes and places of a set's four arrays.

    Attributes:
        count: number of members.
        bits: number of bits that number the buckets (`high_bits` in `data.tagsets.elias_fano_kernels`).
        kept_bits: number of bits kept of a tag.
        coarse_bits: as in `data.tagsets.elias_fano_kernels.look_up_column_loop`.
        gap: unused bytes after the upper bits, which only version 1 has.
    """

    count: int
    bits: int
    kept_bits: int
    coarse_bits: int
    gap: int = 0

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """Count, bits, kept_bits and coarse_bits, in the order in which the kernels take them."""
        return self.count, self.bits, self.kept_bits, self.coarse_bits

    @property
    def nbytes(self) -> int:
        """Size of all four arrays together, with the gap."""
        return sum(self._sizes()) + self.gap

    def _sizes(self) -> tuple[int, int, int, int]:
        groups = 1 << self.bits - _GROUP_BITS
        return (
            4 * ((groups >> self.coarse_bits) + 1),
            2 * (groups + 1) if self.coarse_bits else 0,
            (self.count + (1 << self.bits) + 7) // 8,
            (self.count * (self.kept_bits - self.bits) + 7) // 8 + _PADDING,
        )

    def parts(self, whole: U8) -> tuple[U32, U16, U8, U8]:
        """Views of the four arrays: starts, group offsets, upper bits, lower bits."""
        starts, offsets, upper, lower = self._sizes()
        at = starts + offsets + upper + self.gap
        return (
            whole[:starts].view("<u4"),
            whole[starts : starts + offsets].view("<u2"),
            whole[starts + offsets : starts + offsets + upper],
            whole[at : at + lower],
        )


class EliasFanoSet:
    """A set of tags truncated to their first bits; 0 is never a member. Immutable; threads may share it."""

    __slots__ = ("_map", "layout", "lower", "offsets", "path", "starts", "upper")

    def __init__(self, layout: _Layout, whole: U8) -> None:
        """For `build` and `open`. whole: the four arrays of `data.tagsets.elias_fano_kernels`, one after the other."""
        self.layout = layout
        starts, offsets, upper, lower = layout.parts(whole)
        self.starts, self.offsets = read_only(starts, np.uint32), read_only(offsets, np.uint16)
        self.upper, self.lower = read_only(upper, np.uint8), read_only(lower, np.uint8)
        self.path: Path | None = None
        self._map: mmap.mmap | None = None

    def __repr__(self) -> str:
        return f"<EliasFanoSet of {len(self)}>"

    def __len__(self) -> int:
        return self.layout.count

    @property
    def kept_bits(self) -> int:
        """How many of a tag's first bits the set keeps."""
        return self.layout.kept_bits

    @classmethod
    def build(cls, tags: U64, kept_bits: int = KEPT_BITS) -> Self:
        """Build a set from tags, shape (n,), in any order, with or without duplicates; zeros are left out.

        Raises:
            ValueError: `kept_bits` is outside `MIN_KEPT_BITS` to `KEPT_BITS`.
        """
        if not MIN_KEPT_BITS <= kept_bits <= KEPT_BITS:
            raise ValueError(f"a tag set keeps {MIN_KEPT_BITS} to {KEPT_BITS} bits of a tag, not {kept_bits}")
        return cls._of_sorted(np.sort(tags[tags != 0] >> np.uint64(64 - kept_bits)), kept_bits)

    @classmethod
    def _of_sorted(cls, truncated: U64, kept_bits: int) -> Self:
        """Build a set from sorted truncated tags, with or without duplicates."""
        from data.tagsets import elias_fano_kernels

        if len(truncated):
            truncated = truncated[np.concatenate(([True], truncated[1:] != truncated[:-1]))]
        bits = min(_MAX_BUCKET_BITS, max(_MIN_BUCKET_BITS, len(truncated).bit_length() - 1))
        # the first truncated tag that each group could hold
        borders = np.arange((1 << bits - _GROUP_BITS) + 1, dtype=np.uint64) << np.uint64(kept_bits - bits + _GROUP_BITS)
        every = np.searchsorted(truncated, borders)
        coarse = every[:: 1 << _COARSE_BITS]
        distances = every - np.repeat(coarse, 1 << _COARSE_BITS)[: len(every)]
        is_even = distances.max() <= np.iinfo(np.uint16).max
        layout = _Layout(len(truncated), bits, kept_bits, _COARSE_BITS if is_even else 0)
        whole = np.zeros(layout.nbytes, np.uint8)
        starts, offsets, upper, lower = layout.parts(whole)
        starts[:] = coarse if is_even else every
        if is_even:
            offsets[:] = distances
        elias_fano_kernels.encode_members(truncated, bits, kept_bits, upper, lower)
        return cls(layout, whole)

    @property
    def nbytes(self) -> int:
        """Size of the saved file."""
        return HEADER_BYTES + self.layout.nbytes

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """Which tags, shape (n,), are members; a foreign tag counts as a member with probability len / 2**kept_bits."""
        found = np.zeros((len(tags), 1), bool)
        self.look_up_column(tags.reshape(-1, 1), 0, found)
        return found[:, 0]

    def look_up_column(self, tags: U64, column: int, found: NDArray[np.bool_]) -> None:
        """Look up one column of tags, shape (n, columns), and mark the members in the same column of `found`.

        Places that `found` already marks are not looked up.

        Raises:
            ValueError: `found` has another shape than `tags`, or is not contiguous.
        """
        from data.tagsets import elias_fano_kernels

        if found.shape != tags.shape or not found.flags.c_contiguous:
            raise ValueError("tags and found must have one shape, and found must be contiguous")
        elias_fano_kernels.look_up_column_loop(
            read_only(tags, np.uint64), column, *self.layout.numbers,
            self.starts, self.offsets, self.upper, self.lower, found,
        )  # fmt: skip

    def to_array(self) -> U64:
        """The truncated members in order, as 64-bit tags whose last bits are zero; `lookup` finds each of them."""
        tags = self._truncated() << np.uint64(64 - self.kept_bits)
        # a member whose kept bits are all zero must not look like an absent tag
        tags[:1][tags[:1] == 0] = 1
        return tags

    def _truncated(self) -> U64:
        from data.tagsets import elias_fano_kernels

        count, bits, kept_bits, _ = self.layout.numbers
        return elias_fano_kernels.decode_members(count, bits, kept_bits, self.upper, self.lower)

    @classmethod
    def union(cls, sets: list[EliasFanoSet | TagSet]) -> EliasFanoSet:
        """The union of sets that keep the same number of bits.

        Raises:
            ValueError: the sets keep different numbers of bits.
        """
        if len(sets) == 1 and isinstance(sets[0], EliasFanoSet):
            return sets[0]
        kept = {each.kept_bits for each in sets}
        if len(kept) > 1:
            raise ValueError("tag sets that keep different numbers of bits cannot be merged")
        kept_bits = kept.pop() if kept else KEPT_BITS
        # Each run is sorted already, and numpy's stable sort takes advantage of sorted runs.
        runs = [each.to_array() >> np.uint64(64 - kept_bits) for each in sets] or [np.zeros(0, np.uint64)]
        return cls._of_sorted(np.sort(np.concatenate(runs), kind="stable"), kept_bits)

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the set atomically, with mode 0600, and flush it to the disk.

        Raises:
            StoreFull: no space is left.
            StoreError: the folder cannot be written.
        """
        count, bits, kept_bits, coarse_bits = self.layout.numbers
        parts = [self.starts.data, self.offsets.data, self.upper.data, self.lower.data]
        save_tag_set(path, _MAGIC, bits | kept_bits << 8 | coarse_bits << 16, count, parts, _VERSION)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a saved set into memory; header and length are checked, the digest only by `verify`.

        Raises:
            StoreVersion: a newer Tocsin wrote the file.
            StoreError: the file is missing or damaged.
        """
        mapped, version, numbers, count = map_tag_set(path, _MAGIC, _VERSION)
        size = len(mapped)
        bits, kept_bits, coarse_bits, more = numbers.to_bytes(4, "little")
        if version == _VERSION_1:
            kept_bits, coarse_bits, more = KEPT_BITS, 0, numbers >> 8
        is_valid = _MIN_BUCKET_BITS <= bits <= _MAX_BUCKET_BITS and MIN_KEPT_BITS <= kept_bits <= KEPT_BITS
        if more or not is_valid or coarse_bits not in (0, _COARSE_BITS):
            raise damaged_error(path, "its header is invalid")
        layout = _Layout(count, bits, kept_bits, coarse_bits, _PADDING if version == _VERSION_1 else 0)
        if size != HEADER_BYTES + layout.nbytes:
            raise damaged_error(path, f"its size, {size} bytes, does not match its header")
        opened = cls(layout, np.frombuffer(mapped, np.uint8, layout.nbytes, HEADER_BYTES))
        # The kernels read memory at these places without checking them.
        starts = opened.starts
        if coarse_bits:
            starts = np.repeat(starts, 1 << coarse_bits)[: len(opened.offsets)] + opened.offsets
        if starts[0] != 0 or starts[-1] != count or np.any(starts[1:] < starts[:-1]):
            raise damaged_error(path, "the starts of its buckets are not in order")
        opened.path, opened._map = path, mapped
        return opened

    def verify(self) -> None:
        """Compare an opened set with its digest, which reads all of it; raises StoreError if they differ."""
        if self._map is None or self.path is None:
            return
        verify_digest(self.path, self._map)


def open_tag_set(path: Path) -> EliasFanoSet | TagSet:
    """Open a saved set of either format; raises as `EliasFanoSet.open` and `TagSet.open` do."""
    try:
        with open_file(path) as file:
            is_elias_fano = file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise StoreError(
            f"the tag set {path.name} cannot be read: {error.strerror}", hint="run: tocsin doctor"
        ) from error
    return EliasFanoSet.open(path) if is_elias_fano else TagSet.open(path)


def open_verified_sets(folder: Path, names: Iterable[str]) -> dict[str, EliasFanoSet | TagSet]:
    """Open the sets `NAME.tags` of a folder; those that must be verified are (`data.tagsets.verified_files`).

    Raises:
        StoreVersion, StoreError: as `open_tag_set`, or the content of a set does not match its digest.
    """
    sets = {name: open_tag_set(folder / f"{name}.tags") for name in names}
    verify_changed_files(folder, {folder / f"{name}.tags": tag_set.verify for name, tag_set in sets.items()})
    return sets
