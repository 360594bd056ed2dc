"""Note prints: keyed fingerprints of free text, by which medical notes are recognised (pure).

A note is recognised in excerpts, in mark-up and with typing errors. Winnowing hashes every window of 20 letters and
keeps the least hash of 16 windows in a row, so that two texts that share 35 letters in a row share a print. A print
that occurs in many notes of one sample belongs to a template and does not distinguish notes.
`data.releases.known_releases` knows which prints are known. A print is keyed like every tag and reveals no text.

Source: Schleimer, Wilkerson and Aiken 2003, "Winnowing: local algorithms for document fingerprinting".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.arrays.array_types import I32, I64, U64, Bools
from data.arrays.growing_array import GrowingArray
from data.arrays.packed import Packed
from data.identifiers.normalise_columns import fold_column

GRAM, WINDOW = 20, 16
# A print that occurs in so many notes belongs to a template (60 shared templates: chosen once, not tuned).
TEMPLATE_NOTES = 8
# A note is known if this share of its prints is known (chosen once, not tuned; with 1 % of letters wrong about half of
# the prints stay).
KNOWN_SHARE = 0.25
# Among fewer notes, templates cannot be recognised, and new notes share their prints with known ones. The share must
# then be higher, so that no new note is taken for a known one.
FEW_NOTES, KNOWN_SHARE_OF_FEW = 100, 0.4
# A shorter text has at most one print that distinguishes it.
MIN_CHARS = 60
# No note is longer; of a longer text only the beginning is read.
MAX_CHARS = 1 << 15
# So many prints of one sample are held; further notes are counted as dropped.
MAX_PRINTS = 6_500_000
# So many prints are processed at once.
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class NotePrints:
    """The prints of some notes.

    Attributes:
        tags: shape (p,).
        owners: shape (p,), the number of the note that each print belongs to.
        notes: the number of notes.
    """

    tags: U64
    owners: I64
    notes: int


@dataclass(frozen=True, slots=True, eq=False)
class DistinctivePrints:
    """Prints that distinguish notes from each other, because they belong to no template.

    Attributes:
        tags: shape (p,), note after note.
        sizes: shape (notes,), how many of these prints each note has.
    """

    tags: U64
    sizes: I32


def make_prints(probe_key: bytes, cells: Packed) -> NotePrints:
    """The prints of every cell; a cell has each of its prints once.

    Args:
        probe_key: of the case.
        cells: the texts as they came, with their mark-up.
    """
    from crawler.records.note_kernels import winnow

    k0, k1 = (np.uint64(int.from_bytes(probe_key[at : at + 8], "little")) for at in (0, 8))
    tags, owners = winnow(k0, k1, fold_column(cells), GRAM, WINDOW, MIN_CHARS, MAX_CHARS)
    return NotePrints(tags, owners, len(cells))


class SampleNotes:
    """The prints of all notes of one sample while it is read; notes without a print are only counted.

    Attributes:
        read: number of notes that were processed.
        dropped: number of notes beyond the maximum of prints.
    """

    def __init__(self) -> None:
        self.read = 0
        self.dropped = 0
        # 8 bytes for each print, and never a copy: together that is as much memory as the rows of a large file may take
        self._tags = GrowingArray(np.uint64, 1)
        self._sizes = GrowingArray(np.int32, 1)
        self._of_known = GrowingArray(np.uint8, 1)

    def __repr__(self) -> str:
        """The number of notes only."""
        return f"<SampleNotes {self.read}>"

    def add(self, prints: NotePrints, of_known: Bools) -> None:
        """Add notes; `of_known`, shape (notes,), marks those in rows of known people."""
        if len(self._tags) + len(prints.tags) > MAX_PRINTS:
            self.dropped += prints.notes
            return
        self.read += prints.notes
        if not len(prints.tags):
            return
        # notes without a print are left out: a dump of 5 GB has 100 million cells without a note
        first = np.flatnonzero(_first_of_runs(prints.owners))
        self._tags.add(prints.tags)
        self._sizes.add(np.diff(first, append=len(prints.tags)).astype(np.int32))
        self._of_known.add(of_known[prints.owners[first]].astype(np.uint8))

    def state(self) -> dict[str, Any]:
        """All notes; nothing may be added afterwards."""
        return {
            "read": self.read,
            "dropped": self.dropped,
            "tags": self._tags.rows()[:, 0],
            "sizes": self._sizes.rows()[:, 0],
            "of_known": self._of_known.rows()[:, 0],
        }

    def add_state(self, state: Mapping[str, Any]) -> bool:
        """Add the notes of a `state` behind those that are here; False, and nothing, if they are too many to be held."""
        if state["dropped"] or self.dropped or len(self._tags) + len(state["tags"]) > MAX_PRINTS:
            return False
        self.read += state["read"]
        self._tags.add(state["tags"])
        self._sizes.add(state["sizes"])
        self._of_known.add(state["of_known"])
        return True

    def distinctive_prints(self) -> DistinctivePrints:
        """The prints that belong to no template. Call it once; nothing may be added afterwards."""
        tags, sizes = self._tags.rows()[:, 0], self._sizes.rows()[:, 0]
        templates = _templates(tags, sizes)
        if not len(templates):
            return DistinctivePrints(tags, sizes)
        left, kept = np.zeros(len(sizes), np.int32), 0
        for notes, prints in _chunks(sizes):
            part = tags[prints]
            rare = ~_among(part, templates)
            left[notes] = np.add.reduceat(rare, _starts(sizes[notes]), dtype=np.int32)
            part = part[rare]
            tags[kept : kept + len(part)] = part
            kept += len(part)
        return DistinctivePrints(tags[:kept], left)

    def count_known_and_new(
        self, distinctive: DistinctivePrints, known: Callable[[U64], Bools]
    ) -> tuple[int, int, int]:
        """How many notes are known, how many are new, and how many of the new ones are in rows of known people.

        Notes that have no distinctive print are neither known nor new.

        Args:
            distinctive: the result of `distinctive_prints`.
            known: returns which of some prints any release has.
        """
        if not len(distinctive.sizes):
            return 0, 0, 0
        has_prints = distinctive.sizes > 0
        whole, of_known = distinctive.sizes[has_prints], self._of_known.rows()[:, 0][has_prints] != 0
        is_known = np.zeros(len(whole), bool)
        least = KNOWN_SHARE if self.read >= FEW_NOTES else KNOWN_SHARE_OF_FEW
        for notes, prints in _chunks(whole):
            seen = np.add.reduceat(known(distinctive.tags[prints]), _starts(whole[notes]), dtype=np.int32)
            is_known[notes] = seen >= least * whole[notes]
        return int(is_known.sum()), int((~is_known).sum()), int((~is_known & of_known).sum())


def _templates(tags: U64, sizes: I32) -> U64:
    """The sorted prints that belong to templates, because they occur in many different notes."""
    if len(sizes) < TEMPLATE_NOTES:
        return tags[:0]
    # a note that is repeated counts once, so that it is not taken for a template
    texts = np.zeros(len(sizes), np.uint64)
    for notes, prints in _chunks(sizes):
        part = tags[prints]
        texts[notes] = np.add.reduceat(part * (part >> np.uint64(32) | np.uint64(1)), _starts(sizes[notes]))
    once = np.zeros(len(sizes), bool)
    by_text = np.argsort(texts, kind="stable")
    once[by_text] = _first_of_runs(texts[by_text])
    # prints are counted in parts, chosen by their last bits, because sorting all of them would take a copy (the first
    # bits are not evenly distributed: prints are least hashes, and therefore small)
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
        # a note has each of its prints once, so that a print that is repeated so often is in as many notes
        ends = counted[TEMPLATE_NOTES - 1 :]
        ends = ends[ends == counted[: len(ends)]]
        found.append(ends[_first_of_runs(ends)])
    return np.sort(np.concatenate(found))


def _chunks(sizes: I32) -> Iterator[tuple[slice, slice]]:
    """Slices of notes and of their prints, with about `_CHUNK` prints each, so that little is copied at once."""
    ends = np.cumsum(sizes, dtype=np.int64)
    note = 0
    while note < len(sizes):
        before = int(ends[note - 1]) if note else 0
        following = max(note + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
        yield slice(note, following), slice(before, int(ends[following - 1]))
        note = following


def _starts(sizes: I32) -> I64:
    """Where the prints of each note begin; shape (notes,)."""
    ends = np.cumsum(sizes, dtype=np.int64)
    return ends - sizes


def _among(tags: U64, ordered: U64) -> Bools:
    """Which tags are in a sorted array that is not empty."""
    among: Bools = ordered[np.minimum(np.searchsorted(ordered, tags), len(ordered) - 1)] == tags
    return among


def _first_of_runs(ordered: U64 | I64) -> Bools:
    """Which items differ from the one before them."""
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first
