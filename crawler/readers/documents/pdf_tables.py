"""Tables in pages of a PDF document, told by how their lines look: pages know no rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# what stands wider apart than words are two cells
_CELL = re.compile(r"\S+(?: \S+)*")
MIN_CELLS = 3
MIN_ROWS = 2


def table_rows(page: str) -> tuple[list[list[str]], list[str]]:
    """The lines of a page that are rows of a table, at least three cells beside each other; and the other lines.

    Cells stand below those of the usual row, so that an empty cell does not move the others.

    Args:
        page: as it looks, in letters of one width.

    Returns:
        No rows and no lines where there is no table.
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
    return [_aligned(line, places) if len(line) < usual else [text for _, text in line] for line in lines], rest


def _aligned(line: Sequence[tuple[int, str]], places: Sequence[float]) -> list[str]:
    """The cells of a short row in the columns that they stand nearest to, their order kept."""
    row = [""] * len(places)
    first = 0
    for number, (x, text) in enumerate(line):
        # those that follow need columns as well
        last = len(places) - (len(line) - number)
        at = min(range(first, last + 1), key=lambda column: abs(places[column] - x))
        row[at] = text
        first = at + 1
    return row
