"""Normal forms of whole columns, computed by compiled loops.

`normalise` defines the forms, and the results here must equal it. One compiled loop folds the column and writes a
line end after each cell; a second one reads the folded cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, U8
from data.arrays.packed import Packed
from data.identifiers import date_kernels, fold_kernels, identifier_kernels, normalise
from data.identifiers.normalise import COLUMN_KINDS

_NEWLINE = 10
_ALL = bytes(range(256))
_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_NOT_IN_TOKENS = bytes(set(_ALL) - {_NEWLINE, *_LETTERS, *_DIGITS})


def have_normal_form(column: Packed, kind_words: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Which cells have a normal form of each kind; the kinds are those of `normalise_values`, and dob."""
    source = fold_column(column)
    return {
        kind_word: (_dobs(column, source) if kind_word == "dob" else _values(kind_word, column, source)).lengths > 0
        for kind_word in kind_words
    }


def normalise_dobs(column: Packed, *, excel: bool = False) -> Packed:
    """Apply `normalise.dob` to every cell."""
    return _dobs(column, fold_column(column), excel=excel)


def _dobs(column: Packed, source: U8, *, excel: bool = False) -> Packed:
    count = len(column)
    forms, state = np.empty(6 * count, np.uint8), np.empty(count, np.uint8)
    date_kernels.normalise_dobs(source, excel, forms, state)
    table = forms.reshape(-1, 6)
    for at in np.flatnonzero(state == date_kernels.NOT_ASCII).tolist():
        form = normalise.dob(column.text(at), excel=excel)
        state[at] = date_kernels.DATE_FOUND if form else date_kernels.NO_DATE
        if form:
            table[at] = np.frombuffer(form, np.uint8)
    found = state == date_kernels.DATE_FOUND
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(6 * found, out=offsets[1:])
    return Packed(table[found].ravel(), offsets)


def normalise_names(column: Packed) -> Packed:
    """Apply `normalise.name` to every cell."""
    out, ends = np.empty(3 * len(column.blob) + 1, np.uint8), np.empty(len(column) + 1, np.int64)
    used = fold_kernels.fold_cells(column.blob, column.offsets, fold_kernels.folding_table(), True, out, ends)
    if used >= 0:
        return Packed(out[:used].copy(), ends)
    return Packed.of([normalise.name(cell) for cell in column.texts()])


def normalise_values(kind_word: str, column: Packed) -> Packed:
    """The normal form of every cell; `kind_word` is one of email, phone, nir, iban, professional, token."""
    return _values(kind_word, column, fold_column(column))


def _values(kind_word: str, column: Packed, source: U8) -> Packed:
    if kind_word == "token":
        tokens = _split_lines(source.tobytes().translate(None, _NOT_IN_TOKENS))
        return _blank_others(tokens, tokens.lengths >= 8)
    target, offsets = np.empty(len(source), np.uint8), np.zeros(len(column) + 1, np.int64)
    used = _KERNELS[kind_word](source, target, offsets)
    return Packed(target[:used].copy(), offsets)


def fold_column(column: Packed) -> U8:
    """`normalise.fold` of every cell, with a line end after each; a line end within a cell becomes a space."""
    out = np.empty(3 * len(column.blob) + len(column), np.uint8)
    ends = np.empty(len(column) + 1, np.int64)
    used = fold_kernels.fold_cells(column.blob, column.offsets, fold_kernels.folding_table(), False, out, ends)
    if used >= 0:
        return out[:used]
    cells = [normalise.fold(cell.replace("\n", " ")) for cell in column.texts()]
    # copied, so that the array is writable like the one above: for a read-only array numba would compile every kernel
    # a second time, in the middle of a sample
    return np.frombuffer("".join([cell + "\n" for cell in cells]).encode(), np.uint8).copy()


def _split_lines(blob: bytes) -> Packed:
    """The lines of a text, each ended by a line end, as items."""
    source = np.frombuffer(blob, np.uint8)
    ends = np.flatnonzero(source == _NEWLINE)
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends - np.arange(len(ends))
    return Packed(source[source != _NEWLINE], offsets)


def _blank_others(items: Packed, wanted: NDArray[np.bool_]) -> Packed:
    """The same items, where those that are not wanted become empty."""
    lengths = items.lengths
    blob = items.blob[np.repeat(wanted, lengths)]
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(np.where(wanted, lengths, 0), out=offsets[1:])
    return Packed(blob, offsets)


_KERNELS: dict[str, Callable[[U8, U8, I64], int]] = {
    "email": identifier_kernels.normalise_emails,
    "phone": identifier_kernels.normalise_phones,
    "nir": identifier_kernels.normalise_nirs,
    "iban": identifier_kernels.normalise_ibans,
    "professional": identifier_kernels.normalise_professionals,
}


def normalise_column(kind_word: str, cells: Packed | Sequence[str], *, excel: bool = False) -> Packed:
    """The normal form of every cell, equal to that of `normalise.normalise`, computed by compiled loops.

    Args:
        kind_word: one of `COLUMN_KINDS`.
        cells: n texts of any content, or their UTF-8.
        excel: for `dob` only: cells may be day numbers of a spreadsheet, as in `normalise.dob`.

    Raises:
        ValueError: the kind of column is unknown.
    """
    if kind_word not in COLUMN_KINDS:
        raise ValueError(f"no such kind of column: {kind_word}")
    column = cells if isinstance(cells, Packed) else Packed.of_texts(cells)
    if kind_word == "dob":
        return normalise_dobs(column, excel=excel)
    if kind_word in ("first", "surname"):
        return normalise_names(column)
    return normalise_values(kind_word, column)
