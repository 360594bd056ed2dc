"""Sorted, bucketed, memory-mapped sets of tags: build, save, open, look up, merge, difference.

A tag is cut to its top 44 bits: the first few name a bucket, the rest stands in it as whole big-endian bytes. With
20 bits of bucket that is 3 bytes a tag; smaller sets have fewer buckets and longer rests, and stay comparable.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import struct
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import U8, U32, U64
from data.arrays.packed import read_only
from data.errors import StoreError, StoreFull, StoreVersion

CUT_BITS = 44
"""A tag that is in no set of n is found in it with probability n / 2**44: 1e-6 at 15 million."""
_DROPPED = np.uint64(64 - CUT_BITS)
# members above which that many bits number the buckets; the rests are then 5, 4 and 3 bytes
_BUCKETS = ((1 << 18, 20), (1 << 12, 12), (0, 4))

# a bitmap of 512 MB, for sets of half a milliard; larger ones share its bits
_MAX_SIEVE_BITS = 32

_MAGIC = b"TOCSINTS"
_VERSION = 1
# magic, version, bucket bits, members, SHA-256 of what follows the header
_HEADER = struct.Struct("<8sIIQ32s")
HEADER_BYTES = _HEADER.size
_MAX_MEMBERS = 2**32 - 1


def distinct(tags: U64) -> U64:
    """Sorted, each once. `numpy.unique` hashes since 2.3 and is 20 times slower than a sort on random 64-bit integers."""
    ordered = np.sort(tags)
    keep = np.ones(len(ordered), bool)
    keep[1:] = ordered[1:] != ordered[:-1]
    return ordered[keep]


class TagSet:
    """A set of tags cut to their top 44 bits; 0 is never a member. Immutable; threads may share it."""

    __slots__ = ("_map", "_sieve", "bits", "path", "rest", "sifted", "starts")

    cut_bits = CUT_BITS

    def __init__(self, bits: int, starts: U32, rest: U8) -> None:
        """For `build` and `open`. bits: 4, 12 or 20; starts, rest: as `data.tagsets.tagset_kernels.lookup` says."""
        self.bits, self.starts, self.rest = bits, read_only(starts, np.uint32), read_only(rest, np.uint8)
        self.path: Path | None = None
        self._map: mmap.mmap | None = None
        self.sifted = False
        """Whether look-ups ask a bitmap first, which takes 1 to 2 bytes a member and is made by the first of them."""
        self._sieve: U8 | None = None

    def __repr__(self) -> str:
        return f"<TagSet of {len(self)}>"

    def __len__(self) -> int:
        return int(self.starts[-1])

    @classmethod
    def build(cls, tags: U64) -> Self:
        """From tags of shape (n,) in any order, repeated or not; zeros are left out."""
        # a sort: numpy.unique hashes, which on random 64-bit integers takes 20 times as long
        cut = np.sort(tags[tags != 0] >> _DROPPED)
        if len(cut):
            cut = cut[np.concatenate(([True], cut[1:] != cut[:-1]))]
        return cls._of_cut(cut)

    @classmethod
    def _of_cut(cls, cut: U64) -> Self:
        """From sorted distinct cut tags."""
        if len(cut) > _MAX_MEMBERS:
            raise StoreError(f"a tag set holds at most {_MAX_MEMBERS} tags", hint="split the client or the release")
        bits = next(bits for least, bits in _BUCKETS if len(cut) >= least)
        borders = np.arange((1 << bits) + 1, dtype=np.uint64) << np.uint64(CUT_BITS - bits)
        starts = np.searchsorted(cut, borders).astype(np.uint32)
        width = (CUT_BITS - bits) // 8
        rest = np.ascontiguousarray(cut.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - width :]).reshape(-1)
        return cls(bits, starts, rest)

    @property
    def nbytes(self) -> int:
        """Size of the saved file."""
        return _HEADER.size + self.starts.nbytes + self.rest.nbytes

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """Which tags of shape (n,) are members; one that is not is taken for one with probability len / 2**44."""
        from data.tagsets import tagset_kernels

        tags = read_only(tags, np.uint64)
        if not self.sifted or not len(self):
            return tagset_kernels.lookup(tags, self.bits, self.starts, self.rest)
        sieve_bits = min(max((8 * len(self) - 1).bit_length(), 7), _MAX_SIEVE_BITS)
        if self._sieve is None:
            sieve = np.zeros(1 << sieve_bits - 3, np.uint8)
            tagset_kernels.fill_sieve(self.bits, self.starts, self.rest, sieve_bits, sieve)
            self._sieve = sieve
        return tagset_kernels.sifted_lookup(tags, self.bits, self.starts, self.rest, sieve_bits, self._sieve)

    def look_into(self, tags: U64, column: int, found: NDArray[np.bool_]) -> None:
        """`lookup` of one column of tags, shape (n, columns), into that of `found`; what is set there is not asked for."""
        left = np.flatnonzero((tags[:, column] != 0) & ~found[:, column])
        found[left, column] = self.lookup(tags[left, column])

    def to_array(self) -> U64:
        """The members in order, cut: their lower 20 bits are zero. `lookup` finds every one of them."""
        return self._shown(self._cut())

    def _cut(self) -> U64:
        width = (CUT_BITS - self.bits) // 8
        wide = np.zeros((len(self), 8), np.uint8)
        wide[:, 8 - width :] = self.rest.reshape(-1, width)
        buckets = np.repeat(np.arange(1 << self.bits, dtype=np.uint64), self.starts[1:] - self.starts[:-1])
        cut: U64 = wide.reshape(-1).view(">u8").astype(np.uint64)
        return cut | buckets << np.uint64(CUT_BITS - self.bits)

    @staticmethod
    def _shown(cut: U64) -> U64:
        shown = cut << _DROPPED
        # a member whose top 44 bits are all zero must not look like an absent tag
        shown[:1][shown[:1] == 0] = 1
        return shown

    def merge(self, *others: TagSet) -> TagSet:
        """The union; `TagSet.merge(a, b, …)` reads best."""
        # the runs are sorted already, which numpy's stable sort makes use of
        cut = np.sort(np.concatenate([part._cut() for part in (self, *others)]), kind="stable")
        return TagSet._of_cut(cut[np.concatenate(([True], cut[1:] != cut[:-1]))] if len(cut) else cut)

    def difference(self, other: TagSet) -> TagSet:
        """The members that `other` does not have."""
        cut = self._cut()
        return TagSet._of_cut(cut[~other.lookup(self._shown(cut))])

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the set whole or not at all, mode 0600, and make sure that it is on the disk.

        Raises:
            StoreFull: no space is left. StoreError: the folder cannot be written.
        """
        save_set(path, _MAGIC, self.bits, len(self), [self.starts.astype("<u4", copy=False).data, self.rest.data])

    @classmethod
    def open(cls, path: Path, *, sifted: bool = False) -> Self:
        """Map a saved set into memory: checks header, length and bucket borders, not the digest (see `verify`).

        Args:
            path: of the file.
            sifted: it will be asked for very many tags that it does not have.

        Raises:
            StoreVersion: a newer Tocsin wrote it. StoreError: the file is missing or damaged.
        """
        mapped, _, bits, count = map_saved(path, _MAGIC)
        size = len(mapped)
        if bits not in (4, 12, 20):
            raise damaged(path, "its header makes no sense")
        buckets, width = (1 << bits) + 1, (CUT_BITS - bits) // 8
        if size != _HEADER.size + 4 * buckets + width * count:
            raise damaged(path, f"it has {size} bytes where its header announces another length")
        starts = np.frombuffer(mapped, "<u4", buckets, _HEADER.size)
        # the look-up trusts these borders
        if starts[0] != 0 or starts[-1] != count or np.any(starts[1:] < starts[:-1]):
            raise damaged(path, "its buckets are out of order")
        rest: Any = np.frombuffer(mapped, np.uint8, width * count, _HEADER.size + 4 * buckets)
        opened = cls(bits, starts, rest)
        opened.path, opened._map, opened.sifted = path, mapped, sifted
        return opened

    def verify(self) -> None:
        """Read all of an opened set and compare it with its digest; raises StoreError where it differs."""
        if self._map is None or self.path is None:
            return
        verify_saved(self.path, self._map)


