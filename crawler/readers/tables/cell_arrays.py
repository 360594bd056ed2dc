"""Where the cells of a block of delimited lines begin and end, by whole arrays; odd blocks are left to `delimited`."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32, Bools

_NEWLINE = 10
# Rows of several widths are filled up to the widest: at most so many cells for each that is there.
MAX_PADDING = 2


def find_cells(block: bytes, separator: int, quote: int, width: int, most: int) -> tuple[U32, U32] | None:
    """Begin and end of every cell, both of shape (rows, columns), places in the block.

    Short rows are filled up with empty cells, blank lines are left out. Quotes around a cell are no part of it.

    Args:
        block: whole lines joined by newlines, none at the end.
        separator: the byte between cells.
        quote: the byte that may stand around cells, or -1.
        width: columns of most rows.
        most: columns of one row.

    Returns:
        None where a block needs a closer look: a quote inside a quoted cell, one that is not closed or has something
        beside it, a line end within quotes, rows of more columns than `most` or of very different widths.
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
    if quotes and not _bare(chars, quote, quotes, starts, ends):
        return None
    if regular and (width > 1 or bool(filled.all())):
        return (starts.reshape(rows, width), ends.reshape(rows, width)) if width <= most else None
    return _padded(np.flatnonzero(newlines[places]), filled, starts, ends, most)


def _bare(chars: U8, quote: int, quotes: int, starts: U32, ends: U32) -> bool:
    """Take the quotes off cells, in place; False where there are quotes that stand otherwise than around cells."""
    long = np.flatnonzero(ends >= starts + np.uint32(2))
    both = long[(chars[starts[long]] == quote) & (chars[ends[long] - 1] == quote)]
    # every such cell has two at least: if that makes all of them, none has more
    if 2 * len(both) != quotes:
        return False
    starts[both] += 1
    ends[both] -= 1
    return True


def _padded(lasts: I64, kept: Bools, starts: U32, ends: U32, most: int) -> tuple[U32, U32] | None:
    """Rows of several widths as one array.

    Args:
        lasts: the number of the last cell of every row but the last.
        kept: whether there is anything in a cell, be it quotes.
        starts: of all cells, one row after the other.
        ends: of them.
        most: columns of one row.
    """
    borders = np.concatenate(([0], lasts + 1, [len(starts)]))
    first, widths = borders[:-1], np.diff(borders)
    filled = (widths > 1) | kept[first]
    widest = int(widths[filled].max(initial=0))
    rows = int(np.count_nonzero(filled))
    if widest > most or rows * widest > MAX_PADDING * len(starts):
        return None
    number = np.cumsum(filled) - 1
    row = np.repeat(number, widths)
    place = row * widest + np.arange(len(starts)) - np.repeat(first, widths)
    keep = np.repeat(filled, widths)
    shape = rows, widest
    begins, stops = np.zeros(rows * widest, np.uint32), np.zeros(rows * widest, np.uint32)
    begins[place[keep]], stops[place[keep]] = starts[keep], ends[keep]
    return begins.reshape(shape), stops.reshape(shape)
