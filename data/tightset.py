"""Tag sets as small as exactness allows (Elias-Fano), for releases: build, save, open, look up, merge.

A tag is cut to its top 44 bits, as in `data.tagset`. The first h of them, 2**h being about the number of members, are
told by a row of bits: for every bucket one bit for each member, then a zero. The rest stands member by member, packed.
At 15 million members that is 2.9 bytes a tag where `data.tagset` takes 3.3: all six keys of a record in 14.5 bytes.

Source: Elias 1974, "Efficient storage and retrieval by content and address of static files".
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError
from data.tags import read_only
from data.tagset import CUT_BITS, HEADER_BYTES, TagSet, damaged, map_saved, save_set, verify_saved

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

_DROPPED = np.uint64(64 - CUT_BITS)
_MAGIC = b"TOCSINEF"
_STEP = 16
# a word may be read from the last byte
_BEHIND = 8
_LEAST_BITS, _MOST_BITS = 4, 31


class TightSet:
    """A set of tags cut to their top 44 bits; 0 is never a member. Immutable; threads may share it."""

    __slots__ = ("_map", "bits", "count", "lower", "path", "starts", "upper")

    def __init__(self, count: int, bits: int, starts: U32, upper: U8, lower: U8) -> None:
        """For `build` and `open`: members, bits of the bucket number, and the arrays of `data.tight_kernels`."""
        self.count, self.bits = count, bits
        self.starts, self.upper, self.lower = (
            read_only(starts, np.uint32), read_only(upper, np.uint8), read_only(lower, np.uint8)
        )  # fmt: skip
        self.path: Path | None = None
        self._map: mmap.mmap | None = None

    def __repr__(self) -> str:
        return f"<TightSet of {self.count}>"

    def __len__(self) -> int:
        return self.count

    @classmethod
    def build(cls, tags: U64) -> Self:
        """From tags of shape (n,) in any order, repeated or not; zeros are left out."""
        return cls._of_sorted(np.sort(tags[tags != 0] >> _DROPPED))

    @classmethod
    def _of_sorted(cls, cut: U64) -> Self:
        """From sorted cut tags, repeated or not."""
        from data import tight_kernels

        if len(cut):
            cut = cut[np.concatenate(([True], cut[1:] != cut[:-1]))]
        bits = min(_MOST_BITS, max(_LEAST_BITS, len(cut).bit_length() - 1))
        arrays: list[NDArray[Any]] = [np.zeros(size, kind) for size, kind in _sizes(len(cut), bits)]
        starts, upper, lower = arrays
        tight_kernels.fill(cut, bits, CUT_BITS, starts, upper, lower)
        return cls(len(cut), bits, starts, upper, lower)

    @property
    def nbytes(self) -> int:
        """Size of the saved file."""
        return HEADER_BYTES + self.starts.nbytes + self.upper.nbytes + self.lower.nbytes

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """Which tags of shape (n,) are members; one that is not is taken for one with probability len / 2**44."""
        found = np.zeros((len(tags), 1), bool)
        self.look_into(tags.reshape(-1, 1), 0, found)
        return found[:, 0]

    def look_into(self, tags: U64, column: int, found: NDArray[np.bool_]) -> None:
        """`lookup` of one column of tags, shape (n, columns), into that of `found`; what is set there is not asked for.

        Raises:
            ValueError: `found` has another shape, or does not lie in one piece.
        """
        from data import tight_kernels

        if found.shape != tags.shape or not found.flags.c_contiguous:
            raise ValueError("tags and what is found of them must have one shape")
        tight_kernels.look_into(
            read_only(tags, np.uint64), column, self.count, self.bits, CUT_BITS, self.starts, self.upper, self.lower, found
        )  # fmt: skip

    def to_array(self) -> U64:
        """The members in order, cut: their lower 20 bits are zero. `lookup` finds every one of them."""
        shown = self._cut() << _DROPPED
        # a member whose top 44 bits are all zero must not look like an absent tag
        shown[:1][shown[:1] == 0] = 1
        return shown

    def _cut(self) -> U64:
        from data import tight_kernels

        return tight_kernels.members(self.count, self.bits, CUT_BITS, self.upper, self.lower)

    @classmethod
    def union(cls, sets: list[TightSet | TagSet]) -> TightSet:
        """All members of some sets."""
        if len(sets) == 1 and isinstance(sets[0], TightSet):
            return sets[0]
        # the runs are sorted already, which numpy's stable sort makes use of
        cuts = [each.to_array() >> _DROPPED for each in sets] or [np.zeros(0, np.uint64)]
        return cls._of_sorted(np.sort(np.concatenate(cuts), kind="stable"))

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the set whole or not at all, mode 0600, and make sure that it is on the disk.

        Raises:
            StoreFull: no space is left. StoreError: the folder cannot be written.
        """
        parts = [self.starts.astype("<u4", copy=False).data, self.upper.data, self.lower.data]
        save_set(path, _MAGIC, self.bits, self.count, parts)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a saved set into memory: checks header and length, not the digest (see `verify`).

        Raises:
            StoreVersion: a newer Tocsin wrote it. StoreError: the file is missing or damaged.
        """
        mapped, bits, count = map_saved(path, _MAGIC)
        size = len(mapped)
        if not _LEAST_BITS <= bits <= _MOST_BITS:
            raise damaged(path, "its header makes no sense")
        sizes = _sizes(count, bits)
        if size != HEADER_BYTES + sum(length * np.dtype(kind).itemsize for length, kind in sizes):
            raise damaged(path, f"it has {size} bytes where its header announces another length")
        at, arrays = HEADER_BYTES, []
        for length, kind in sizes:
            part: Any = np.frombuffer(mapped, np.dtype(kind).newbyteorder("<"), length, at)
            arrays.append(part)
            at += part.nbytes
        starts = arrays[0]
        # the look-up reads from these places
        if starts[0] != 0 or starts[-1] != count or np.any(starts[1:] < starts[:-1]):
            raise damaged(path, "its buckets are out of order")
        opened = cls(count, bits, *arrays)
        opened.path, opened._map = path, mapped
        return opened

    def verify(self) -> None:
        """Read all of an opened set and compare it with its digest; raises StoreError where it differs."""
        if self._map is None or self.path is None:
            return
        verify_saved(self.path, self._map)


def _sizes(count: int, bits: int) -> list[tuple[int, type]]:
    """Lengths and kinds of the three arrays."""
    return [
        (((1 << bits) + _STEP - 1) // _STEP + 1, np.uint32),
        ((count + (1 << bits) + 7) // 8 + _BEHIND, np.uint8),
        ((count * (CUT_BITS - bits) + 7) // 8 + _BEHIND, np.uint8),
    ]


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
