"""Restores letters of names that were lost to a wrong code page: `?` and U+FFFD stand for one letter each. Pure.

Programs write `?` for a letter that their code page lacks, so `Hélène` becomes `H?l?ne`. Such a letter is no typing
error: the letters that it can be are tried, and those by which a person is known are taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice, product

import numpy as np

from crawler.records.column_roles import ColumnPlan
from crawler.records.row_batch import RowBatch
from data.arrays.array_types import I64
from data.arrays.packed import Packed
from data.identifiers import normalise
from data.identifiers.first_names import FIRST_NAMES

# letters with accents in French names, the most frequent first; an apostrophe may be lost as well
_LETTERS = ("e", "a", "o", "i", "u", "c", "n", "")
MAX_CANDIDATES = 64
# rows whose candidates are looked up together
_ROWS_AT_ONCE = 2048
_NAME_ROLES = ("surname", "first", "fullname")
_LOST = re.compile(r"(?<=\w)[?\ufffd]{1,3}(?=[\w '\u2019-]|$)|(?<![^\s'\u2019-])[?\ufffd]{1,3}(?=\w)|\ufffd{1,3}")
_QUESTION_MARK = ord("?")
_REPLACEMENT = "\ufffd".encode()


def restore_word(word: str) -> str:
    """A word with its lost letters guessed: so that it is a common first name if it can be, else with the first guess."""
    return _candidates(word)[0]


def has_lost_letters(text: str) -> bool:
    """Whether letters of a text were lost."""
    return _LOST.search(text) is not None


@lru_cache(4096)
def _candidates(cell: str) -> list[str]:
    """What a cell may have been, the likeliest first; the cell itself if it lost no letter."""
    gaps = len(_LOST.findall(cell))
    if not gaps:
        return [cell]
    parts = _LOST.split(cell)
    found = [
        "".join([*map("".join, zip(parts, letters, strict=False)), parts[-1]])
        for letters in islice(product(_LETTERS, repeat=gaps), 8 * MAX_CANDIDATES)
    ]
    # names that exist come first
    found.sort(key=lambda each: normalise.name(each).decode() not in FIRST_NAMES)
    return found[:MAX_CANDIDATES]


def restore_names(batch: RowBatch, plan: ColumnPlan, count_known: Callable[[RowBatch], I64]) -> RowBatch:
    """The rows with lost letters of names restored.

    Args:
        batch: rows of a table.
        plan: what its columns hold.
        count_known: tells of some rows how many of the record keys of each are known; shape (n,).
    """
    places = [at for role in _NAME_ROLES for at in plan.places.get(role, ()) if at < len(batch.columns)]
    places = [at for at in places if _may_have_lost(batch.column(at))]
    if not places:
        return batch
    texts = {at: batch.column(at).texts() for at in places}
    rows = [row for row in range(len(batch)) if any(_LOST.search(texts[at][row]) for at in places)]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        _restore_some(batch, rows[start : start + _ROWS_AT_ONCE], texts, count_known)
    columns = [Packed.of_texts(texts[at]) if at in texts else batch.column(at) for at in range(len(batch.columns))]
    return RowBatch(tuple(columns), len(batch))


def _restore_some(
    batch: RowBatch, rows: Sequence[int], texts: dict[int, list[str]], count_known: Callable[[RowBatch], I64]
) -> None:
    """Put the best candidates of some rows into `texts`."""
    owners: list[int] = []
    choices: list[tuple[str, ...]] = []
    for row in rows:
        options = islice(product(*(_candidates(column[row]) for column in texts.values())), MAX_CANDIDATES)
        for option in options:
            owners.append(row)
            choices.append(option)
    expanded = batch.take(np.array(owners, np.int64))
    columns = [expanded.column(at) for at in range(len(expanded.columns))]
    for number, at in enumerate(texts):
        columns[at] = Packed.of_texts([option[number] for option in choices])
    known = count_known(RowBatch(tuple(columns), len(owners)))
    best: dict[int, int] = {}
    for number, row in enumerate(owners):
        # the first of those that are known equally well
        if row not in best or known[number] > known[best[row]]:
            best[row] = number
    for row, number in best.items():
        for at, cell in zip(texts, choices[number], strict=True):
            texts[at][row] = cell


def _may_have_lost(column: Packed) -> bool:
    cells = column.blob.tobytes()
    return _QUESTION_MARK in cells or _REPLACEMENT in cells
