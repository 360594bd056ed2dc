"""Recognises tables in pages of PDF documents by the layout of their lines, because PDF pages have no rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# Words are one space apart; a wider gap separates two cells.
_CELL = re.compile(r"\S+(?: \S+)*")
MIN_CELLS = 3
MIN_ROWS = 2


def table_rows(page: str) -> tuple[list[list[str]], list[str]]:
    """The lines of a page that are rows of a table, with at least three cells side by side, and the other lines.

    The cells of a short row are put below the nearest cells of the rows of usual width, so that an empty cell does not
    move the others.

    Args:
        page: the text of the page in its layout, as in a monospaced font.

    Returns:
        Rows and other lines; both empty if the page has no table.
    """
    lines, rest = [], []
    for line in page.split("\n"):
        cells = [(cell.start(), cell[0]) for cell in _CELL.finditer(line)]
        if len(cells) >= MIN_CELLS:
            lines.append(cells)
        elif cells:
            rest.append(" ".join(text for _, text in cells))
    if len(lines) < MIN_ROWS:
        return [], []
    usual, _ = max(Counter(map(len, lines)).items(), key=lambda item: (item[1], item[0]))
    whole = [line for line in lines if len(line) == usual]
    places = [sum(line[at][0] for line in whole) / len(whole) for at in range(usual)]
    return [_align(line, places) if len(line) < usual else [text for _, text in line] for line in lines], rest


def _align(line: Sequence[tuple[int, str]], places: Sequence[float]) -> list[str]:
    """A short row with each cell in the nearest column, in unchanged order."""
    row = [""] * len(places)
    first = 0
    for number, (x, text) in enumerate(line):
        # The cells that follow need columns, too.
        last = len(places) - (len(line) - number)
        at = min(range(first, last + 1), key=lambda column: abs(places[column] - x))
        row[at] = text
        first = at + 1
    return row
