"""Many byte strings in two arrays, as compiled loops take them: columns of normal forms, cells or texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, U8, U32, U64

# what `bytes.strip` takes away
_IS_SPACE = np.isin(np.arange(256), np.frombuffer(b" \t\n\r\x0b\x0c", np.uint8))
_HEX_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def read_only(array: NDArray[Any], dtype: type) -> NDArray[Any]:
    """A read-only, contiguous view (or copy) of an array: numba recompiles a kernel for every other kind of array."""
    flags, own = array.flags, array.dtype
    # `array.dtype == dtype` would make a dtype of the class each time; this is called 60 times for each small table
    is_right = own.type is dtype and own.isnative and flags.c_contiguous
    if is_right and not flags.writeable:
        return array
    view: NDArray[Any] = (array if is_right else np.ascontiguousarray(array, dtype)).view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Byte strings in two arrays: item i is `blob[offsets[i]:offsets[i + 1]]`.

    Attributes:
        blob: shape (bytes,), read-only.
        offsets: shape (n + 1,), starting at 0, never decreasing, read-only.
    """

    blob: U8 = field(repr=False)
    offsets: I64 = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blob", read_only(self.blob, np.uint8))
        object.__setattr__(self, "offsets", read_only(self.offsets, np.int64))

    @classmethod
    def of(cls, items: Sequence[bytes]) -> Self:
        """Pack a list of byte strings."""
        offsets = np.zeros(len(items) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, items), np.int64, len(items)), out=offsets[1:])
        return cls(np.frombuffer(b"".join(items), np.uint8), offsets)

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Self:
        """Pack a list of texts as UTF-8; lone surrogates are left out."""
        whole = "\n".join(texts).encode("utf-8", "ignore")
        source = np.frombuffer(whole, np.uint8)
        ends = np.flatnonzero(source == ord("\n"))
        if len(ends) != len(texts) - 1:
            return cls.of([text.encode("utf-8", "ignore") for text in texts])
        offsets = np.zeros(len(texts) + 1, np.int64)
        offsets[1:-1] = ends - np.arange(len(ends))
        offsets[-1] = len(source) - len(ends)
        return cls(source[source != ord("\n")], offsets)

    @classmethod
    def from_cells(cls, blob: U8, starts: U32, ends: U32, column: int) -> Self:
        """Pack one column of a table whose cell (row, column) is `blob[starts[row, column]:ends[row, column]]`."""
        from data.arrays import packed_kernels

        return cls(
            *packed_kernels.gather_column(
                read_only(blob, np.uint8), read_only(starts, np.uint32), read_only(ends, np.uint32), column
            )
        )

    @classmethod
    def concatenated(cls, columns: Sequence[Self]) -> Self:
        """The items of several columns, one column after the other."""
        if not columns:
            return cls.empty(0)
        starts = np.cumsum([0, *(column.offsets[-1] for column in columns[:-1])])
        offsets = [column.offsets[1:] + start for column, start in zip(columns, starts, strict=True)]
        return cls(np.concatenate([column.blob for column in columns]), np.concatenate([[0], *offsets]))

    @classmethod
    def empty(cls, count: int) -> Self:
        """`count` empty items, which stand for an absent column."""
        return cls(np.zeros(0, np.uint8), np.zeros(count + 1, np.int64))

    def state(self) -> dict[str, NDArray[Any]]:
        """Both arrays, for `from_state`."""
        return {"blob": self.blob, "offsets": self.offsets}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `state`."""
        return cls(state["blob"], state["offsets"])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> I64:
        """Length of each item in bytes, shape (n,); 0 if the item is absent."""
        # `numpy.diff` takes five times as long for a few items
        return self.offsets[1:] - self.offsets[:-1]

    def item(self, index: int) -> bytes:
        """One byte string; raises IndexError outside 0..n-1."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.blob[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def take(self, items: I64) -> Self:
        """The items with these indices, in this order; raises IndexError if one is outside 0..n-1."""
        from data.arrays import packed_kernels

        items = np.asarray(items, np.int64)
        if len(items) and not (int(items.min()) >= 0 and int(items.max()) < len(self)):
            raise IndexError("an item outside of the packed items")
        return type(self)(*packed_kernels.take_items(self.blob, self.offsets, read_only(items, np.int64)))

    def part(self, start: int, stop: int | None = None) -> Self:
        """Consecutive items from `start` up to `stop`, or to the end, without a copy."""
        offsets = self.offsets[start:] if stop is None else self.offsets[start : stop + 1]
        return type(self)(self.blob[offsets[0] : offsets[-1]], offsets - offsets[0])

    def stripped(self) -> Self:
        """The items without white space of ASCII at their ends, as `bytes.strip` gives them."""
        filled = self.lengths > 0
        at_ends = self.offsets[:-1][filled], self.offsets[1:][filled] - 1
        # cells of tables rarely have any
        if any(_IS_SPACE[self.blob[at]].any() for at in at_ends):
            return type(self).of([item.strip() for item in self.to_list()])
        return self

    def text(self, index: int) -> str:
        """One item as text; invalid UTF-8 becomes U+FFFD."""
        return self.item(index).decode("utf-8", "replace")

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The items from `start` up to `stop`, or to the end, as texts; invalid UTF-8 becomes U+FFFD."""
        offsets = self.offsets[start:] if stop is None else self.offsets[start : max(stop, start) + 1]
        if len(offsets) < 2:
            return []
        blob, bounds = self.blob[offsets[0] : offsets[-1]].tobytes(), (offsets - offsets[0]).tolist()
        if blob.isascii():
            whole = blob.decode("ascii")
            return [whole[start:end] for start, end in pairwise(bounds)]
        return [blob[start:end].decode("utf-8", "replace") for start, end in pairwise(bounds)]

    def to_list(self) -> list[bytes]:
        """All items as a list: the inverse of `of`."""
        blob, bounds = self.blob.tobytes(), self.offsets.tolist()
        return [blob[start:end] for start, end in pairwise(bounds)]


def hex_digits(numbers: U64) -> Packed:
    """Each number, shape (n,), in hexadecimal digits as `%x` writes it."""
    halves = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
    digits = np.stack([halves >> 4, halves & 15], axis=2).reshape(-1, 16)
    kept = np.logical_or.accumulate(digits != 0, axis=1)
    kept[:, -1] = True
    offsets = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(kept.sum(axis=1), out=offsets[1:])
    return Packed(_HEX_DIGITS[digits[kept]], offsets)


def side_by_side(columns: Sequence[Packed]) -> Packed:
    """The items of several columns of equal lengths, one behind the other: item i is the items i together."""
    lengths = [column.lengths for column in columns]
    offsets = np.zeros(len(lengths[0]) + 1, np.int64)
    np.cumsum(sum(lengths), out=offsets[1:])
    blob, starts = np.empty(int(offsets[-1]), np.uint8), offsets[:-1].copy()
    for column, sizes in zip(columns, lengths, strict=True):
        places = np.repeat(starts - column.offsets[:-1], sizes)
        places += np.arange(len(places))
        blob[places] = column.blob[: len(places)]
        starts += sizes
    return Packed(blob, offsets)


def join_packed(a: Packed, b: Packed) -> Packed:
    """The items of `a` and `b`, which have equal lengths, joined pairwise by 0x1F; empty where either item is empty."""
    return _join(a, b, ordered=False)


def pair_packed(surname: Packed, first: Packed) -> Packed:
    """The sorted pair of each surname and first name, as `data.hashing.tags.name_pair` makes it."""
    return _join(surname, first, ordered=True)


def _join(a: Packed, b: Packed, *, ordered: bool) -> Packed:
    from data.arrays import packed_kernels

    if len(a) != len(b):
        raise ValueError("the columns have different lengths")
    return Packed(*packed_kernels.join_columns(a.blob, a.offsets, b.blob, b.offsets, ordered))
