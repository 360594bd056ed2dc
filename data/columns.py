"""Whole columns of text to normal forms at array speed; what the forms are is said by `normalise`, which it must equal.

A column is joined by line ends, folded once, and taken apart again as arrays or by a compiled loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data import column_kernels, date_kernels, normalise
from data.tags import Kind, Packed, confirm_digests, record_keys
from data.tagset import TagSet

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]

_NEWLINE = 10
_ALL = bytes(range(256))
_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_ASCII_BUT_LETTERS = bytes(set(range(128)) - {_NEWLINE, *_LETTERS})
_ALL_BUT_TOKEN = bytes(set(_ALL) - {_NEWLINE, *_LETTERS, *_DIGITS})


def warm_up() -> None:
    """Compile every kernel of tags, tag sets and columns, or load it from the cache: so that no sample waits for it."""
    for kind_word in normalise.COLUMN_KINDS:
        normalise.normalise_column(kind_word, ["a"])
    one = Packed.of([b"a"])
    keys = record_keys(bytes(16), one, one, one)
    confirm_digests(bytes(32), Kind.TOKEN, one)
    TagSet.build(keys.ravel()).lookup(keys.ravel())


def dobs(cells: Sequence[str], *, excel: bool = False) -> Packed:
    """`normalise.dob` of every cell."""
    if not cells:
        return Packed.empty(0)
    source = np.frombuffer(_folded(cells).encode(), np.uint8)
    forms, state = np.empty(6 * len(cells), np.uint8), np.empty(len(cells), np.uint8)
    date_kernels.dobs(source, excel, forms, state)
    table = forms.reshape(-1, 6)
    for at in np.flatnonzero(state == date_kernels.ASK).tolist():
        form = normalise.dob(cells[at], excel=excel)
        state[at] = date_kernels.FOUND if form else date_kernels.NONE
        if form:
            table[at] = np.frombuffer(form, np.uint8)
    found = state == date_kernels.FOUND
    offsets = np.zeros(len(cells) + 1, np.int64)
    np.cumsum(6 * found, out=offsets[1:])
    return Packed(table[found].ravel(), offsets)


def names(cells: Sequence[str]) -> Packed:
    """`normalise.name` of every cell."""
    if not cells:
        return Packed.empty(0)
    folded = _folded(cells)
    if not folded.isascii():
        folded = normalise.NOT_ASCII.sub(_letters_only, folded)
    return _split(folded.encode().translate(None, _ASCII_BUT_LETTERS))


def _letters_only(found: Any) -> str:
    char: str = found[0]
    return char if char.isalpha() else ""


def values(kind_word: str, cells: Sequence[str]) -> Packed:
    """The normal form of every cell; `kind_word` is one of email, phone, nir, iban, professional, token."""
    blob = _folded(cells).encode()
    if not cells:
        return Packed.empty(0)
    if kind_word == "token":
        packed = _split(blob.translate(None, _ALL_BUT_TOKEN))
        return _keep(packed, packed.lengths >= 8)
    source = np.frombuffer(blob, np.uint8)
    target, offsets = np.empty(len(source), np.uint8), np.zeros(len(cells) + 1, np.int64)
    used = _KERNELS[kind_word](source, target, offsets)
    return Packed(target[:used].copy(), offsets)


def _folded(cells: Sequence[str]) -> str:
    """All cells folded, with line ends between them and nowhere else (within a cell one is as good as a space)."""
    joined = "\n".join(cells)
    if joined.count("\n") != len(cells) - 1:
        joined = "\n".join([cell.replace("\n", " ") for cell in cells])
    return normalise.fold(joined)


def _split(blob: bytes) -> Packed:
    """The items between line ends."""
    source = np.frombuffer(blob + b"\n", np.uint8)
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
    "email": column_kernels.emails,
    "phone": column_kernels.phones,
    "nir": column_kernels.nirs,
    "iban": column_kernels.ibans,
    "professional": column_kernels.professionals,
}
