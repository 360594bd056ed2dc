"""Prints of free text, by which a medical note is recognised in excerpts, mark-up and with typing errors (pure).

Winnowing: of every run of windows of 20 letters the least hash is kept, so that two texts that share 35 letters in a
row share a print. What stands in many notes of one sample is a template, and tells nobody. Which prints are known is
asked of `data.releases`; a print is keyed like every tag and is no text.

Source: Schleimer, Wilkerson and Aiken 2003, "Winnowing: local algorithms for document fingerprinting".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crawler.growing import Growing
from data.columns import folded
from data.tags import Packed

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
Bools = NDArray[np.bool_]

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
MOST = 8_000_000
# Prints that are looked at together.
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Prints:
    """Prints of some notes: tags, shape (p,), and the number of the note of each, shape (p,); `notes` of them."""

    tags: U64
    owners: I64
    notes: int


def prints_of(probe_key: bytes, cells: Packed) -> Prints:
    """The prints of every cell, those of one cell each once.

    Args:
        probe_key: of the case.
        cells: texts as they came, mark-up and all.
    """
    from crawler.notes_kernels import winnow

    k0, k1 = (np.uint64(int.from_bytes(probe_key[at : at + 8], "little")) for at in (0, 8))
    tags, owners = winnow(k0, k1, folded(cells), GRAM, WINDOW, MIN_CHARS, MAX_CHARS)
    return Prints(tags, owners, len(cells))


class Notes:
    """The notes of one sample while it is read; of those that have no print only their number is kept.

    Attributes:
        read: notes that were looked at. dropped: those that were too many.
    """

    def __init__(self) -> None:
        self.read = 0
        self.dropped = 0
        self._printed = 0
        # 12 bytes a print, not copied to be looked through: beside a large file that is what its rows may take as well
        self._tags = Growing(np.uint64, 1)
        self._owners = Growing(np.int32, 1)
        self._of_known = Growing(np.uint8, 1)

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
        # numbered anew: a dump of 5 GB has 100 million cells that say nothing, and a byte of each would be too much
        first = _first_of_runs(prints.owners)
        self._tags.add(prints.tags)
        self._owners.add((np.cumsum(first) - 1 + self._printed).astype(np.int32))
        self._of_known.add(of_known[prints.owners[first]].astype(np.uint8))
        self._printed += int(first.sum())

    def telling(self) -> tuple[U64, I32]:
        """Prints that belong to no template, and their notes; nothing may be added afterwards."""
        tags, owners = self._tags.rows()[:, 0], self._owners.rows()[:, 0]
        # the same note many times is one note: it must not pass for a template
        texts = np.zeros(self._printed, np.uint64)
        for at in range(0, len(tags), _CHUNK):
            part = tags[at : at + _CHUNK]
            np.add.at(texts, owners[at : at + _CHUNK], part * (part >> np.uint64(32) | np.uint64(1)))
        once = np.zeros(self._printed, bool)
        by_text = np.argsort(texts, kind="stable")
        once[by_text] = _first_of_runs(texts[by_text])
        counted = tags[once[owners]]
        counted.sort()
        # a note has each of its prints once
        ends = counted[TEMPLATE - 1 :]
        templates = ends[ends == counted[: len(ends)]]
        templates = templates[_first_of_runs(templates)]
        del counted, ends
        if not len(templates):
            return tags, owners
        rare = np.concatenate([~_among(tags[at : at + _CHUNK], templates) for at in range(0, len(tags), _CHUNK)])
        return tags[rare], owners[rare]

    def judge(self, known_print: Bools, owners: I32) -> tuple[int, int, int]:
        """How many notes are known, new, and new in rows of known people.

        Args:
            known_print: shape (p,), which of the telling prints any release has.
            owners: shape (p,), their notes, as `telling` gives them.

        Returns:
            Notes of which only templates are left are neither known nor new.
        """
        whole = np.bincount(owners, minlength=self._printed)
        seen = np.bincount(owners[known_print], minlength=self._printed)
        is_known = (whole > 0) & (seen >= (KNOWN if self.read >= FEW else KNOWN_AMONG_FEW) * whole)
        is_new = (whole > 0) & ~is_known
        of_known = self._of_known.rows()[:, 0] != 0
        return int(is_known.sum()), int(is_new.sum()), int((is_new & of_known).sum())


def _among(tags: U64, ordered: U64) -> Bools:
    """Which tags stand in an ordered array that has at least one."""
    among: Bools = ordered[np.minimum(np.searchsorted(ordered, tags), len(ordered) - 1)] == tags
    return among


def _first_of_runs(ordered: U64 | I64) -> Bools:
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first