def save_set(
    path: Path, magic: bytes, bits: int, count: int, parts: Sequence[memoryview], version: int = _VERSION
) -> None:
    """Write a set of either form: magic, version, bits of the bucket number, members, digest, and its arrays.

    Raises:
        StoreFull, StoreError: as `save_parts`.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    save_parts(path, _HEADER.pack(magic, version, bits, count, digest.digest()), parts)


def map_saved(path: Path, magic: bytes, newest: int = _VERSION) -> tuple[mmap.mmap, int, int, int]:
    """Map a saved set of the form that `magic` names; returns the file, its version, the bits of the bucket number, and the members.

    Raises:
        StoreVersion: a newer Tocsin wrote it. StoreError: the file is missing, or no such set.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if head else None
    except OSError as error:
        raise StoreError(
            f"the tag set {path.name} cannot be read: {error.strerror}", hint="run: tocsin doctor"
        ) from error
    if mapped is None or len(head) < _HEADER.size or not head.startswith(magic):
        raise damaged(path, "it does not begin as a tag set")
    _, version, bits, count, _ = _HEADER.unpack(head)
    if version > newest:
        raise StoreVersion(f"the tag set {path.name} was written by a newer Tocsin", hint="update Tocsin")
    if version < 1:
        raise damaged(path, "its header makes no sense")
    return mapped, version, bits, count


def verify_saved(path: Path, mapped: mmap.mmap) -> None:
    """Read all of a mapped set and compare it with its digest; raises StoreError where it differs."""
    with memoryview(mapped) as view:
        stored = _HEADER.unpack(view[: _HEADER.size])[-1]
        if hashlib.sha256(view[_HEADER.size :]).digest() != stored:
            raise damaged(path, "its content does not agree with its digest")


def save_parts(path: Path, header: bytes, parts: Iterable[memoryview]) -> None:
    """Write a file whole or not at all, mode 0600, and make sure that it is on the disk.

    Raises:
        StoreFull: no space is left. StoreError: the folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(header)
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"no space left to write {path.name}", hint="make room; nothing was changed") from error
        raise StoreError(
            f"{path.name} cannot be written: {error.strerror}", hint=f"check the permissions of {path.parent}"
        ) from error


def damaged(path: Path, what: str) -> StoreError:
    """The error of a file that is not what it should be."""
    return StoreError(
        f"the tag set {path.name} is damaged: {what}",
        hint="restore it from a backup, or import the bundle or release it came from again",
    )
