"""Finds the columns of lines of fixed width, also where no space stands between them: by many lines together.

A column begins where letters, digits and spaces change at the same place of all lines. Within a run of digits, numbers
of social security, dates and telephone numbers are recognised by their form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MIN_LINES = 4
MAX_WIDTH = 4096
SAMPLE_LINES = 400
# lines that may differ from the others: a header, a total
_NEARLY_ALL = 0.95
_MOST = 0.9
_EMPTY_SHARE = 0.95
_STARTS_SHARE = 0.3
# numbers inside a run of digits are found if they stand there in at least so many lines
_MIN_NUMBERS = 3
# lines by which most places are refused
_TRIED = 12
_NIR = re.compile(r"[1-478]\d\d(?:0[1-9]|1[0-2]|[23]\d|4[0-2]|[5-9]\d)(?:\d\d|2[ABab])\d{6}")
_DAY, _MONTH = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"
_YEAR = r"(?:18[5-9]\d|19\d\d|20[0-4]\d)"
_SEPARATED = re.compile(rf"{_DAY}([/.-]){_MONTH}\1{_YEAR}|{_YEAR}([/.-]){_MONTH}\2{_DAY}")
_KEY = 97

Cells = Sequence[str]


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of lines of fixed width.

    Attributes:
        starts: where each column begins, from 0.
        width: characters of a line.
        known: columns of numbers and dates, with the test that their cells pass.
        words: how many columns hold words.
    """

    starts: tuple[int, ...]
    width: int
    known: tuple[tuple[int, Callable[[str], bool]], ...]
    words: int

    @property
    def is_of_people(self) -> bool:
        """Whether the columns can be those of people: words, and a number or date."""
        return bool(self.known) and self.words > 0

    def cells(self, line: str) -> list[str]:
        """The cells of a line."""
        ends = (*self.starts[1:], max(self.width, len(line)))
        return [line[low:high].strip() for low, high in zip(self.starts, ends, strict=True)]

    def fits(self, cells: Cells) -> bool:
        """Whether the cells of a line have the form of their columns, or are empty."""
        filled = [(cells[at], test) for at, test in self.known if cells[at]]
        return bool(filled) and sum(test(cell) for cell, test in filled) * 2 >= len(filled)


def find_layout(lines: Sequence[str]) -> Layout | None:
    """The columns of lines; None if no number or date stands at the same place of nearly all lines."""
    lines = [line for line in lines[:SAMPLE_LINES] if line.strip()]
    if len(lines) < MIN_LINES:
        return None
    width = min(max(map(len, lines)), MAX_WIDTH)
    chars = np.array([list(map(ord, line[:width].ljust(width))) for line in lines], np.uint32)
    finder = _Finder(lines, chars)
    known = finder.find_numbers()
    starts = sorted(finder.starts | {0})
    tests = tuple((starts.index(start), test) for start, test in sorted(known.items()))
    # many short cells: a listing of single characters is no table
    bounds = [*starts, width]
    words = sum(finder.is_word_column(low, high) for low, high in pairwise(bounds) if low not in known)
    return Layout(tuple(starts), width, tests, words)


