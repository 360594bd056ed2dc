"""Finds where the cells of a block of delimited lines begin and end, with array operations on the whole block.

Blocks with unusual quotes are parsed line by line in `delimited`.
"""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32, Bools

_NEWLINE = 10
# Short rows are padded to the widest: the padded array may have at most this many times as many cells as the block.
MAX_PADDING = 2


def find_cells(block: bytes, separator: int, quote: int, width: int, max_columns: int) -> tuple[U32, U32] | None:
    """Start and end of every cell as offsets in the block, both of shape (rows, columns).

    Short rows are padded with empty cells, and blank lines are left out. Quotes around a cell are not part of it.

    Args:
        block: whole lines joined by newlines, without a newline at the end.
        separator: the byte between cells.
        quote: the byte that may surround cells, or -1.
        width: number of columns of most rows.
        max_columns: the largest number of columns that a row may have.

    Returns:
        None if the block must be parsed line by line: it contains a quote inside a quoted cell, an unclosed quote, a
        quote beside other text, a line end within quotes, a row with more than `max_columns` columns, or rows of very
        different widths.
    """
    chars = np.frombuffer(block, np.uint8)
    newlines = chars == _NEWLINE
    breaks = chars == separator
    breaks |= newlines
    quotes = 0
    if quote >= 0:
        marks = chars == quote
        quotes = int(np.count_nonzero(marks))
        if quotes & 1:
            return None
        if quotes:
            inside = np.bitwise_xor.accumulate(marks.view(np.uint8)).view(np.bool_)
            if np.count_nonzero(newlines & inside):
                return None
            breaks &= ~inside
    places = np.flatnonzero(breaks)
    rows = int(np.count_nonzero(newlines)) + 1
    ends = np.empty(len(places) + 1, np.uint32)
    ends[:-1], ends[-1] = places, len(chars)
    starts = np.zeros(len(ends), np.uint32)
    np.add(ends[:-1], 1, out=starts[1:])
    filled = starts < ends
    regular = len(ends) == rows * width and bool((chars[places[width - 1 :: width]] == _NEWLINE).all())
    if quotes and not _strip_quotes(chars, quote, quotes, starts, ends):
        return None
    if regular and (width > 1 or bool(filled.all())):
        return (starts.reshape(rows, width), ends.reshape(rows, width)) if width <= max_columns else None
    return _pad_rows(np.flatnonzero(newlines[places]), filled, starts, ends, max_columns)


def _strip_quotes(chars: U8, quote: int, quotes: int, starts: U32, ends: U32) -> bool:
    """Exclude the quotes around cells, in place; False if there are quotes anywhere else."""
    long = np.flatnonzero(ends >= starts + np.uint32(2))
    both = long[(chars[starts[long]] == quote) & (chars[ends[long] - 1] == quote)]
    # Every such cell has at least two quotes: if these are all quotes, no cell has more than two.
    if 2 * len(both) != quotes:
        return False
    starts[both] += 1
    ends[both] -= 1
    return True


def _pad_rows(last_cells: I64, filled_cells: Bools, starts: U32, ends: U32, max_columns: int) -> tuple[U32, U32] | None:
    """Arrange rows of different widths in rectangular arrays; None if a row is too wide or the padding too large.

    Args:
        last_cells: index of the last cell of every row except the last row.
        filled_cells: whether a cell contains anything, if only quotes.
        starts: start of every cell, row by row.
        ends: end of every cell, row by row.
        max_columns: the largest number of columns that a row may have.
    """
    borders = np.concatenate(([0], last_cells + 1, [len(starts)]))
    first, widths = borders[:-1], np.diff(borders)
    filled = (widths > 1) | filled_cells[first]
    widest = int(widths[filled].max(initial=0))
    rows = int(np.count_nonzero(filled))
    if widest > max_columns or rows * widest > MAX_PADDING * len(starts):
        return None
    number = np.cumsum(filled) - 1
    row = np.repeat(number, widths)
    place = row * widest + np.arange(len(starts)) - np.repeat(first, widths)
    keep = np.repeat(filled, widths)
    shape = rows, widest
    begins, stops = np.zeros(rows * widest, np.uint32), np.zeros(rows * widest, np.uint32)
    begins[place[keep]], stops[place[keep]] = starts[keep], ends[keep]
    return begins.reshape(shape), stops.reshape(shape)
