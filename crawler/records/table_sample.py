"""Some rows of a table as columns, by which `crawler.records.column_roles` judges what these hold: forms and texts, each made once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np

from data.arrays.array_types import U8, U32, Bools
from data.arrays.packed import Packed, read_only

# What values can show, the most telling first: an IBAN holds digits that look like a telephone number.
SHOWABLE = ("email", "iban", "nir", "dob", "phone", "professional")
MAX_NAME = 40
# what a byte is, as bits
_SOLID, _BEYOND, _LETTER, _DIGIT = 1, 2, 4, 8


def _classes() -> U8:
    """Of each byte: ASCII that is no white space, beyond ASCII, a letter, a digit."""
    found = np.zeros(256, np.uint8)
    for byte in range(128):
        character = chr(byte)
        found[byte] = _SOLID * bool(character.strip()) + _LETTER * character.isalpha() + _DIGIT * character.isdigit()
    found[128:] = _BEYOND
    return read_only(found, np.uint8)


_CLASSES = _classes()


class TableSample:
    """Rows of one width as columns; `rows` of them, `width` cells each."""

    def __init__(self, flat: Packed, rows: int, width: int) -> None:
        """`flat` holds the cells, column after column."""
        self.rows, self.width = rows, width
        self._flat = flat
        self._texts: dict[int, list[str]] = {}

    @classmethod
    def of_columns(cls, columns: Sequence[Packed], rows: int) -> Self:
        """From columns of `rows` cells each."""
        return cls(Packed.concatenated(columns), rows, len(columns))

    @classmethod
    def of_cells(cls, blob: U8, starts: U32, ends: U32) -> Self:
        """From cells (rows, columns) that lie from `starts` to `ends` in a blob."""
        from crawler.records.table_kernels import columns_of

        places = (read_only(places, np.uint32) for places in (starts, ends))
        return cls(Packed(*columns_of(read_only(blob, np.uint8), *places)), *starts.shape)

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], width: int | None = None) -> Self:
        """From rows of texts, filled up or cut to a width, else to that of the widest."""
        if width is None:
            width = max(map(len, rows), default=0)
        cells = [row[at] if at < len(row) else "" for at in range(width) for row in rows]
        return cls(Packed.of_texts(cells), len(rows), width)

    def without_first(self) -> TableSample:
        """The rows after the first one, with their forms."""
        rest = TableSample.of_columns([self.column(at).part(1) for at in range(self.width)], self.rows - 1)
        if "forms" in self.__dict__:
            # they are found once: a cached property rests in its object's own dict
            rest.__dict__["forms"] = {role: form[:, 1:] for role, form in self.forms.items()}
        return rest

    def of_width(self, width: int) -> TableSample:
        """With empty columns to the right, up to a width."""
        if width == self.width:
            return self
        more = Packed.empty(self.rows * (width - self.width))
        return TableSample(Packed.concatenated([self._flat, more]), self.rows, width)

    def column(self, at: int) -> Packed:
        """The cells of one column, not copied."""
        return self._flat.part(at * self.rows, (at + 1) * self.rows)

    def texts(self, at: int) -> list[str]:
        """The same as texts."""
        if at not in self._texts:
            self._texts[at] = self._flat.texts(at * self.rows, (at + 1) * self.rows)
        return self._texts[at]

    def row(self, number: int) -> list[str]:
        """The cells of one row."""
        return [self._flat.text(at) for at in range(number, len(self._flat), self.rows)]

    @cached_property
    def forms(self) -> dict[str, Bools]:
        """Per kind that values can show, shape (width, rows): cells of its form."""
        # numba comes with it
        from data.identifiers.normalise_columns import have_normal_form

        shape = self.width, self.rows
        return {role: form.reshape(shape) for role, form in have_normal_form(self._flat, SHOWABLE).items()}

    def any_form(self) -> Bools:
        """Shape (width, rows): cells of any form."""
        whole: Bools = np.logical_or.reduce(list(self.forms.values()))
        return whole

    def shares(self) -> list[dict[str, float]]:
        """Per column, for each kind the share of its filled cells that have its form; {} without a filled cell."""
        filled = self.filled.sum(axis=1).tolist()
        counts = {role: form.sum(axis=1).tolist() for role, form in self.forms.items()}
        return [{role: counts[role][at] / whole for role in counts} if whole else {} for at, whole in enumerate(filled)]

    @cached_property
    def _marks(self) -> U8:
        """Shape (width, rows): what bytes are in each cell."""
        from crawler.records.table_kernels import marks_of

        return marks_of(self._flat.blob, self._flat.offsets, _CLASSES).reshape(self.width, self.rows)

    @cached_property
    def filled(self) -> Bools:
        """Shape (width, rows): cells that are not blank."""
        filled: Bools = self._marks & _SOLID != 0
        for column, row in np.argwhere(self._marks == _BEYOND).tolist():
            filled[column, row] = bool(self._flat.text(column * self.rows + row).strip())
        return filled

    @cached_property
    def _like_names(self) -> tuple[list[int], Bools]:
        """Per column, how many filled cells are short and have a letter and no digit; and those not told by their bytes."""
        short = self._flat.lengths.reshape(self.width, self.rows) <= MAX_NAME
        # what is longer with the space around it, or has other letters, is looked at by itself
        told = short & (self._marks & _BEYOND == 0)
        like = told & (self._marks & (_LETTER | _DIGIT) == _LETTER)
        return like.sum(axis=1).tolist(), self.filled & ~told

    def like_names(self, at: int, needed: float) -> bool:
        """Whether so many filled cells of a column are short and have a letter and no digit."""
        like, others = self._like_names[0][at], np.flatnonzero(self._like_names[1][at])
        if like + len(others) < needed:
            return False
        cells = self.texts(at)
        return like + sum(_like_name(cells[row].strip()) for row in others.tolist()) >= needed


def _like_name(cell: str) -> bool:
    """Short, with a letter and without a digit."""
    return len(cell) <= MAX_NAME and any(map(str.isalpha, cell)) and not any(map(str.isdigit, cell))
