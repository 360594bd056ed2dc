"""Tag sets as small as exactness allows (Elias-Fano), for releases: build, save, open, look up, merge.

A tag is cut to its top 44 bits, as in `data.tagsets.tagset`, or to fewer: what a set of n members takes for its own with n /
2**cut is exact to the same degree in a small set with fewer bits. The first h bits, 2**h being about the number of
members, are told by a row of bits: for every bucket one bit for each member, then a zero. The rest stands member by
member, packed. At 15 million members that is 2.9 bytes a tag where `data.tagsets.tagset` takes 3.3.

Source: Elias 1974, "Efficient storage and retrieval by content and address of static files".
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import U8, U16, U32, U64
from data.arrays.packed import read_only
from data.errors import StoreError
from data.tagsets.tagset import CUT_BITS, HEADER_BYTES, TagSet, damaged, map_saved, save_set, verify_saved

_MAGIC = b"TOCSINEF"
# Version 1 had one cut for all, and the start of every group in four bytes: it is read, and merged, as it is.
_VERSION, _FIRST = 2, 1
# Of 256 groups of buckets the first has its start noted in four bytes, the others have how much later they start in two.
# Tags that keyed hashes make are spread so evenly that this holds; where it does not, all have four.
_COARSE_BITS = 8
# Buckets of a group, as `data.tagsets.elias_fano_kernels` has it.
_GROUP_BITS = 4
# a word may be read from the last byte
_BEHIND = 8
_LEAST_BITS, _MOST_BITS = 4, 31
LEAST_CUT = 32
"""Fewer bits of a tag are never kept."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the four arrays of a set lie.

    Attributes:
        count: of members. bits, cut_bits, coarse_bits: as `data.tagsets.elias_fano_kernels` says.
        gap: bytes of nothing behind the upper bits, as the first version had them.
    """

    count: int
    bits: int
    cut_bits: int
    coarse_bits: int
    gap: int = 0

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """As the kernels take them."""
        return self.count, self.bits, self.cut_bits, self.coarse_bits

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        return sum(self._sizes()) + self.gap

    def _sizes(self) -> tuple[int, int, int, int]:
        groups = 1 << self.bits - _GROUP_BITS
        return (
            4 * ((groups >> self.coarse_bits) + 1),
            2 * (groups + 1) if self.coarse_bits else 0,
            (self.count + (1 << self.bits) + 7) // 8,
            (self.count * (self.cut_bits - self.bits) + 7) // 8 + _BEHIND,
        )

    def parts(self, whole: U8) -> tuple[U32, U16, U8, U8]:
        """The starts of groups, how much later each of them starts, upper and lower bits: views."""
        starts, further, upper, lower = self._sizes()
        at = starts + further + upper + self.gap
        return (
            whole[:starts].view("<u4"),
            whole[starts : starts + further].view("<u2"),
            whole[starts + further : starts + further + upper],
            whole[at : at + lower],
        )


class TightSet:
    """A set of tags cut to their top bits; 0 is never a member. Immutable; threads may share it."""

    __slots__ = ("_map", "further", "layout", "lower", "path", "starts", "upper")

    def __init__(self, layout: _Layout, whole: U8) -> None:
        """For `build` and `open`: the arrays of `data.tagsets.elias_fano_kernels`, one behind the other."""
        self.layout = layout
        starts, further, upper, lower = layout.parts(whole)
        self.starts, self.further = read_only(starts, np.uint32), read_only(further, np.uint16)
        self.upper, self.lower = read_only(upper, np.uint8), read_only(lower, np.uint8)
        self.path: Path | None = None
        self._map: mmap.mmap | None = None

    def __repr__(self) -> str:
        return f"<TightSet of {len(self)}>"

    def __len__(self) -> int:
        return self.layout.count

    @property
    def cut_bits(self) -> int:
        """Of a tag that are kept."""
        return self.layout.cut_bits

    @classmethod
    def build(cls, tags: U64, cut_bits: int = CUT_BITS) -> Self:
        """From tags of shape (n,) in any order, repeated or not, of which so many bits are kept; zeros are left out."""
        if not LEAST_CUT <= cut_bits <= CUT_BITS:
            raise ValueError(f"a tag is cut to {LEAST_CUT} to {CUT_BITS} bits")
        return cls._of_sorted(np.sort(tags[tags != 0] >> np.uint64(64 - cut_bits)), cut_bits)

    @classmethod
    def _of_sorted(cls, cut: U64, cut_bits: int) -> Self:
        """From sorted cut tags, repeated or not."""
        from data.tagsets import elias_fano_kernels

        if len(cut):
            cut = cut[np.concatenate(([True], cut[1:] != cut[:-1]))]
        bits = min(_MOST_BITS, max(_LEAST_BITS, len(cut).bit_length() - 1))
        # where the groups begin
        borders = np.arange((1 << bits - _GROUP_BITS) + 1, dtype=np.uint64) << np.uint64(cut_bits - bits + _GROUP_BITS)
        every = np.searchsorted(cut, borders)
        coarse = every[:: 1 << _COARSE_BITS]
        further = every - np.repeat(coarse, 1 << _COARSE_BITS)[: len(every)]
        is_even = further.max() <= np.iinfo(np.uint16).max
        layout = _Layout(len(cut), bits, cut_bits, _COARSE_BITS if is_even else 0)
        whole = np.zeros(layout.nbytes, np.uint8)
        starts, later, upper, lower = layout.parts(whole)
        starts[:] = coarse if is_even else every
        if is_even:
            later[:] = further
        elias_fano_kernels.fill(cut, bits, cut_bits, upper, lower)
        return cls(layout, whole)

    @property
    def nbytes(self) -> int:
        """Size of the saved file."""
        return HEADER_BYTES + self.layout.nbytes

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """Which tags of shape (n,) are members; one that is not is taken for one with probability len / 2**cut."""
        found = np.zeros((len(tags), 1), bool)
        self.look_into(tags.reshape(-1, 1), 0, found)
        return found[:, 0]

    def look_into(self, tags: U64, column: int, found: NDArray[np.bool_]) -> None:
        """`lookup` of one column of tags, shape (n, columns), into that of `found`; what is set there is not asked for.

        Raises:
            ValueError: `found` has another shape, or does not lie in one piece.
        """
        from data.tagsets import elias_fano_kernels

        if found.shape != tags.shape or not found.flags.c_contiguous:
            raise ValueError("tags and what is found of them must have one shape")
        elias_fano_kernels.look_into(
            read_only(tags, np.uint64), column, *self.layout.numbers,
            self.starts, self.further, self.upper, self.lower, found,
        )  # fmt: skip

    def to_array(self) -> U64:
        """The members in order, cut: their lower bits are zero. `lookup` finds every one of them."""
        shown = self._cut() << np.uint64(64 - self.cut_bits)
        # a member whose kept bits are all zero must not look like an absent tag
        shown[:1][shown[:1] == 0] = 1
        return shown

    def _cut(self) -> U64:
        from data.tagsets import elias_fano_kernels

        count, bits, cut_bits, _ = self.layout.numbers
        return elias_fano_kernels.members(count, bits, cut_bits, self.upper, self.lower)

    @classmethod
    def union(cls, sets: list[TightSet | TagSet]) -> TightSet:
        """All members of some sets, which are cut to the same bits; raises ValueError where they are not."""
        if len(sets) == 1 and isinstance(sets[0], TightSet):
            return sets[0]
        bits = {each.cut_bits for each in sets}
        if len(bits) > 1:
            raise ValueError("what was cut to fewer bits is no member of a set of longer ones")
        cut_bits = bits.pop() if bits else CUT_BITS
        # the runs are sorted already, which numpy's stable sort makes use of
        cuts = [each.to_array() >> np.uint64(64 - cut_bits) for each in sets] or [np.zeros(0, np.uint64)]
        return cls._of_sorted(np.sort(np.concatenate(cuts), kind="stable"), cut_bits)

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the set whole or not at all, mode 0600, and make sure that it is on the disk.

        Raises:
            StoreFull: no space is left. StoreError: the folder cannot be written.
        """
        count, bits, cut_bits, coarse_bits = self.layout.numbers
        parts = [self.starts.data, self.further.data, self.upper.data, self.lower.data]
        save_set(path, _MAGIC, bits | cut_bits << 8 | coarse_bits << 16, count, parts, _VERSION)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a saved set into memory: checks header and length, not the digest (see `verify`).

        Raises:
            StoreVersion: a newer Tocsin wrote it. StoreError: the file is missing or damaged.
        """
        mapped, version, numbers, count = map_saved(path, _MAGIC, _VERSION)
        size = len(mapped)
        bits, cut_bits, coarse_bits, more = numbers.to_bytes(4, "little")
        if version == _FIRST:
            cut_bits, coarse_bits, more = CUT_BITS, 0, numbers >> 8
        sensible = _LEAST_BITS <= bits <= _MOST_BITS and LEAST_CUT <= cut_bits <= CUT_BITS
        if more or not sensible or coarse_bits not in (0, _COARSE_BITS):
            raise damaged(path, "its header makes no sense")
        layout = _Layout(count, bits, cut_bits, coarse_bits, _BEHIND if version == _FIRST else 0)
        if size != HEADER_BYTES + layout.nbytes:
            raise damaged(path, f"it has {size} bytes where its header announces another length")
        opened = cls(layout, np.frombuffer(mapped, np.uint8, layout.nbytes, HEADER_BYTES))
        # the look-up reads from these places
        starts = opened.starts
        if coarse_bits:
            starts = np.repeat(starts, 1 << coarse_bits)[: len(opened.further)] + opened.further
        if starts[0] != 0 or starts[-1] != count or np.any(starts[1:] < starts[:-1]):
            raise damaged(path, "its buckets are out of order")
        opened.path, opened._map = path, mapped
        return opened

    def verify(self) -> None:
        """Read all of an opened set and compare it with its digest; raises StoreError where it differs."""
        if self._map is None or self.path is None:
            return
        verify_saved(self.path, self._map)


def open_set(path: Path) -> TightSet | TagSet:
    """A saved set of either form; raises as their `open` does."""
    try:
        with path.open("rb") as file:
            is_tight = file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise StoreError(
            f"the tag set {path.name} cannot be read: {error.strerror}", hint="run: tocsin doctor"
        ) from error
    return TightSet.open(path) if is_tight else TagSet.open(path)
