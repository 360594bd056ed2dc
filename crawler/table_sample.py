"""Some rows of a table as columns, by which `crawler.tables` judges what these hold: forms and texts, each made once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from data.tags import Packed

Bools = NDArray[np.bool_]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

# What values can show, the most telling first: an IBAN holds digits that look like a telephone number.
SHOWABLE = ("email", "iban", "nir", "dob", "phone", "professional")
MAX_NAME = 40
_HALF = np.uint64(32)


def _table(low: str, high: str) -> U64:
    """Of each byte 1 in the lower half where it is one of `low`, and in the upper half where it is one of `high`."""
    table = np.zeros(256, np.uint64)
    table[list(low.encode("latin-1"))] += np.uint64(1)
    table[list(high.encode("latin-1"))] += np.uint64(1 << 32)
    return table


_ASCII = "".join(map(chr, range(128)))
_DIGITS = "0123456789"
_LETTERS = "".join(filter(str.isalpha, _ASCII))
# beside these, whether a byte is of a character that needs several
_SOLID = _table("".join(filter(str.strip, _ASCII)), "".join(map(chr, range(128, 256))))
_NAME = _table(_LETTERS, _DIGITS)


class TableSample:
    """Rows of one width as columns; `rows` of them, `width` cells each."""

    def __init__(self, columns: Sequence[Packed], rows: int) -> None:
        """`columns` of `rows` cells each."""
        self.rows, self.width = rows, len(columns)
        self._columns = columns
        self._texts: dict[int, list[str]] = {}

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], width: int | None = None) -> Self:
        """From rows of texts, filled up or cut to a width, else to that of the widest."""
        if width is None:
            width = max(map(len, rows), default=0)
        return cls(
            [Packed.of_texts([row[at] if at < len(row) else "" for row in rows]) for at in range(width)], len(rows)
        )

    def without_first(self) -> TableSample:
        """The rows after the first one, with their forms."""
        rest = TableSample([column.part(1) for column in self._columns], self.rows - 1)
        if "forms" in self.__dict__:
            # they are found once: a cached property rests in its object's own dict
            rest.__dict__["forms"] = {role: form[:, 1:] for role, form in self.forms.items()}
        return rest

    def of_width(self, width: int) -> TableSample:
        """With empty columns to the right, up to a width."""
        if width == self.width:
            return self
        return TableSample([*self._columns, *[Packed.empty(self.rows)] * (width - self.width)], self.rows)

    def texts(self, at: int) -> list[str]:
        """The cells of one column."""
        if at not in self._texts:
            self._texts[at] = self._columns[at].texts()
        return self._texts[at]

    def row(self, number: int) -> list[str]:
        """The cells of one row."""
        return [column.text(number) for column in self._columns]

    @cached_property
    def _flat(self) -> Packed:
        """All cells, column after column."""
        return Packed.joined(self._columns)

    def _counts(self, table: U64) -> tuple[I64, I64]:
        """Per cell, how many of its bytes are of the two classes of a table."""
        flat = self._flat
        upto = np.zeros(len(flat.blob) + 1, np.uint64)
        np.cumsum(table[flat.blob], out=upto[1:])
        counts = np.diff(upto[flat.offsets]).reshape(self.width, self.rows)
        return (counts & np.uint64(0xFFFFFFFF)).astype(np.int64), (counts >> _HALF).astype(np.int64)

    @cached_property
    def _solid(self) -> tuple[I64, I64]:
        """Per cell, bytes of ASCII that are no white space, and bytes beyond ASCII."""
        return self._counts(_SOLID)

    @cached_property
    def filled(self) -> Bools:
        """Shape (width, rows): cells that are not blank."""
        solid, beyond = self._solid
        filled: Bools = solid > 0
        for column, row in np.argwhere(~filled & (beyond > 0)).tolist():
            filled[column, row] = bool(self._columns[column].text(row).strip())
        return filled

    @cached_property
    def forms(self) -> dict[str, Bools]:
        """Per kind that values can show, shape (width, rows): cells of its form."""
        # numba comes with it
        from data.columns import shown

        shape = self.width, self.rows
        return {role: form.reshape(shape) for role, form in shown(self._flat, SHOWABLE).items()}

    def any_form(self) -> Bools:
        """Shape (width, rows): cells of any form."""
        whole: Bools = np.logical_or.reduce(list(self.forms.values()))
        return whole

    def shares(self) -> list[dict[str, float]]:
        """Per column, for each kind the share of its filled cells that have its form; {} without a filled cell."""
        filled = self.filled.sum(axis=1).tolist()
        counts = {role: form.sum(axis=1).tolist() for role, form in self.forms.items()}
        return [{role: counts[role][at] / whole for role in counts} if whole else {} for at, whole in enumerate(filled)]

    def like_names(self, at: int, needed: float) -> bool:
        """Whether so many filled cells of a column are short and have a letter and no digit."""
        column, filled = self._columns[at], self.filled[at]
        letters, digits = (count[at] for count in self._name_counts)
        short = column.lengths <= MAX_NAME
        ascii_ = self._solid[1][at] == 0
        # what is longer with the space around it, or has other letters, is looked at by itself
        like = int((filled & ascii_ & short & (letters > 0) & (digits == 0)).sum())
        others = np.flatnonzero(filled & (~ascii_ | ~short))
        if like + len(others) < needed:
            return False
        cells = self.texts(at)
        return like + sum(_like_name(cells[row].strip()) for row in others.tolist()) >= needed

    @cached_property
    def _name_counts(self) -> tuple[I64, I64]:
        """Per cell, letters and digits of ASCII."""
        return self._counts(_NAME)


def _like_name(cell: str) -> bool:
    """Short, with a letter and without a digit."""
    return len(cell) <= MAX_NAME and any(map(str.isalpha, cell)) and not any(map(str.isdigit, cell))
