"""Prints of free text, by which a medical note is recognised in excerpts, mark-up and with typing errors (pure).

Winnowing: of every run of windows of 20 letters the least hash is kept, so that two texts that share 35 letters in a
row share a print. What stands in many notes of one sample is a template, and tells nobody. Which prints are known is
asked of `data.releases.known_releases`; a print is keyed like every tag and is no text.

Source: Schleimer, Wilkerson and Aiken 2003, "Winnowing: local algorithms for document fingerprinting".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from data.arrays.array_types import I32, I64, U64, Bools
from data.arrays.growing_array import GrowingArray
from data.arrays.packed import Packed
from data.identifiers.normalise_columns import fold_column

GRAM, WINDOW = 20, 16
# A print that stands in so many notes belongs to a template (60 shared templates: chosen once, not tuned).
TEMPLATE = 8
# A note is known if this share of its prints is (chosen once, not tuned; 1 % noise leaves about half of them).
KNOWN = 0.25
# Among few notes templates do not show as such, and new notes share them: rather new than hidden.
FEW, KNOWN_AMONG_FEW = 100, 0.4
# Shorter texts have one print or none that says anything.
MIN_CHARS = 60
# No note is longer; of what is, the beginning is taken.
MAX_CHARS = 1 << 15
# So many prints of one sample are held; the rest of a larger one is counted as not looked at.
MOST = 6_500_000
# Prints that are looked at together.
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Prints:
    """Prints of some notes: tags, shape (p,), and the number of the note of each, shape (p,); `notes` of them."""

    tags: U64
    owners: I64
    notes: int


@dataclass(frozen=True, slots=True, eq=False)
class Telling:
    """Prints that tell notes from each other: tags, shape (p,), note after note; how many each has, shape (notes,)."""

    tags: U64
    sizes: I32


def prints_of(probe_key: bytes, cells: Packed) -> Prints:
    """The prints of every cell, those of one cell each once.

    Args:
        probe_key: of the case.
        cells: texts as they came, mark-up and all.
    """
    from crawler.records.note_kernels import winnow

    k0, k1 = (np.uint64(int.from_bytes(probe_key[at : at + 8], "little")) for at in (0, 8))
    tags, owners = winnow(k0, k1, fold_column(cells), GRAM, WINDOW, MIN_CHARS, MAX_CHARS)
    return Prints(tags, owners, len(cells))


class Notes:
    """The notes of one sample while it is read; of those that have no print only their number is kept.

    Attributes:
        read: notes that were looked at. dropped: those that were too many.
    """

    def __init__(self) -> None:
        self.read = 0
        self.dropped = 0
        # 8 bytes a print, and never a copy of them: beside a large file that is what its rows may take as well
        self._tags = GrowingArray(np.uint64, 1)
        self._sizes = GrowingArray(np.int32, 1)
        self._of_known = GrowingArray(np.uint8, 1)

    def __repr__(self) -> str:
        """How many."""
        return f"<Notes {self.read}>"

    def add(self, prints: Prints, of_known: Bools) -> None:
        """Take notes; `of_known`, shape (notes,): they stand in rows of known people."""
        if len(self._tags) + len(prints.tags) > MOST:
            self.dropped += prints.notes
            return
        self.read += prints.notes
        if not len(prints.tags):
            return
        # those without a print are left out: a dump of 5 GB has 100 million cells that say nothing
        first = np.flatnonzero(_first_of_runs(prints.owners))
        self._tags.add(prints.tags)
        self._sizes.add(np.diff(first, append=len(prints.tags)).astype(np.int32))
        self._of_known.add(of_known[prints.owners[first]].astype(np.uint8))

    def telling(self) -> Telling:
        """Prints that belong to no template; to be asked for once, and nothing may be added afterwards."""
        tags, sizes = self._tags.rows()[:, 0], self._sizes.rows()[:, 0]
        templates = _templates(tags, sizes)
        if not len(templates):
            return Telling(tags, sizes)
        left, kept = np.zeros(len(sizes), np.int32), 0
        for notes, prints in _chunks(sizes):
            part = tags[prints]
            rare = ~_among(part, templates)
            left[notes] = np.add.reduceat(rare, _starts(sizes[notes]), dtype=np.int32)
            part = part[rare]
            tags[kept : kept + len(part)] = part
            kept += len(part)
        return Telling(tags[:kept], left)

    def judge(self, told: Telling, known: Callable[[U64], Bools]) -> tuple[int, int, int]:
        """How many notes are known, new, and new in rows of known people.

        Args:
            told: as `telling` gave it.
            known: which of some prints any release has.

        Returns:
            Notes of which only templates are left are neither known nor new.
        """
        there = told.sizes > 0
        whole, of_known = told.sizes[there], self._of_known.rows()[:, 0][there] != 0
        is_known = np.zeros(len(whole), bool)
        least = KNOWN if self.read >= FEW else KNOWN_AMONG_FEW
        for notes, prints in _chunks(whole):
            seen = np.add.reduceat(known(told.tags[prints]), _starts(whole[notes]), dtype=np.int32)
            is_known[notes] = seen >= least * whole[notes]
        return int(is_known.sum()), int((~is_known).sum()), int((~is_known & of_known).sum())


def _templates(tags: U64, sizes: I32) -> U64:
    """Sorted prints that stand in so many different notes that they tell nobody."""
    # the same note many times is one note: it must not pass for a template
    texts = np.zeros(len(sizes), np.uint64)
    for notes, prints in _chunks(sizes):
        part = tags[prints]
        texts[notes] = np.add.reduceat(part * (part >> np.uint64(32) | np.uint64(1)), _starts(sizes[notes]))
    once = np.zeros(len(sizes), bool)
    by_text = np.argsort(texts, kind="stable")
    once[by_text] = _first_of_runs(texts[by_text])
    # counted by their last bits, part by part: sorting all of them would be a copy; the first are small, for prints are
    found = []
    parts = 1 << (len(tags) // _CHUNK).bit_length()
    for number in range(parts):
        some = []
        for notes, prints in _chunks(sizes):
            part = tags[prints]
            wanted = np.repeat(once[notes], sizes[notes])
            wanted &= part & np.uint64(parts - 1) == number
            some.append(part[wanted])
        counted = np.concatenate([tags[:0], *some])
        del some
        counted.sort()
        # a note has each of its prints once
        ends = counted[TEMPLATE - 1 :]
        ends = ends[ends == counted[: len(ends)]]
        found.append(ends[_first_of_runs(ends)])
    return np.sort(np.concatenate(found))


def _chunks(sizes: I32) -> Iterator[tuple[slice, slice]]:
    """Notes and their prints, as many together as may be copied."""
    ends = np.cumsum(sizes, dtype=np.int64)
    note = 0
    while note < len(sizes):
        before = int(ends[note - 1]) if note else 0
        following = max(note + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
        yield slice(note, following), slice(before, int(ends[following - 1]))
        note = following


def _starts(sizes: I32) -> I64:
    """Where each note's prints begin among theirs."""
    ends = np.cumsum(sizes, dtype=np.int64)
    return ends - sizes


def _among(tags: U64, ordered: U64) -> Bools:
    """Which tags stand in an ordered array that has at least one."""
    among: Bools = ordered[np.minimum(np.searchsorted(ordered, tags), len(ordered) - 1)] == tags
    return among


def _first_of_runs(ordered: U64 | I64) -> Bools:
    """Which are not the same as the one before them."""
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first
