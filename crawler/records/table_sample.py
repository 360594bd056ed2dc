"""The first rows of a table as columns, by which `crawler.records.column_roles` decides what each column holds.

Texts and normal forms are computed once, at their first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np

from data.arrays.array_types import U8, U32, Bools
from data.arrays.packed import Packed, read_only

# Roles that can be recognised by the values alone, the most specific first: an IBAN contains digits that look like a
# telephone number.
RECOGNISABLE_ROLES = ("email", "iban", "nir", "dob", "phone", "professional")
MAX_NAME = 40
# classes of bytes, as bits: ASCII that is not white space, beyond ASCII, a letter, a digit
_VISIBLE, _NON_ASCII, _LETTER, _DIGIT = 1, 2, 4, 8


def _classes() -> U8:
    """The class bits of each byte value; shape (256,)."""
    found = np.zeros(256, np.uint8)
    for byte in range(128):
        character = chr(byte)
        found[byte] = _VISIBLE * bool(character.strip()) + _LETTER * character.isalpha() + _DIGIT * character.isdigit()
    found[128:] = _NON_ASCII
    return read_only(found, np.uint8)


_CLASSES = _classes()


class TableSample:
    """Rows of equal width, stored as columns.

    Attributes:
        rows: number of rows.
        width: number of cells in each row.
    """

    def __init__(self, flat: Packed, rows: int, width: int) -> None:
        """`flat` holds all cells, column after column."""
        self.rows, self.width = rows, width
        self._flat = flat
        self._texts: dict[int, list[str]] = {}

    @classmethod
    def of_columns(cls, columns: Sequence[Packed], rows: int) -> Self:
        """A sample of columns of `rows` cells each."""
        return cls(Packed.concatenated(columns), rows, len(columns))

    @classmethod
    def of_cells(cls, blob: U8, starts: U32, ends: U32) -> Self:
        """A sample of cells that lie from `starts` to `ends` in a blob; shape (rows, columns) both."""
        from crawler.records.table_kernels import cells_by_column

        places = (read_only(places, np.uint32) for places in (starts, ends))
        return cls(Packed(*cells_by_column(read_only(blob, np.uint8), *places)), *starts.shape)

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], width: int | None = None) -> Self:
        """A sample of rows of texts, filled up or cut to `width`, or filled up to the widest row without one."""
        if width is None:
            width = max(map(len, rows), default=0)
        cells = [row[at] if at < len(row) else "" for at in range(width) for row in rows]
        return cls(Packed.of_texts(cells), len(rows), width)

    def without_first(self, count: int = 1) -> TableSample:
        """The rows after the first `count`; forms that were computed are kept."""
        cells = np.arange(len(self._flat)).reshape(self.width, self.rows)
        rest = TableSample(self._flat.take(cells[:, count:].ravel()), self.rows - count, self.width)
        if "forms" in self.__dict__:
            # a cached property is stored in the dict of its object
            rest.__dict__["forms"] = {role: form[:, count:] for role, form in self.forms.items()}
        return rest

    def of_width(self, width: int) -> TableSample:
        """The same rows with empty columns added on the right, up to a width."""
        if width == self.width:
            return self
        more = Packed.empty(self.rows * (width - self.width))
        return TableSample(Packed.concatenated([self._flat, more]), self.rows, width)

    def column(self, at: int) -> Packed:
        """The cells of one column, not copied."""
        return self._flat.part(at * self.rows, (at + 1) * self.rows)

    def texts(self, at: int) -> list[str]:
        """The cells of one column as texts."""
        if at not in self._texts:
            self._texts[at] = self._flat.texts(at * self.rows, (at + 1) * self.rows)
        return self._texts[at]

    def row(self, number: int) -> list[str]:
        """The cells of one row."""
        return [self._flat.text(at) for at in range(number, len(self._flat), self.rows)]

    @cached_property
    def forms(self) -> dict[str, Bools]:
        """Per recognisable role, the cells that have its form; shape (width, rows)."""
        # this import loads numba
        from data.identifiers.normalise_columns import have_normal_form

        shape = self.width, self.rows
        return {role: form.reshape(shape) for role, form in have_normal_form(self._flat, RECOGNISABLE_ROLES).items()}

    def any_form(self) -> Bools:
        """The cells that have the form of any recognisable role; shape (width, rows)."""
        whole: Bools = np.logical_or.reduce(list(self.forms.values()))
        return whole

    def shares(self) -> list[dict[str, float]]:
        """Per column, for each recognisable role the share of filled cells that have its form; {} if all are blank."""
        filled = self.filled.sum(axis=1).tolist()
        counts = {role: form.sum(axis=1).tolist() for role, form in self.forms.items()}
        return [{role: counts[role][at] / whole for role in counts} if whole else {} for at, whole in enumerate(filled)]

    @cached_property
    def _byte_classes(self) -> U8:
        """The classes of bytes that occur in each cell, as bits; shape (width, rows)."""
        from crawler.records.table_kernels import byte_classes_of_cells

        classes = byte_classes_of_cells(self._flat.blob, self._flat.offsets, _CLASSES)
        return classes.reshape(self.width, self.rows)

    @cached_property
    def filled(self) -> Bools:
        """The cells that are not blank; shape (width, rows)."""
        filled: Bools = self._byte_classes & _VISIBLE != 0
        for column, row in np.argwhere(self._byte_classes == _NON_ASCII).tolist():
            filled[column, row] = bool(self._flat.text(column * self.rows + row).strip())
        return filled

    @cached_property
    def _like_names(self) -> tuple[list[int], Bools]:
        """Per column the number of filled cells that look like names by their bytes, and the cells still to be checked.

        A cell looks like a name if it is short and has a letter and no digit.
        """
        short = self._flat.lengths.reshape(self.width, self.rows) <= MAX_NAME
        # longer cells may be short without the white space around them, and letters beyond ASCII need their text
        decided = short & (self._byte_classes & _NON_ASCII == 0)
        like = decided & (self._byte_classes & (_LETTER | _DIGIT) == _LETTER)
        return like.sum(axis=1).tolist(), self.filled & ~decided

    def has_names(self, at: int, needed: float) -> bool:
        """Whether at least `needed` filled cells of a column look like names: short, with a letter, without a digit."""
        like, others = self._like_names[0][at], np.flatnonzero(self._like_names[1][at])
        if like + len(others) < needed:
            return False
        cells = self.texts(at)
        return like + sum(_looks_like_name(cells[row].strip()) for row in others.tolist()) >= needed


def _looks_like_name(cell: str) -> bool:
    """Whether a cell is short and has a letter and no digit."""
    return len(cell) <= MAX_NAME and any(map(str.isalpha, cell)) and not any(map(str.isdigit, cell))