class _Finder:
    """Looks for the borders of columns in a table of characters, shape (lines, places)."""

    def __init__(self, lines: Sequence[str], chars: NDArray[np.uint32]) -> None:
        self._lines = [line.ljust(chars.shape[1]) for line in lines]
        self.width = chars.shape[1]
        self._space = chars == ord(" ")
        self._digit = (chars >= ord("0")) & (chars <= ord("9"))
        lower = chars | 32
        self._letter = ((lower >= ord("a")) & (lower <= ord("z"))) | (chars >= 0xC0)
        # the departments of Corsica, 2A and 2B, stand in the middle of digits
        self._corsica = (lower == ord("a")) | (lower == ord("b"))
        filled = np.maximum((~self._space).sum(axis=0), 1)
        self._blank = self._space.mean(axis=0)
        # shares among the lines in which the place is filled
        self._digits = self._digit.sum(axis=0) / filled
        self._letters = self._letter.sum(axis=0) / filled
        self._numbers = (self._digit | self._corsica).sum(axis=0) / filled
        self.starts = self._borders()
        self._taken = np.zeros(self.width, bool)

    def _borders(self) -> set[int]:
        """The places where the kind of character changes in all lines."""
        found = set()
        for at in range(1, self.width):
            blank = self._blank[at - 1] >= _EMPTY_SHARE and 1 - self._blank[at] >= _STARTS_SHARE
            if blank and self._blank[at - 1] - self._blank[at] >= _STARTS_SHARE:
                found.add(at)
            elif self._blank[at] < 1 - _MOST and self._blank[at - 1] < 1 - _MOST:
                to_letters = self._digits[at - 1] >= _NEARLY_ALL and self._letters[at] >= _NEARLY_ALL
                to_digits = self._letters[at - 1] >= _NEARLY_ALL and self._digits[at] >= _NEARLY_ALL
                if to_letters or to_digits:
                    found.add(at)
            elif self._digits[at] >= _NEARLY_ALL and self._blank[at] < 1 - _MOST and self._blank[at - 1] >= 0.5:
                # a number behind words that fill their column in some lines
                found.add(at)
        return found

    def find_numbers(self) -> dict[int, Callable[[str], bool]]:
        """The places of numbers and dates, and the test that their cells pass; their borders are added to `starts`."""
        found: dict[int, Callable[[str], bool]] = {}
        # the longest and most certain forms first, since a part of a long number may look like a short one
        for size, test in (
            (15, _is_nir_with_key), (13, _is_nir), (10, _is_separated_date), (8, _is_day), (10, _is_phone), (6, _is_short_day),
        ):  # fmt: skip
            for at in self._candidates(size, test):
                if self._taken[at : at + size].any():
                    continue
                self._taken[at : at + size] = True
                found[at] = test
                self.starts = {start for start in self.starts if not at < start < at + size} | {at}
                if at + size < self.width:
                    self.starts.add(at + size)
        return found

    def _candidates(self, size: int, test: Callable[[str], bool]) -> list[int]:
        scored = []
        like = self._numbers >= _MOST
        for at in range(self.width - size + 1):
            # most places are refused by their first and last character
            if test is not _is_separated_date and not (like[at] and like[at + size - 1] and like[at : at + size].all()):
                continue
            if test is _is_separated_date and not (self._digits[at] >= _MOST and self._digits[at + size - 1] >= _MOST):
                continue
            cells = [cell for line in self._lines if (cell := line[at : at + size]).strip()]
            if len(cells) < max(_MIN_NUMBERS, 0.3 * len(self._lines)):
                continue
            if sum(map(test, cells[:_TRIED])) * 2 < len(cells[:_TRIED]):
                continue
            share = sum(map(test, cells)) / len(cells)
            distinct = len(set(cells))
            if share >= (_MOST if test is not _is_short_day else _NEARLY_ALL) and distinct * 3 >= min(len(cells), 30):
                scored.append((-share, at))
        return [at for _, at in sorted(scored)]

    def is_word_column(self, low: int, high: int) -> bool:
        """Whether a column holds words."""
        cells = [cell for line in self._lines if (cell := line[low:high].strip())]
        if len(cells) * 2 < len(self._lines) or len(set(cells)) * 10 < len(cells):
            return False
        return sum(
            len(cell) > 1 and cell[0].isalpha() and not any(map(str.isdigit, cell)) for cell in cells
        ) >= 0.8 * len(cells)


def _is_nir(cell: str) -> bool:
    return _NIR.fullmatch(cell) is not None and cell[0] in "12"


def _is_nir_with_key(cell: str) -> bool:
    if not _NIR.fullmatch(cell[:13]) or not cell[13:].isdecimal():
        return False
    number = cell[:5] + {"2A": "19", "2B": "18"}.get(cell[5:7].upper(), cell[5:7]) + cell[7:13]
    return _KEY - int(number) % _KEY == int(cell[13:])


def _is_separated_date(cell: str) -> bool:
    return _SEPARATED.fullmatch(cell) is not None


_DAYS = re.compile(rf"{_YEAR}{_MONTH}{_DAY}|{_DAY}{_MONTH}{_YEAR}")
_SHORT_DAYS = re.compile(rf"{_DAY}{_MONTH}\d\d|\d\d{_MONTH}{_DAY}")
_PHONE = re.compile(r"0[1-9]\d{8}")


def _is_day(cell: str) -> bool:
    return _DAYS.fullmatch(cell) is not None


def _is_short_day(cell: str) -> bool:
    return _SHORT_DAYS.fullmatch(cell) is not None


def _is_phone(cell: str) -> bool:
    return _PHONE.fullmatch(cell) is not None
