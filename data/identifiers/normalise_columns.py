"""Whole columns of text to normal forms at array speed; what the forms are is said by `normalise`, which it must equal.

A column is folded by one compiled loop, with line ends between its cells, and read by another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.arrays.array_types import I64, U8
from data.identifiers.normalise import COLUMN_KINDS

if TYPE_CHECKING:
    from data.arrays.packed import Packed

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.arrays.packed import Packed
from data.identifiers import date_kernels, fold_kernels, identifier_kernels, normalise

_NEWLINE = 10
_ALL = bytes(range(256))
_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_ALL_BUT_TOKEN = bytes(set(_ALL) - {_NEWLINE, *_LETTERS, *_DIGITS})


def shown(column: Packed, kind_words: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Which cells have a normal form of each kind; those of `values`, and dob."""
    source = _folded(column)
    return {
        kind_word: (_dobs(column, source) if kind_word == "dob" else _values(kind_word, column, source)).lengths > 0
        for kind_word in kind_words
    }


def dobs(column: Packed, *, excel: bool = False) -> Packed:
    """`normalise.dob` of every cell."""
    return _dobs(column, _folded(column), excel=excel)


def _dobs(column: Packed, source: U8, *, excel: bool = False) -> Packed:
    count = len(column)
    forms, state = np.empty(6 * count, np.uint8), np.empty(count, np.uint8)
    date_kernels.dobs(source, excel, forms, state)
    table = forms.reshape(-1, 6)
    for at in np.flatnonzero(state == date_kernels.ASK).tolist():
        form = normalise.dob(column.text(at), excel=excel)
        state[at] = date_kernels.FOUND if form else date_kernels.NONE
        if form:
            table[at] = np.frombuffer(form, np.uint8)
    found = state == date_kernels.FOUND
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(6 * found, out=offsets[1:])
    return Packed(table[found].ravel(), offsets)


def names(column: Packed) -> Packed:
    """`normalise.name` of every cell."""
    out, ends = np.empty(3 * len(column.blob) + 1, np.uint8), np.empty(len(column) + 1, np.int64)
    used = fold_kernels.fold_cells(column.blob, column.offsets, fold_kernels.table(), True, out, ends)
    if used >= 0:
        return Packed(out[:used].copy(), ends)
    return Packed.of([normalise.name(cell) for cell in column.texts()])


def values(kind_word: str, column: Packed) -> Packed:
    """The normal form of every cell; `kind_word` is one of email, phone, nir, iban, professional, token."""
    return _values(kind_word, column, _folded(column))


def _values(kind_word: str, column: Packed, source: U8) -> Packed:
    if kind_word == "token":
        packed = _split(source.tobytes().translate(None, _ALL_BUT_TOKEN))
        return _keep(packed, packed.lengths >= 8)
    target, offsets = np.empty(len(source), np.uint8), np.zeros(len(column) + 1, np.int64)
    used = _KERNELS[kind_word](source, target, offsets)
    return Packed(target[:used].copy(), offsets)


def folded(column: Packed) -> U8:
    """`normalise.fold` of every cell, a line end behind each of them and nowhere else."""
    return _folded(column)


def _folded(column: Packed) -> U8:
    """All cells folded, a line end behind each of them and nowhere else (within a cell one is as good as a space)."""
    out = np.empty(3 * len(column.blob) + len(column), np.uint8)
    ends = np.empty(len(column) + 1, np.int64)
    used = fold_kernels.fold_cells(column.blob, column.offsets, fold_kernels.table(), False, out, ends)
    if used >= 0:
        return out[:used]
    cells = [normalise.fold(cell.replace("\n", " ")) for cell in column.texts()]
    # a copy may be written, as the other one: for one that may not, every kernel would be compiled once more in mid-sample
    return np.frombuffer("".join([cell + "\n" for cell in cells]).encode(), np.uint8).copy()


def _split(blob: bytes) -> Packed:
    """The items before line ends."""
    source = np.frombuffer(blob, np.uint8)
    ends = np.flatnonzero(source == _NEWLINE)
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends - np.arange(len(ends))
    return Packed(source[source != _NEWLINE], offsets)


def _keep(packed: Packed, wanted: NDArray[np.bool_]) -> Packed:
    """The same items, those not wanted as empty ones."""
    lengths = packed.lengths
    blob = packed.blob[np.repeat(wanted, lengths)]
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(np.where(wanted, lengths, 0), out=offsets[1:])
    return Packed(blob, offsets)


_KERNELS: dict[str, Callable[[U8, U8, I64], int]] = {
    "email": identifier_kernels.emails,
    "phone": identifier_kernels.phones,
    "nir": identifier_kernels.nirs,
    "iban": identifier_kernels.ibans,
    "professional": identifier_kernels.professionals,
}


def normalise_column(kind_word: str, cells: Packed | Sequence[str], *, excel: bool = False) -> Packed:
    """The normal form of every cell, as the function for single values gives it, at array speed.

    Args:
        kind_word: one of `COLUMN_KINDS`.
        cells: n texts of any content, or their UTF-8.
        excel: for `dob`, as there.

    Raises:
        ValueError: there is no such kind of column.
    """
    if kind_word not in COLUMN_KINDS:
        raise ValueError(f"no such kind of column: {kind_word}")
    column = cells if isinstance(cells, Packed) else Packed.of_texts(cells)
    if kind_word == "dob":
        return dobs(column, excel=excel)
    if kind_word in ("first", "surname"):
        return names(column)
    return values(kind_word, column)
